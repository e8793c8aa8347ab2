"""Steps of training: w ← w − η·∇L(α, w), with distillation from the original model."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.data import random_shift_flip
from natonnx.notices import NOTICE
from natonnx.search.objective import Outputs
from natonnx.search.optimizers import SGD
from natonnx.search.problem import Problem
from natonnx.search.runner import Runner, TensorBatch, forward
from natonnx.search.settings import Amp
from natonnx.search.team import Part, Team
from natonnx.supernet import Supernet
from natonnx.supernet.ops.placement import moved

__all__ = ["Trainer"]

_log = logging.getLogger(__name__)

_CLIP = 5.0
_MOMENTUM = 0.9


class Trainer:
    """Trains the weights of a supernet by minibatches, by SGD with Nesterov momentum.

    The loss is the objective's own, mixed with that of agreement with the original model: distillation. Where the
    objective is agreement, the two are one.

    Args:
        problem: Objective, and what may be done to images.
        supernet: Its weights change.
        original: The original model.
        learning_rate: At first; see `set_rate`.
        distillation: Share of the loss that follows the original.
        weight_decay: Of all but biases, scales and shifts.
        amp: Whether the supernet runs in bfloat16 where torch.autocast does; weights, the loss and the original do not.

    Attributes:
        optimizer: Its state belongs into checkpoints.
        steps: How many there were.
        follows: Whether the original runs on every batch too.
    """

    def __init__(
        self,
        problem: Problem,
        supernet: Supernet,
        original: Runner,
        *,
        learning_rate: float,
        distillation: float,
        weight_decay: float = 5e-4,
        amp: Amp = "off",
    ) -> None:
        objective = problem.objective
        self._problem, self._supernet, self._original, self._share = problem, supernet, original, distillation
        self._amp = amp
        self._captures = {**objective.captures, **(problem.distillation.loss_captures if distillation else {})}
        self.optimizer = _make_optimizer(supernet, learning_rate, weight_decay)
        self.follows = objective.loss_follows_original or bool(distillation)
        self.steps = 0
        self._skipped = torch.zeros(3)  # how many, and the loss and the largest input of the first
        self._team: Team | None = None
        self._together: torch.nn.Module | None = None

    @property
    def skipped(self) -> int:
        """How many steps had a loss or a gradient that is not finite, and left the weights as they are."""
        return int(self._skipped[0])

    def set_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the steps to come."""
        self.optimizer.set_rate(learning_rate)

    def join(self, team: Team | None) -> None:
        """Take steps together with other processes from now on, all under one architecture; alone where None."""
        self._team, self._together = team, None

    def step(
        self, batch: TensorBatch, architecture: Architecture, generator: torch.Generator, part: Part | None = None
    ) -> Tensor:
        """Take a step on one minibatch under an architecture; return the loss, for whom it is worth to wait for it.

        Args:
            batch: The samples; of a minibatch of several processes, this one's.
            architecture: What runs; its weights alone get a gradient.
            generator: Of augmentation.
            part: What this process has of the minibatch, where there are several; see `join`.
        """
        self.steps += 1
        self._supernet.train()
        inputs = _augmented(batch.inputs, self._problem, generator, part)
        taught = self._original(inputs, batch.size) if self.follows else {}
        with torch.enable_grad():  # whatever the program that calls has set
            outputs = self._outputs(inputs, batch.size, architecture)
            loss = value = self._loss(outputs, batch.targets, taught)
            if part is not None and self._team is not None:
                loss = self._team.weight(part) * loss
                value = self._team.mean(loss)
        if loss.requires_grad:  # an architecture may have no weights left
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(self._supernet.parameters(), _CLIP)
            finite = value.detach().isfinite() & norm.isfinite()
            self.optimizer.step(finite)  # one sample, or one architecture that diverged, would take the weights with it
            if not (finite.is_cpu and finite):
                self._count(finite, value.detach(), inputs)
        return value.detach()

    def _outputs(self, inputs: Mapping[str, Tensor], size: int, architecture: Architecture) -> Outputs:
        if self._amp == "off":
            return self._forward(inputs, size, architecture)
        with torch.autocast(self._problem.device.type, torch.bfloat16):
            outputs = self._forward(inputs, size, architecture)
        return {name: value.float() if value.dtype == torch.bfloat16 else value for name, value in outputs.items()}

    def _forward(self, inputs: Mapping[str, Tensor], size: int, architecture: Architecture) -> Outputs:
        if self._together is None:
            outputs = forward(self._supernet, inputs, size, architecture, self._captures)
            if self._team is None or not any(value.requires_grad for value in outputs.values()):
                return outputs
            self._together = self._team.wrap(self._supernet, architecture, self._captures)
        together: Outputs = self._together(inputs, size)
        return together

    def _count(self, finite: Tensor, loss: Tensor, inputs: Mapping[str, Tensor]) -> None:
        """Count a step that is left out, without waiting for whether it is."""
        before = moved(self._skipped, finite.device)
        largest = [value.abs().max().float() for value in inputs.values() if value.is_floating_point()]
        first = torch.stack([loss.float(), torch.stack(largest).max() if largest else loss.new_zeros(()).float()])
        told = torch.where(before[0] > 0, before[1:], first)
        self._skipped = torch.where(finite, before, torch.cat([before[:1] + 1, told]))

    def tell_skipped(self) -> None:
        """Say that steps were left out, where any were."""
        if self.skipped:
            _log.log(
                NOTICE,
                "train: %d of %d steps were left out, as their loss or gradient is no finite number (the first has a "
                "loss of %.4g, inputs up to %.4g)",
                self.skipped,
                self.steps,
                *self._skipped[1:].tolist(),
            )

    def _loss(self, outputs: Outputs, labels: Tensor | None, taught: Outputs) -> Tensor:
        objective, share = self._problem.objective, self._share
        if objective is self._problem.distillation:
            return objective.loss(outputs, taught)
        targets = taught if objective.loss_follows_original else labels
        assert targets is not None, "a loss by labels needs them"
        own = objective.loss(outputs, targets)
        return own if not share else (1 - share) * own + share * self._problem.distillation.loss(outputs, taught)


def _make_optimizer(supernet: Supernet, learning_rate: float, weight_decay: float) -> SGD:
    """Make SGD with Nesterov momentum; weight decay spares biases, scales and shifts, which extend along one axis."""
    parameters = [parameter for parameter in supernet.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if _is_matrix(p)], "weight_decay": weight_decay},
        {"params": [p for p in parameters if not _is_matrix(p)], "weight_decay": 0.0},
    ]
    return SGD([g for g in groups if g["params"]], learning_rate, _MOMENTUM)


def _is_matrix(parameter: Tensor) -> bool:
    return sum(size > 1 for size in parameter.shape) > 1


def _augmented(
    inputs: Mapping[str, Tensor], problem: Problem, generator: torch.Generator, part: Part | None
) -> Mapping[str, Tensor]:
    """Change images at random; a model of several inputs has none that can be changed alone."""
    if problem.augment == "none" or len(inputs) != 1:
        return inputs
    among = None if part is None else (part.first, part.total)
    return {name: random_shift_flip(value, problem.augment, generator, among) for name, value in inputs.items()}
