"""R(α, w): how good an architecture is on held-out data, with normalisation statistics of its own."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from natonnx.architecture import Architecture
from natonnx.supernet import Supernet

__all__ = ["Score", "TensorSplit", "evaluate", "minibatch_score", "reestimate"]

_EVALUATION_BATCH = 250


class Score(NamedTuple):
    """Accuracy as a fraction, mean log-likelihood of the labels in nats, and the number of samples."""

    accuracy: float
    likelihood: float
    samples: int = 0

    @property
    def standard_error(self) -> float:
        """Of the accuracy, binomial; 0 where the number of samples is not known."""
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


def evaluate(supernet: Supernet, architecture: Architecture, split: TensorSplit) -> Score:
    """Score a whole split in evaluation mode."""
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
