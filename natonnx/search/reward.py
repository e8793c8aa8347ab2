"""A reward of the user's own: a function that judges a model by running it."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeVar

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.data.layout import matches, text
from natonnx.errors import InputError
from natonnx.session import run
from natonnx.supernet import Supernet

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = [
    "RewardFunction",
    "RunnableModel",
    "in_onnxruntime",
    "in_supernet",
    "judge",
    "reward_identity",
    "reward_name",
]

_Batch = TypeVar("_Batch", np.ndarray, Tensor)
_BATCH = 250


class RunnableModel:
    """A model that a reward function calls: an architecture in the supernet, or a file's in onnxruntime.

    Args:
        forward: From a batch of inputs to the model's first output, on the CPU.
        shape: Of a sample; None or a name for a size that is open.

    Example:
        >>> import numpy as np
        >>> import natonnx
        >>> from natonnx import RunnableModel, Settings
        >>> held_out = np.load("data.npz")
        >>> def fewest_false_alarms(model: RunnableModel) -> float:
        ...     found = model(held_out["x_train"]).argmax(1)
        ...     return 1 - float(np.mean((found == 2) & (held_out["y_train"] != 2)))
        >>> settings = Settings(epochs=1, finetune_epochs=1, target_madds=0.9, max_drop=0.5)
        >>> result = natonnx.optimize("model.onnx", "data.npz", reward=fewest_false_alarms, settings=settings)
        >>> [limit["name"] for limit in result.report["constraints"]]
        ['madds', 'reward_lost']
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], shape: Sequence[Any]) -> None:
        self._forward = forward
        self._shape = [size if isinstance(size, int) else None for size in shape]

    def __call__(self, inputs: _Batch) -> _Batch:
        """Run the model.

        Args:
            inputs: Any number of samples [n, ...], preprocessed, as an array or a tensor.

        Returns:
            What the model's first output holds for each of them [n, ...], of the same kind.

        Raises:
            InputError: If they are none, or not of the model's size.
        """
        given = inputs if isinstance(inputs, Tensor) else torch.from_numpy(np.array(inputs, np.float32))
        if not given.numel() or not matches(given.shape[1:], self._shape):
            raise InputError(
                f"the reward ran the model on inputs of {text(given.shape)}: it takes any number of {text(self._shape)}"
            )
        with torch.inference_mode():
            found = torch.cat([self._forward(part) for part in torch.split(given.detach().cpu().float(), _BATCH)])
        if isinstance(inputs, Tensor):
            return found.clone().to(inputs.device)
        return found.numpy()


RewardFunction = Callable[[RunnableModel], SupportsFloat]
"""Says how good a model is: the more the better, a finite number. It should run the model on held-out data."""


def in_supernet(supernet: Supernet, architecture: Architecture, device: torch.device) -> RunnableModel:
    """An architecture, by the supernet's weights and running statistics."""
    name, output = supernet.network.inputs[0], supernet.network.outputs[0]

    def forward(inputs: Tensor) -> Tensor:
        supernet.eval()
        return supernet.run({name: inputs.to(device)}, architecture)[output].cpu()

    return RunnableModel(forward, supernet.network.shapes[name][1:])


def in_onnxruntime(runtime: "InferenceSession") -> RunnableModel:
    """A model file."""
    info = runtime.get_inputs()[0]

    def forward(inputs: Tensor) -> Tensor:
        return torch.from_numpy(next(iter(run(runtime, {info.name: inputs.numpy()}).values())))

    return RunnableModel(forward, info.shape[1:])


def judge(reward: RewardFunction, model: RunnableModel) -> float:
    """What a function says of a model.

    Raises:
        InputError: If that is no finite number.
    """
    said: Any = reward(model)
    try:
        value = float(said)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{reward_name(reward)}: returned {said!r}; a reward must be a finite number")
    return value


def reward_name(reward: RewardFunction) -> str:
    """The name of a function, for messages."""
    kind = reward if hasattr(reward, "__qualname__") else type(reward)
    return f"{kind.__module__}.{kind.__qualname__}"


def reward_identity(reward: RewardFunction) -> str:
    """A text that differs where a function's name, code or plain constants do, though not for what it refers to."""
    if isinstance(reward, partial):
        return f"{reward_identity(reward.func)} {reward.args} {sorted(reward.keywords.items())}"
    function = reward if hasattr(reward, "__code__") else type(reward).__call__
    code = getattr(function, "__code__", None)
    return f"{reward_name(reward)} {_text(code) if code else ''}"


def _text(constant: object) -> str:
    """A constant of a function's code; "" for what has no text of its own, such as a set."""
    if isinstance(constant, CodeType):
        inner = [_text(one) for one in constant.co_consts]
        return f"{constant.co_code.hex()} {constant.co_names} {inner}"
    if isinstance(constant, tuple):
        return str([_text(one) for one in constant])
    return repr(constant) if isinstance(constant, int | float | str | bytes) else ""
