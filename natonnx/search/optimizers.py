"""SGD and Adam by torch's own arithmetic, without its classes: the first of those made loads torch's compiler.

That takes one and a half seconds of every search, for nothing.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

__all__ = ["SGD", "Adam", "Optimizer"]

_EPSILON = 1e-8


class Optimizer(ABC):
    """Changes parameters by their gradients.

    Args:
        groups: Of parameters ("params"), each with options of its own.
        learning_rate: Of all groups.

    Attributes:
        param_groups: These, with "lr", which may be set between steps.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]], learning_rate: float) -> None:
        self.param_groups = [{**group, "params": list(group["params"]), "lr": learning_rate} for group in groups]
        self._state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    @abstractmethod
    def _update(self, group: Mapping[str, Any], trained: list[Tensor], gradients: list[Tensor]) -> None:
        """Change parameters of a group by their gradients, in place."""

    def set_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the steps to come."""
        for group in self.param_groups:
            group["lr"] = learning_rate

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._parameters():
            parameter.grad = None

    def step(self, valid: Tensor | None = None) -> None:
        """Change the parameters that have a gradient.

        Args:
            valid: Whether to, where the parameters are: the CPU reads it, an accelerator makes the change and takes it
                back, so that nobody waits. True where None.
        """
        if valid is not None and valid.is_cpu:
            if not valid:
                return
            valid = None
        with torch.no_grad():
            for group in self.param_groups:
                trained = [parameter for parameter in group["params"] if parameter.grad is not None]
                before = [] if valid is None else [self._copied(parameter) for parameter in trained]
                self._update(group, trained, [parameter.grad for parameter in trained])
                for parameter, (old, state) in zip(trained, before, strict=False):
                    assert valid is not None
                    parameter.copy_(torch.where(valid, parameter, old))
                    for name, value in self._state[parameter].items():
                        value.copy_(torch.where(valid, value, state.get(name, torch.zeros_like(value))))

    def _copied(self, parameter: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return parameter.clone(), {name: value.clone() for name, value in self._state[parameter].items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds, in the form of torch's classes."""
        number = {parameter: i for i, parameter in enumerate(self._parameters())}
        return {
            "state": {number[parameter]: dict(values) for parameter, values in self._state.items()},
            "param_groups": [
                {"lr": group["lr"], "params": [number[parameter] for parameter in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave.

        Raises:
            ValueError: If it is that of other parameters.
        """
        parameters, saved = self._parameters(), state["state"]
        if [len(group["params"]) for group in state["param_groups"]] != [len(g["params"]) for g in self.param_groups]:
            raise ValueError("the optimizer's groups are of other sizes")
        if any(value.shape not in ((), parameters[i].shape) for i in saved for value in saved[i].values()):
            raise ValueError("the optimizer's state is of other shapes")
        self._state.clear()
        for i, values in saved.items():
            self._state[parameters[i]] = {
                name: value.clone() if name == "step" else value.to(parameters[i], copy=True)
                for name, value in values.items()
            }
        for group, before in zip(self.param_groups, state["param_groups"], strict=True):
            group["lr"] = before["lr"]

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]


class SGD(Optimizer):
    """SGD with Nesterov momentum; a group has its "weight_decay".

    Args:
        groups: See `Optimizer`.
        learning_rate: Of all groups.
        momentum: What is kept of each step in the next.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]], learning_rate: float, momentum: float) -> None:
        super().__init__(groups, learning_rate)
        self._momentum = momentum

    def _update(self, group: Mapping[str, Any], trained: list[Tensor], gradients: list[Tensor]) -> None:
        buffers = [self._state[parameter].get("momentum_buffer") for parameter in trained]
        sgd(
            trained,
            gradients,
            buffers,
            lr=group["lr"],
            momentum=self._momentum,
            weight_decay=group["weight_decay"],
            nesterov=True,
            dampening=0,
            maximize=False,
        )
        for parameter, buffer in zip(trained, buffers, strict=True):
            assert buffer is not None
            self._state[parameter]["momentum_buffer"] = buffer


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), without weight decay.

    Args:
        parameters: What it changes.
        learning_rate: Its α.
        betas: β₁ and β₂.
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float, betas: tuple[float, float]) -> None:
        super().__init__([{"params": parameters}], learning_rate)
        self._betas = betas

    def _update(self, group: Mapping[str, Any], trained: list[Tensor], gradients: list[Tensor]) -> None:
        for parameter in trained:
            if parameter not in self._state:
                zero = torch.zeros_like(parameter)
                self._state[parameter] = {"step": torch.tensor(0.0), "exp_avg": zero, "exp_avg_sq": zero.clone()}
        steps, means, squares = (
            [self._state[parameter][name] for parameter in trained] for name in ("step", "exp_avg", "exp_avg_sq")
        )
        adam(
            trained,
            gradients,
            means,
            squares,
            [],
            steps,
            lr=group["lr"],
            beta1=self._betas[0],
            beta2=self._betas[1],
            eps=_EPSILON,
            weight_decay=0.0,
            amsgrad=False,
            maximize=False,
        )
