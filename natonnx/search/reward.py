"""A reward of the user's own: a function that judges a model by running it."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.errors import InputError
from natonnx.session import run
from natonnx.supernet import Supernet

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["RewardFunction", "RunnableModel", "in_onnxruntime", "in_supernet", "judge", "reward_name"]

_Batch = TypeVar("_Batch", np.ndarray, Tensor)
_BATCH = 250


class RunnableModel:
    """A model that a reward function calls: an architecture in the supernet, or a file's in onnxruntime.

    Args:
        forward: From a batch of inputs to the model's first output, on the CPU.

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

    def __init__(self, forward: Callable[[Tensor], Tensor]) -> None:
        self._forward = forward

    def __call__(self, inputs: _Batch) -> _Batch:
        """Run the model.

        Args:
            inputs: Any number of samples [n, ...], preprocessed, as an array or a tensor.

        Returns:
            What the model's first output holds for each of them [n, ...], of the same kind.
        """
        given = inputs if isinstance(inputs, Tensor) else torch.from_numpy(np.ascontiguousarray(inputs))
        with torch.inference_mode():
            found = torch.cat([self._forward(part) for part in torch.split(given.detach().cpu().float(), _BATCH)])
        if isinstance(inputs, Tensor):
            return found.clone().to(inputs.device)
        return found.numpy()


RewardFunction = Callable[[RunnableModel], float]
"""Says how good a model is: the more the better, a finite number. It should run the model on held-out data."""


def in_supernet(supernet: Supernet, architecture: Architecture, device: torch.device) -> RunnableModel:
    """An architecture, by the supernet's weights and running statistics."""
    name, output = supernet.network.inputs[0], supernet.network.outputs[0]

    def forward(inputs: Tensor) -> Tensor:
        supernet.eval()
        return supernet.run({name: inputs.to(device)}, architecture)[output].cpu()

    return RunnableModel(forward)


def in_onnxruntime(runtime: "InferenceSession") -> RunnableModel:
    """A model file."""
    name = runtime.get_inputs()[0].name

    def forward(inputs: Tensor) -> Tensor:
        return torch.from_numpy(next(iter(run(runtime, {name: inputs.numpy()}).values())))

    return RunnableModel(forward)


def judge(reward: RewardFunction, model: RunnableModel) -> float:
    """What a function says of a model.

    Raises:
        InputError: If that is no finite number.
    """
    said: Any = reward(model)
    try:
        value = float(said)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{reward_name(reward)}: returned {said!r}; a reward must be a finite number")
    return value


def reward_name(reward: RewardFunction) -> str:
    """The name of a function, for messages, and to tell whether a search goes on with the same one."""
    kind = reward if hasattr(reward, "__qualname__") else type(reward)
    return f"{kind.__module__}.{kind.__qualname__}"
