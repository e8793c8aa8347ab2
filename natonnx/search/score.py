"""R(α, w): how good an architecture is on held-out data, with normalisation statistics of its own."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.data.batches import Axes, Batches
from natonnx.errors import InputError
from natonnx.search.finite import broken_samples
from natonnx.search.objective import Objective, Outputs, Targets
from natonnx.search.runner import (
    EVALUATION_BATCH,
    Runner,
    TensorBatch,
    evaluation_batch,
    forward,
    supernet_runner,
    tensor_batches,
)
from natonnx.supernet import Supernet

__all__ = [
    "CALIBRATION",
    "BatchTargets",
    "Score",
    "evaluate",
    "minibatch_score",
    "reestimate",
    "score_batches",
    "targets_of",
]

CALIBRATION = 500
"""Training samples from which an architecture's statistics are re-estimated before it is compared."""

_LEAST_RANKING = -1e6
"""Of what diverged: finite, as rewards are averaged."""
_SAME = 1e-6
"""Differences of answers, relative to the largest, that are none."""


class Score(NamedTuple):
    """How good an architecture is.

    Attributes:
        value: What decides: the mean score of the samples, or what the user's own function says.
        ranking: What ranks those that are to be trained further: the mean loss with a minus sign, or the value again.
        samples: How many there were; 0 where that is not known.
        standard_error: Of the value; 0 where it is not known.
        figures: Mean of each figure of the objective.
        each: Score of each sample [samples], where that is known, so that two models are compared pair by pair.
        broken: How many samples have an output that is NaN or +∞.
        nan: How many have one that is NaN.
        says_nothing: Whether the model says the same of all of several samples.
    """

    value: float
    ranking: float = math.nan
    samples: int = 0
    standard_error: float = 0.0
    figures: tuple[float, ...] = ()
    each: tuple[float, ...] = ()
    broken: int = 0
    nan: int = 0
    says_nothing: bool = False

    def plain(self) -> tuple[float, float, int, float, tuple[float, ...]]:
        """Return what a checkpoint holds: all but what each sample scored."""
        return self[:5]

    def lost_against(self, other: "Score") -> tuple[float, float]:
        """Return how much more another model scores, and the standard error of that, pair by pair where samples are.

        The error is that of a mean of differences; of two independent means where pairs are not known.
        """
        lost = other.value - self.value
        if len(self.each) == len(other.each) > 1:
            differences = np.subtract(other.each, self.each)
            return lost, float(differences.std(ddof=1)) / len(differences) ** 0.5
        return lost, math.hypot(self.standard_error, other.standard_error)


def evaluate(
    run: Runner,
    objective: Objective,
    split: Batches,
    device: torch.device,
    original: Runner | None,
    *,
    ranked: bool = True,
) -> Score:
    """Score a model on a whole split.

    Args:
        run: The model; it captures what the objective does.
        objective: What is good.
        split: The data.
        device: Where the model runs.
        original: The original model, for an objective that follows it.
        ranked: Whether the loss is computed too; a file need not have what that takes.

    Raises:
        InputError: If there are no samples.
    """
    batches = tensor_batches(split, evaluation_batch(split), device)
    parts = ((batch, targets_of(objective, batch, original, ranked=ranked)) for batch in batches)
    return score_batches(run, objective, parts)


def score_batches(run: Runner, objective: Objective, parts: Iterable[tuple[TensorBatch, "BatchTargets"]]) -> Score:
    """Score a model on batches whose targets are known.

    Raises:
        InputError: If there are no samples.
    """
    scores: list[Tensor] = []
    loss, count, ranked, first = torch.zeros((), dtype=torch.float64), 0, True, None
    broken, nan, differs = torch.tensor(0), torch.tensor(0), torch.tensor(False)
    names = {*objective.captures, *objective.score_captures}
    with torch.inference_mode():  # nothing is read before the end: an accelerator goes on meanwhile
        for batch, targets in parts:
            outputs = run(batch.inputs, batch.size)
            ranked = targets.loss is not None
            scores.append(objective.score(outputs, targets.score).reshape(batch.size, -1).double())
            if targets.loss is not None:
                loss = loss + batch.size * objective.loss(outputs, targets.loss).double()
            count += batch.size
            broken = broken + broken_samples(outputs, names).sum()
            nan = nan + broken_samples(outputs, names, infinite=False).sum()
            if not (differs.is_cpu and differs):
                answers = objective.answers(outputs)
                first = answers[:1] if first is None else first
                differs = torch.logical_or(differs, _differ(answers, first))
    if not count:
        raise InputError("the data has no samples to score a model on: give at least a few")
    found = summarise(torch.cat(scores), _ranking(float(loss) / count) if ranked else math.nan)
    return found._replace(broken=int(broken), nan=int(nan), says_nothing=count > 1 and not differs)


def _differ(answers: Tensor, first: Tensor) -> Tensor:
    """Return whether answers differ from the first one; NaN does from anything, and so does another shape."""
    if answers.shape[1:] != first.shape[1:] or not first.numel():
        return torch.tensor(True)
    return ~((answers - first).abs() <= _SAME * first.abs().amax()).all()


def summarise(scores: Tensor, ranking: float) -> Score:
    """Sum up the samples' own scores [n, figures] in one, on the CPU."""
    scores = scores.cpu()
    each = scores.mean(1)
    figures = tuple(scores.mean(0).tolist())
    error = float(each.std(unbiased=False)) / len(each) ** 0.5
    return Score(float(each.mean()), ranking, len(each), error, figures, tuple(each.tolist()))


class BatchTargets(NamedTuple):
    """What the outputs on one batch are compared with.

    Attributes:
        score: By the objective's score.
        loss: By its loss; None where that is not wanted.
    """

    score: Targets
    loss: Targets | None


def targets_of(
    objective: Objective, batch: TensorBatch, original: Runner | None, *, ranked: bool = True
) -> BatchTargets:
    """Return what outputs are compared with on a batch; the original model is run once, if at all.

    Args:
        objective: What is good.
        batch: The inputs, and labels where the data has any.
        original: The original model, for an objective that follows it.
        ranked: Whether the loss is wanted too.
    """
    followed: Outputs | None = None
    if objective.follows_original or (ranked and objective.loss_follows_original):
        assert original is not None, "an objective that follows the original needs it"
        followed = original(batch.inputs, batch.size)
    score = followed if objective.follows_original else batch.targets
    loss = followed if objective.loss_follows_original else batch.targets
    assert score is not None, "an objective of labels needs them"
    assert not ranked or loss is not None, "a loss by labels needs them"
    return BatchTargets(score, loss if ranked else None)


def minibatch_score(
    supernet: Supernet, architecture: Architecture, objective: Objective, batch: TensorBatch, targets: BatchTargets
) -> Score:
    """Score one minibatch, normalised by the statistics of that very minibatch, as the paper's search does.

    The ranking is not a number where the targets have nothing for the loss.
    """
    supernet.train()
    run = supernet_runner(supernet, architecture, objective.captures, momentum=0.0)  # statistics stay as they are
    with torch.inference_mode():
        outputs: Outputs = run(batch.inputs, batch.size)
        scores = objective.score(outputs, targets.score).reshape(batch.size, -1)
        ranking = math.nan if targets.loss is None else _ranking(float(objective.loss(outputs, targets.loss)))
        return summarise(scores.double(), ranking)


def _ranking(loss: float) -> float:
    """Return a loss with a minus sign, within bounds; one that is not finite ranks behind all others."""
    return min(max(-loss, _LEAST_RANKING), -_LEAST_RANKING) if math.isfinite(loss) else _LEAST_RANKING


def reestimate(
    supernet: Supernet,
    architecture: Architecture,
    data: Batches,
    device: torch.device,
    captures: Axes,
    batch: int = EVALUATION_BATCH,
) -> None:
    """Replace the running statistics by their means over minibatches under one architecture.

    A minibatch whose own are not finite is left out.

    Args:
        supernet: The supernet.
        architecture: What runs.
        data: What it runs on; a last minibatch that is not whole is left out where the file fixes its size, and one of
            a single sample always.
        device: Where the supernet is.
        captures: Tensors up to which the model is run, with their batch axes.
        batch: Samples a minibatch, where the file leaves that open.
    """
    fixed = supernet.network.batch_axes.size
    batch = fixed or batch
    statistics = supernet.statistics()
    if fixed == 1 or not statistics:  # none of a batch; the supernet keeps those that it has
        return
    supernet.train()

    def run(*, careful: bool) -> None:
        used = 0
        for position, part in enumerate(tensor_batches(data, batch, device)):
            if part.size > 1 and (part.size == fixed or not fixed or not position):
                held = [value.clone() for value in statistics] if careful else []
                forward(supernet, part.inputs, part.size, architecture, captures, momentum=1 / (used + 1))
                if careful and not _all_finite(statistics):
                    _restore(statistics, held)
                    continue
                used += 1

    with torch.inference_mode():
        for value in statistics:
            torch.nan_to_num_(value, 0.0, 0.0, 0.0)  # whatever training met before
        before = [value.clone() for value in statistics]
        run(careful=False)
        if not _all_finite(statistics):  # no mean over minibatches becomes finite again
            _restore(statistics, before)
            run(careful=True)


def _all_finite(values: Sequence[Tensor]) -> bool:
    return bool(torch.stack([value.isfinite().all() for value in values]).all())


def _restore(values: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    for value, old in zip(values, before, strict=True):
        value.copy_(old)
