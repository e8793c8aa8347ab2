"""What is good: a loss for the weights, and a score of every sample for the reward and for the decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from natonnx.errors import InputError
from natonnx.search.outputs import JudgedOutput

__all__ = [
    "POINTS",
    "Figure",
    "Labels",
    "Objective",
    "Outputs",
    "Targets",
    "Unit",
    "bounded_below",
    "is_decided",
    "is_masked",
]

Outputs: TypeAlias = Mapping[str, Tensor]
"""Tensors of a model by name, the samples along the first axis."""

Targets: TypeAlias = Tensor | Outputs
"""What outputs are compared with: labels [n, ...], or the outputs of the original model."""


@dataclass(frozen=True)
class Unit:
    """How a score is written.

    Attributes:
        symbol: Behind a value, such as "%".
        scale: What a score is multiplied by first.
        difference: What a difference of two scores is counted in; "" for the plain number.
    """

    symbol: str = ""
    scale: float = 1.0
    difference: str = ""


POINTS = Unit("%", 100.0, "points")
"""Of scores that are fractions."""

_LOWEST = -1e30
"""What is lower stands for −∞: masks are often the lowest number of their type."""
_MASKED = -1e4
"""What −∞ counts as in a loss, so that a class that is masked out leaves the loss a number."""


@dataclass(frozen=True)
class Figure:
    """One of the numbers that make up a score: what is judged, and what it is measured by."""

    name: str
    measure: str


class Objective(Protocol):
    """What is good."""

    @property
    def name(self) -> str:
        """What it is called in reports: `labels`, `agreement`, or the user's own name."""

    @property
    def measure(self) -> str:
        """What its score is, in a word, such as agreement."""

    @property
    def unit(self) -> Unit:
        """How its score is written."""

    @property
    def least(self) -> float | None:
        """The least that a sample can score; None where that is not known."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What each column of `score` is."""

    @property
    def captures(self) -> Mapping[str, int | None]:
        """The tensors that it reads, with the axis that counts samples in the model's own layout."""

    @property
    def score_captures(self) -> Mapping[str, int | None]:
        """What `score` alone needs: tensors that files have."""

    @property
    def follows_original(self) -> bool:
        """Whether the targets of `score` are the original model's outputs rather than the data's labels."""

    @property
    def loss_follows_original(self) -> bool:
        """The same of the targets of `loss`."""

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Return what training makes small: a differentiable scalar, the mean over the batch."""

    def score(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Return how good each sample is: [n, figures], higher is better. The mean of all is what counts."""

    def answers(self, outputs: Outputs) -> Tensor:
        """Return what a model says of each sample [n, ...]; it tells nothing where it says the same of all."""


@dataclass(frozen=True)
class Labels:
    """Classification: cross-entropy in training, the share of right answers for the score.

    Attributes:
        output: The class scores: per sample, or per sample and position.
    """

    output: JudgedOutput

    name = "labels"
    measure = "accuracy"
    unit = POINTS
    least = 0.0
    follows_original = False
    loss_follows_original = False

    @property
    def figures(self) -> tuple[Figure, ...]:
        """One: the output that is compared with the labels."""
        return (Figure(self.output.name, self.measure),)

    @property
    def captures(self) -> Mapping[str, int | None]:
        """What stands before a final Softmax."""
        return {self.output.logits: self.output.batch_axis}

    @property
    def score_captures(self) -> Mapping[str, int | None]:
        """The output itself, whose highest entry is that of what stands before."""
        return {self.output.name: self.output.batch_axis}

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Return the cross-entropy in nats."""
        logits, labels = self._compared(outputs, targets)
        return functional.cross_entropy(bounded_below(logits), labels)

    def score(self, outputs: Outputs, targets: Targets) -> Tensor:
        """Return 1 for a right answer, 0 for a wrong one or none; their mean over the positions of a sample."""
        logits, labels = self._compared(outputs, targets)
        right = (logits.argmax(1) == labels) & is_decided(logits, 1)
        return right.float().reshape(len(labels), -1).mean(1, keepdim=True)

    def answers(self, outputs: Outputs) -> Tensor:
        """Return the classes [n, ...]."""
        return self._scores(outputs).argmax(self.output.axis).float()

    def _scores(self, outputs: Outputs) -> Tensor:
        return outputs[self.output.logits if self.output.logits in outputs else self.output.name]

    def _compared(self, outputs: Outputs, targets: Targets) -> tuple[Tensor, Tensor]:
        """Return logits [n, classes, ...] and labels [n, ...].

        Raises:
            InputError: If there are not as many labels a sample as classes are told.
        """
        assert isinstance(targets, Tensor), "labels are one tensor"
        judged = self.output
        logits = self._scores(outputs).movedim(judged.axis, 1).float()
        if [size for size in logits.shape[2:] if size != 1] != [size for size in targets.shape[1:] if size != 1]:
            if targets.shape[-1] == logits.shape[1]:
                raise InputError(
                    f"labels are {list(targets.shape[1:])} a sample, one for each class of {judged.name!r}: give the "
                    "index of the class, which is the argmax of one-hot labels, or score by --objective agreement"
                )
            raise InputError(
                f"labels are {list(targets.shape[1:])} a sample, but {judged.name!r} has a class at each of "
                f"{list(logits.shape[2:])}: give a label for each, or score by --objective agreement"
            )
        return logits.reshape(*logits.shape[:2], *targets.shape[1:]), targets.long()


def is_decided(logits: Tensor, axis: int) -> Tensor:
    """Return whether there is a highest class: none is NaN, and the highest is a finite number; others may be −∞."""
    return logits.amax(axis).isfinite()


def bounded_below(logits: Tensor) -> Tensor:
    """Return class scores with a very low number in the place of −∞."""
    return torch.where(is_masked(logits), _MASKED, logits)


def is_masked(values: Tensor) -> Tensor:
    """Return which values stand for −∞."""
    return values < _LOWEST
