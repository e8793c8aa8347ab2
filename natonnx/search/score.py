"""R(α, w): how good an architecture is on held-out data, with normalisation statistics of its own."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from natonnx.architecture import Architecture
from natonnx.search.reward import RewardFunction, in_supernet, judge
from natonnx.supernet import Supernet

__all__ = ["CALIBRATION", "Score", "TensorSplit", "evaluate", "minibatch_score", "reestimate"]

CALIBRATION = 500
"""Training samples from which an architecture's statistics are re-estimated before it is compared."""

_EVALUATION_BATCH = 250


class Score(NamedTuple):
    """How good an architecture is.

    Attributes:
        accuracy: As a fraction.
        likelihood: Mean log-likelihood of the labels, in nats.
        samples: How many there were; 0 where that is not known.
        reward: What the user's own function says; None where there is none.
    """

    accuracy: float
    likelihood: float
    samples: int = 0
    reward: float | None = None

    @property
    def value(self) -> float:
        """What decides: the user's own reward, else the accuracy."""
        return self.accuracy if self.reward is None else self.reward

    @property
    def fine(self) -> float:
        """What ranks those that are to be trained further: the user's own reward, else the likelihood."""
        return self.likelihood if self.reward is None else self.reward

    @property
    def standard_error(self) -> float:
        """Of the value: the accuracy's is binomial; 0 where it is not known."""
        if self.reward is not None:
            return 0.0
        return (self.accuracy * (1 - self.accuracy) / self.samples) ** 0.5 if self.samples else 0.0


class TensorSplit(NamedTuple):
    """A split on the device: inputs [n, ...], labels [n]."""

    inputs: Tensor
    labels: Tensor

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator["TensorSplit"]:
        """Minibatches, shuffled where there is a generator; a last one of a single sample is left out then."""
        count = len(self.labels)
        order = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
        for chunk in torch.split(order, size):
            if generator is None or len(chunk) > 1:
                index = chunk.to(self.labels.device)
                yield TensorSplit(self.inputs[index], self.labels[index])


def minibatch_score(supernet: Supernet, architecture: Architecture, batch: TensorSplit) -> Score:
    """Score one minibatch, normalised by the statistics of that very minibatch, as the paper's search does."""
    supernet.train()
    supernet.momentum = 0.0  # leave the running statistics alone
    with torch.inference_mode():
        return _score(supernet(batch.inputs, architecture), batch.labels)


def evaluate(
    supernet: Supernet, architecture: Architecture, split: TensorSplit, reward: RewardFunction | None = None
) -> Score:
    """Score a whole split in evaluation mode, and let the user's own function judge."""
    supernet.eval()
    with torch.inference_mode():
        parts = [
            (_score(supernet(batch.inputs, architecture), batch.labels), len(batch.labels))
            for batch in split.batches(_EVALUATION_BATCH)
        ]
    count = sum(size for _, size in parts)
    return Score(
        sum(score.accuracy * size for score, size in parts) / count,
        sum(score.likelihood * size for score, size in parts) / count,
        count,
        None if reward is None else judge(reward, in_supernet(supernet, architecture, split.inputs.device)),
    )


def reestimate(supernet: Supernet, architecture: Architecture, inputs: Tensor, batch: int = _EVALUATION_BATCH) -> None:
    """Replace the running statistics by their means over minibatches under one architecture."""
    supernet.train()
    with torch.inference_mode():
        for position, chunk in enumerate(torch.split(inputs, batch)):
            if len(chunk) > 1:
                supernet.momentum = 1 / (position + 1)
                supernet(chunk, architecture)
    supernet.momentum = None


def _score(logits: Tensor, labels: Tensor) -> Score:
    logits = logits.flatten(1).float()
    right = int((logits.argmax(1) == labels).sum())
    return Score(right / len(labels), -float(functional.cross_entropy(logits, labels)))
