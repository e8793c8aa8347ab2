"""Make the model of a cost target: α's that look promising are refitted, and trained as far as that is wanted."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from natonnx.architecture import Architecture
from natonnx.search.clock import Clock
from natonnx.search.effort import LADDER
from natonnx.search.finetune import Finetuning, Limit, count_samples
from natonnx.search.look import Looker, as_arrays, calibration_batches, refit_on
from natonnx.search.outcome import Candidate
from natonnx.search.problem import Problem
from natonnx.search.progress import Progress
from natonnx.search.refit import Refit
from natonnx.search.runner import Runner
from natonnx.search.score import Score
from natonnx.search.settings import Settings
from natonnx.search.spend import Halving, Start, planned_images
from natonnx.supernet import Supernet

__all__ = ["Maker"]

_log = logging.getLogger(__name__)

_REFIT = 640
"""Training samples on which the weights are refitted that training starts from, or that are written without any."""


class Maker:
    """Makes candidates, one after the other.

    Args:
        problem: Network and data.
        settings: How much is trained, and how.
        given: The original.
        original: Runs it.
        looker: Scores architectures on held-out samples.
        clock: Of the time budget.
        progress: Told of every batch.
        save: Called now and then during training.

    Attributes:
        training: Training images that were used.
        teacher: What the original took on them, forward alone counted as a third.
        halving: The training that goes on; None between two.
    """

    def __init__(
        self,
        problem: Problem,
        settings: Settings,
        given: Supernet,
        original: Runner,
        looker: Looker,
        clock: Clock,
        progress: Progress,
        save: Callable[[], None],
    ) -> None:
        self._problem, self._settings, self._given, self._original = problem, settings, given, original
        self._looker, self._clock, self._progress, self._save = looker, clock, progress, save
        self._refit = refit_on(problem, given, _REFIT, settings.seed)
        self.training, self.teacher = 0.0, 0.0
        self.halving: Halving | None = None

    def make(
        self,
        alphas: Sequence[Architecture],
        target: float,
        done: Sequence[Candidate],
        resumed: Mapping[str, Any] | None = None,
    ) -> Candidate:
        """Make the candidate of a target.

        Args:
            alphas: The most promising α's, best first; at least one.
            target: Their highest cost, as a fraction of β's.
            done: Candidates of other targets; training may go on from the weights of the last one.
            resumed: State of its training, where that was interrupted.
        """
        starts = [self._start(alpha, done) for alpha in alphas]
        ranked = sorted(starts, key=lambda pair: pair[0].ranking, reverse=True)[: self._settings.finalists]
        for score, _ in ranked:
            _log.info("finalist for %g of the cost: held-out score %.4g, ranked by %.4g", target, *score[:2])
        if not self._settings.training:
            return self._untrained(ranked[0][1], target)
        limit = self._limit(len(done))
        self.halving = Halving(
            lambda start: self._training(start, limit),
            self._score,
            [start for _, start in ranked],
            self._progress,
            self._save,
        )
        if resumed is not None:
            self.halving.load_dict(resumed)
        start, training = self.halving.run()
        self.training += self.halving.images
        self.teacher += self.halving.images / 3 if training.follows else 0.0
        self.halving = None
        return self._finished(training, target, start.images + training.images)

    def _start(self, alpha: Architecture, done: Sequence[Candidate]) -> tuple[Score, Start]:
        """Choose where an α starts: from refitted weights, the file's, or those of the candidate before it."""
        changed, _ = self._refit.run(alpha)
        self._looker.images += _REFIT
        options = [Start(alpha, as_arrays(changed)), Start(alpha, {})]
        if done:
            options.append(Start(alpha, done[-1].weights, done[-1].images))
        scored = [(self._scored(option), option) for option in options]
        return max(scored, key=lambda pair: pair[0].ranking)

    def _scored(self, start: Start) -> Score:
        weights = {name: torch.from_numpy(value) for name, value in start.weights.items()}
        return self._looker.score(start.architecture, weights)

    def _limit(self, made: int) -> Limit:
        """Return how long each architecture of a target may be trained, where some were made already."""
        images = self._settings.finetune_epochs * count_samples(self._problem.train)
        left = self._clock.left
        if left is None:
            return Limit(images)
        rest = max(1, len(self._settings.targets or LADDER[:2]) - made)
        overhead = planned_images(1_000_000, self._settings.finalists) / 1_000_000
        return Limit(images, left / rest / overhead)

    def _training(self, start: Start, limit: Limit) -> Finetuning:
        architecture, weights = start.architecture, start.weights
        return Finetuning(
            self._problem, architecture, self._settings, original=self._original, limit=limit, start=weights
        )

    def _score(self, training: Finetuning) -> Score:
        """Score a training as it stands, on the held-out samples."""
        training.settle()
        return self._looker.score(training.architecture, training.supernet.named_tensors())

    def _untrained(self, start: Start, target: float) -> Candidate:
        """Make a candidate without training: weights that were refitted are so on all samples there are."""
        if start.weights:
            problem, seed = self._problem, self._settings.seed
            splits = (problem.train, problem.validation)
            batches = [batch for split in splits for batch in calibration_batches(problem, split, _REFIT, seed)]
            changed, _ = Refit(self._given, batches, seed=seed).run(start.architecture)
            start = Start(start.architecture, as_arrays(changed))
        training = self._training(start, Limit(0))
        score = self._looker.score(training.architecture, training.supernet.named_tensors())
        return Candidate(training.architecture, training.supernet.weights(), score, target, 0)

    def _finished(self, training: Finetuning, target: float, images: int) -> Candidate:
        score = self._score(training)
        return Candidate(training.architecture, training.supernet.weights(), score, target, images)
