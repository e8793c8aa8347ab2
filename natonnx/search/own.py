"""The user's own objective: an object that scores samples, or a function that judges a whole model by running it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import CodeType
from typing import Any, SupportsFloat, TypeVar

import numpy as np
import torch
from torch import Tensor

from natonnx.data.layout import matches, text
from natonnx.errors import InputError, running
from natonnx.frontend import BatchAxes, Network
from natonnx.search.finite import broken_samples
from natonnx.search.objective import POINTS, Figure, Objective, Outputs, Targets, Unit
from natonnx.search.runner import EVALUATION_BATCH, Runner
from natonnx.supernet.ops.operands import as_array, as_tensor, torch_dtype

__all__ = ["WORST", "OwnObjective", "RewardFunction", "RunnableModel", "identity_of", "judge", "name_of"]

WORST = -1e15
"""What a sample scores whose outputs are broken, and a model that a reward ran on such; no one's own goes beyond.

Its square is a number in single precision, as rewards are averaged and their squares too.
"""
_FINITE = f"a finite number, from {WORST:g} to {-WORST:g}"

_Batch = TypeVar("_Batch", np.ndarray, Tensor)


@dataclass(frozen=True)
class OwnObjective:
    """An object of the user's that scores samples.

    It has a method `score(outputs, targets)` that returns one number a sample, the higher the better, and may have
    `loss(outputs, targets)`, a differentiable scalar that training makes small. `outputs` are the model's outputs by
    name as tensors, samples first; `targets` the data's labels, or the original model's outputs where it has none.
    It may also have a `measure`, a word for what it scores ("score"), and a `unit`: "%" where scores are fractions.

    Attributes:
        own: The object.
        outputs: The model's outputs, with their batch axes.
        training: What training makes small where the object has no loss.
        has_labels: Whether the targets are labels.
    """

    own: Any
    outputs: Mapping[str, int | None]
    training: Objective
    has_labels: bool

    @property
    def name(self) -> str:
        """Module and name of the object's class."""
        return name_of(self.own)

    @property
    def measure(self) -> str:
        """What the object calls its score."""
        return str(getattr(self.own, "measure", "score"))

    @property
    def unit(self) -> Unit:
        """Per cent where the object says so, else plain numbers."""
        return POINTS if getattr(self.own, "unit", "") == "%" else Unit()

    @property
    def least(self) -> float | None:
        """0 where the object says per cent, else not known."""
        return 0.0 if self.unit is POINTS else None

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The object's score alone."""
        return (Figure("", self.measure),)

    @property
    def follows_original(self) -> bool:
        """Whether the targets are the original model's outputs."""
        return not self.has_labels

    @property
    def loss_follows_original(self) -> bool:
        """Whether what training makes small takes the original model's outputs."""
        return self.follows_original if hasattr(self.own, "loss") else self.training.loss_follows_original

    @property
    def captures(self) -> Mapping[str, int | None]:
        """All outputs, and what training reads."""
        return {**self.training.captures, **self.outputs}

    @property
    def score_captures(self) -> Mapping[str, int | None]:
        """All outputs."""
        return self.outputs

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Return the object's own loss, or that of labels or agreement."""
        if not hasattr(self.own, "loss"):
            return self.training.loss(outputs, targets)
        with running(f"{self.name}.loss"):
            found = self.own.loss(self._shown(outputs), self._targets(targets))
        if not isinstance(found, Tensor) or found.numel() != 1 or not found.is_floating_point():
            what = f"{tuple(found.shape)} of {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
            raise InputError(f"{self.name}.loss: returned {what}; it must be a floating-point tensor with one number")
        return found.reshape(())

    def score(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Return the object's own score [n, 1]."""
        with running(f"{self.name}.score"):
            given = targets.clone() if isinstance(targets, Tensor) else _copied(self._shown(targets))
            said = self.own.score(_copied(self._shown(outputs)), given)
        count = len(next(iter(outputs.values())))
        try:
            found = said if isinstance(said, Tensor) else torch.as_tensor(said, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError):
            raise InputError(
                f"{self.name}.score: returned {type(said).__name__}; it must be a tensor with a finite number a sample"
            ) from None
        if found.shape != (count,) or found.is_complex():
            what = f"{tuple(found.shape)}{' of complex numbers' * found.is_complex()}"
            raise InputError(f"{self.name}.score: returned {what} for {count} samples; it must be a finite number each")
        found = torch.where(broken_samples(outputs, self.outputs).to(found.device), WORST, found.double())
        if not bool((found.abs() <= -WORST).all()):  # NaN is not, either
            worst = float(found[~(found.abs() <= -WORST)][0])
            raise InputError(f"{self.name}.score: returned {worst:g} for a sample; it must be {_FINITE}")
        return found[:, None]

    def answers(self, outputs: Outputs) -> Tensor:
        """Return all outputs [n, values of a sample]."""
        return torch.cat([outputs[name].float().reshape(len(outputs[name]), -1) for name in self.outputs], 1)

    def _shown(self, outputs: Outputs) -> Outputs:
        return {name: outputs[name] for name in self.outputs}

    def _targets(self, targets: Targets) -> Targets:
        return targets if isinstance(targets, Tensor) else self._shown(targets)


def _copied(outputs: Outputs) -> Outputs:
    """Copy what the user's own code is given, as it may write into it."""
    return {name: value.clone() for name, value in outputs.items()}


@dataclass(frozen=True, eq=False)
class RunnableModel:
    """A model that a reward function calls: an architecture in the supernet, or a file's in onnxruntime.

    Attributes:
        run: The model.
        network: What it is, or was made of.

    Example:
        >>> import numpy as np
        >>> import natonnx
        >>> from natonnx import RunnableModel, Settings
        >>> held_out = np.load("data.npz")
        >>> def fewest_false_alarms(model: RunnableModel) -> float:
        ...     found = model(held_out["x_train"]).argmax(1)
        ...     return 1 - float(np.mean((found == 2) & (held_out["y_train"] != 2)))
        >>> settings = Settings(finetune_epochs=1, target_madds=0.9, max_drop=0.5)
        >>> result = natonnx.optimize("model.onnx", "data.npz", reward=fewest_false_alarms, settings=settings)
        >>> [limit["name"] for limit in result.report["constraints"]]
        ['madds', 'lost']
    """

    run: Runner = field(repr=False)
    network: Network = field(repr=False)

    @property
    def inputs(self) -> Mapping[str, tuple[int | str | None, ...]]:
        """Shapes of the inputs by name, the batch's included; None or a name for a size that is open."""
        return {name: tuple(self.network.shapes.get(name, ())) for name in self.network.inputs}

    @property
    def axes(self) -> BatchAxes:
        """The axes that count samples."""
        return self.network.batch_axes

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.network.outputs

    def __call__(self, inputs: _Batch | Mapping[str, Any]) -> Any:
        """Run the model.

        Args:
            inputs: Any number of samples, preprocessed: an array or a tensor for a model of one input, or these by
                input name. The batch axis is where the model has it.

        Returns:
            What the model's first output holds for each of them [n, ...], of the same kind. Where the inputs are given
            by name, all outputs by name.

        Raises:
            InputError: If they are none, not of the model's size, or not as many of each.
        """
        named = isinstance(inputs, Mapping)
        if not named and len(self.inputs) != 1:
            raise InputError(f"the reward ran the model on one array: it takes {', '.join(self.inputs)}, by name")
        given: dict[str, Any] = dict(inputs) if isinstance(inputs, Mapping) else {next(iter(self.inputs)): inputs}
        if given.keys() != self.inputs.keys():
            raise InputError(f"the reward ran the model on {', '.join(given)}: it takes {', '.join(self.inputs)}")
        tensors = {name: self._checked(name, value) for name, value in given.items()}
        found = self._run(tensors)
        device = next((value.device for value in given.values() if isinstance(value, Tensor)), None)
        made = {name: value.to(device) if device else as_array(value) for name, value in found.items()}
        return made if named else made[self.outputs[0]]

    def _checked(self, name: str, value: Any) -> Tensor:
        array = value.detach().cpu() if isinstance(value, Tensor) else as_tensor(np.array(value))
        dtype = torch_dtype(self.network.dtypes[name])
        assert dtype is not None, "data of other types is refused"
        if array.is_floating_point() and not dtype.is_floating_point:
            raise InputError(f"the reward ran the model on {array.dtype} for {name!r}: it takes {dtype}")
        tensor = array.to(dtype)
        axis, shape = self.axes.inputs.get(name), self.inputs[name]
        sizes = [size if isinstance(size, int) and i != axis else None for i, size in enumerate(shape)]
        if not tensor.numel() or not matches(tensor.shape, sizes):
            wanted = tuple(size for i, size in enumerate(sizes) if i != axis)
            raise InputError(
                f"the reward ran the model on inputs of {text(tensor.shape)}: it takes any number of {text(wanted)}"
            )
        return tensor

    def _run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        axes = {name: axis for name in inputs if (axis := self.axes.inputs.get(name)) is not None}
        counts = {name: inputs[name].shape[axis] for name, axis in axes.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise InputError(f"the reward ran the model on different numbers of samples ({told}): give each as many")
        count, parts = next(iter(counts.values()), 1), list[Outputs]()
        for start in range(0, count, EVALUATION_BATCH):
            end = min(count, start + EVALUATION_BATCH)
            part = {
                name: value if (axis := self.axes.inputs.get(name)) is None else value.narrow(axis, start, end - start)
                for name, value in inputs.items()
            }
            with torch.inference_mode():
                parts.append(self.run(part, end - start))
        return {name: torch.cat([part[name] for part in parts]).clone() for name in self.outputs}


RewardFunction = Callable[[RunnableModel], SupportsFloat]
"""Returns a finite score of a model; higher is better. It should run the model on held-out data."""


def judge(reward: RewardFunction, model: RunnableModel) -> float:
    """Ask the user's function; `WORST` of a model that gave NaN or +∞ when it was run, whatever is made of that.

    Raises:
        InputError: If it returns no finite number.
    """
    broken: list[bool] = []

    def run(inputs: Mapping[str, Tensor], size: int) -> Outputs:
        outputs = model.run(inputs, size)
        broken.append(bool(broken_samples(outputs, model.outputs).any()))
        return outputs

    with running(name_of(reward)):
        said: Any = reward(RunnableModel(run, model.network))
    if any(broken):
        return WORST
    try:
        value = float(said)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not abs(value) <= -WORST:  # NaN is not, either
        raise InputError(f"{name_of(reward)}: returned {said!r}; a reward must be {_FINITE}")
    return value


def name_of(own: object) -> str:
    """Return the module and name of a function, or of an object's class, for messages and reports."""
    kind = own if hasattr(own, "__qualname__") else type(own)
    return f"{kind.__module__}.{kind.__qualname__}"


def identity_of(own: object) -> str:
    """Return a text that differs where a function's name, code or plain constants do, though not for what it refers to.

    For an object, the code of its `score` and `loss`.
    """
    if isinstance(own, partial):
        return f"{identity_of(own.func)} {own.args} {sorted(own.keywords.items())}"
    if hasattr(own, "score"):
        return f"{name_of(own)} {_code(getattr(own, 'score', None))} {_code(getattr(own, 'loss', None))}"
    function = own if hasattr(own, "__code__") else type(own).__call__
    return f"{name_of(own)} {_code(function)}"


def _code(function: object) -> str:
    code = getattr(function, "__code__", None)
    return _text(code) if code else ""


def _text(constant: object) -> str:
    """Return a constant of a function's code; "" for what has no text of its own, such as a set."""
    if isinstance(constant, CodeType):
        inner = [_text(one) for one in constant.co_consts]
        return f"{constant.co_code.hex()} {constant.co_names} {inner}"
    if isinstance(constant, tuple):
        return str([_text(one) for one in constant])
    return repr(constant) if isinstance(constant, int | float | str | bytes) else ""
