"""A look-up: refit an architecture on calibration samples, and score it on samples that are held out."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch

from natonnx.architecture import Architecture
from natonnx.data.batches import Batches
from natonnx.search.assess import runnable, with_reward
from natonnx.search.finite import broken_samples
from natonnx.search.keys import signature
from natonnx.search.own import judge
from natonnx.search.prefix import MOST_BYTES, PrefixRunner
from natonnx.search.problem import Problem
from natonnx.search.refit import MOST_KEPT, Refit
from natonnx.search.room import KEPT, ORIGINAL, room
from natonnx.search.runner import (
    EVALUATION_BATCH,
    Runner,
    TensorBatch,
    evaluation_batch,
    supernet_runner,
    tensor_batches,
)
from natonnx.search.samples import Samples, holdable
from natonnx.search.score import BatchTargets, Score, score_batches, targets_of
from natonnx.supernet import Supernet
from natonnx.supernet.ops.operands import as_array

__all__ = ["Looker", "as_arrays", "calibration_batches", "refit_on"]

_SAMPLES = Samples()
_ROWS = 4096
"""Positions of a tensor that a look-up's refit looks at, at most."""
_PER_FEATURE = 2.0
"""Of these, for each feature of an operator: more do not rank better (docs/search.md#positions-of-a-look-up)."""


class _Part(NamedTuple):
    batch: TensorBatch
    targets: BatchTargets


class Looker:
    """Looks architectures up: how good each is by weights that are refitted, without training.

    Args:
        problem: Network and data; calibration samples come from the training split, held-out ones from validation.
        supernet: The original; its weights stay as they are.
        original: The original model, for objectives that follow it.
        seed: Of the choice of samples.
        samples: How many.
        topped_up: Whether training samples are scored on too where validation has few: a refit has hardly learned them,
            and more samples rank better (docs/search.md#few-pictures).

    Attributes:
        scores: What was found, by `signature`.
        by_given: What ranks architectures by the file's own weights, by `signature`.
        images: Samples that an architecture ran on so far.
    """

    def __init__(
        self,
        problem: Problem,
        supernet: Supernet,
        original: Runner,
        seed: int,
        samples: Samples = _SAMPLES,
        *,
        topped_up: bool = False,
    ) -> None:
        self._problem, self._given = problem, supernet
        self.scores: dict[str, Score] = {}
        self.by_given: dict[str, float] = {}
        self.images = 0
        self._refit, self._calibration = refit_on(problem, supernet, samples.calibrated, seed, _ROWS, _PER_FEATURE)
        generator = torch.Generator().manual_seed(seed)
        held_out = [problem.validation.subset(samples.held_out, generator)]
        wanted = holdable(problem, _SAMPLES.held_out) if topped_up else 0
        if (count := held_out[0].count()) < wanted:
            held_out.append(problem.train.subset(wanted - count, generator))
        self.parts = [
            _Part(batch, targets_of(problem.objective, batch, original))
            for split in held_out
            for batch in tensor_batches(split, evaluation_batch(split), problem.device)
        ]
        before = accumulate((part.batch.size for part in self.parts), initial=0)
        self._first_parts = [part for part, count in zip(self.parts, before, strict=False) if count < EVALUATION_BATCH]
        batches, most = [part.batch for part in self.parts], room(problem.loading, KEPT, MOST_BYTES)
        self._held_out = PrefixRunner(supernet, batches, problem.objective.captures, most)

    @property
    def kept_bytes(self) -> int:
        """What is kept of the original's tensors on the held-out samples."""
        return self._held_out.kept_bytes

    def __call__(self, alpha: Architecture) -> float:
        """Return what ranks an architecture: the mean loss with a minus sign, or the user's own reward."""
        text = signature(alpha)
        if text not in self.scores:
            self.scores[text] = self.look_up(alpha)
        return self.scores[text].ranking

    def look_up(self, alpha: Architecture) -> Score:
        """Score an architecture by refitted weights, whether that is known or not."""
        changed, _ = self._refit.run(alpha)
        self.images += self._calibration
        return self.score(alpha, changed)

    def rank_by_given(self, alpha: Architecture) -> float:
        """Return what ranks an architecture by the file's own weights, on some of the held-out samples."""
        text = signature(alpha)
        if text not in self.by_given:
            self.by_given[text] = self.given_rank(alpha)
        return self.by_given[text]

    def given_rank(self, alpha: Architecture) -> float:
        """Rank an architecture by the file's own weights, whether that is known or not."""
        return self._score(alpha, {}, self._first_parts).ranking

    def score(self, alpha: Architecture, changed: Mapping[str, torch.Tensor]) -> Score:
        """Score an architecture on the held-out samples.

        Args:
            alpha: The architecture.
            changed: Tensors by ONNX name that differ from the original's.
        """
        found = self._score(alpha, changed, self.parts)
        if self._problem.reward is None:
            return found
        changed_supernet = Supernet(self._problem.network).to(self._problem.device).eval()
        changed_supernet.load_state_dict(self._given.state_dict())
        changed_supernet.load_weights(changed)
        return with_reward(found, judge(self._problem.reward, runnable(self._problem, changed_supernet, alpha)))

    def _score(self, alpha: Architecture, changed: Mapping[str, torch.Tensor], parts: Sequence[_Part]) -> Score:
        found = score_batches(self._held_out.runner(alpha, changed), self._problem.objective, parts)
        self.images += found.samples
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        scores = {text: score.plain() for text, score in self.scores.items()}
        return {"scores": scores, "by_given": self.by_given, "images": self.images}

    def load_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `to_dict` gave."""
        self.scores = {text: Score(*score) for text, score in state["scores"].items()}
        self.by_given = dict(state["by_given"])
        self.images = state["images"]


def refit_on(
    problem: Problem, supernet: Supernet, count: int, seed: int, rows: int = 8192, per_feature: float | None = None
) -> tuple[Refit, int]:
    """Make a refit on so many training samples, as far as there are; return how many it runs on, too."""
    batches = calibration_batches(problem, problem.train, count, seed, supernet)
    inputs, kept = [batch.inputs for batch in batches], room(problem.loading, ORIGINAL, MOST_KEPT)
    refit = Refit(supernet, inputs, rows=rows, per_feature=per_feature, seed=seed, most_bytes=kept)
    return refit, sum(batch.size for batch in batches)


def calibration_batches(
    problem: Problem, split: Batches, count: int, seed: int, supernet: Supernet
) -> Sequence[TensorBatch]:
    """Return a random part of a split, in batches that the network takes; without what the original makes NaN of."""
    fixed = problem.network.batch_axes.size
    chosen = split.subset(count, torch.Generator().manual_seed(seed))
    captures = problem.objective.captures
    run = supernet_runner(supernet, problem.network.architecture, captures)
    parts = list(tensor_batches(chosen, fixed or EVALUATION_BATCH, problem.device))
    broken = torch.cat([broken_samples(run(p.inputs, p.size), captures, infinite=False) for p in parts])
    is_mixed = bool(broken.any() and not broken.all())
    if fixed is None and not is_mixed:
        return parts
    samples = split.sample(count, torch.Generator().manual_seed(seed))
    if is_mixed:
        samples = samples.take(np.flatnonzero(~broken.cpu().numpy()))
    if fixed is not None:  # whole batches only
        samples = samples.repeat(max(1, -(-samples.samples // fixed)) * fixed)
    return list(tensor_batches(samples, fixed or EVALUATION_BATCH, problem.device))


def as_arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return tensors as arrays."""
    return {name: as_array(value.cpu().contiguous()).copy() for name, value in tensors.items()}
