"""What is good: a loss for the weights, and a score of every sample for the reward and for the decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from torch import Tensor
from torch.nn import functional

from natonnx.errors import InputError
from natonnx.search.outputs import JudgedOutput

__all__ = ["POINTS", "Figure", "Labels", "Objective", "Outputs", "Targets", "Unit"]

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
        """Whether the targets are the original model's outputs rather than the data's labels."""

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        """What training makes small: a differentiable scalar, the mean over the batch."""

    def score(self, outputs: Outputs, targets: Targets) -> Tensor:
        """How good each sample is: [n, figures], higher is better. The mean of all is what counts."""


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
    follows_original = False

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
        """Cross-entropy in nats."""
        logits, labels = self._compared(outputs, targets)
        return functional.cross_entropy(logits, labels)

    def score(self, outputs: Outputs, targets: Targets) -> Tensor:
        """1 for a right answer, 0 for a wrong one or none that is finite; their mean over the positions of a sample."""
        logits, labels = self._compared(outputs, targets)
        right = (logits.argmax(1) == labels) & logits.isfinite().all(1)
        return right.float().reshape(len(labels), -1).mean(1, keepdim=True)

    def _compared(self, outputs: Outputs, targets: Targets) -> tuple[Tensor, Tensor]:
        """Logits [n, classes, ...] and labels [n, ...]."""
        assert isinstance(targets, Tensor), "labels are one tensor"
        judged = self.output
        logits = outputs[judged.logits if judged.logits in outputs else judged.name]
        by_class = logits.movedim(judged.axis, 1).float()
        if targets.shape == by_class[:, 0].shape:
            return by_class, targets
        if targets.dim() == 1 and by_class.shape[1] == by_class[0].numel():
            return by_class.flatten(1), targets
        raise InputError(
            f"the labels are [n{_sizes(targets[0])}], but output {judged.name!r} scores {by_class.shape[1]} classes at "
            f"[n{_sizes(by_class[0, 0])}]: give labels of that shape, or --objective agreement"
        )


def _sizes(sample: Tensor) -> str:
    return "".join(f", {size}" for size in sample.shape)
