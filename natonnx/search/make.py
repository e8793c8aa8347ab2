"""Make the model of a cost target: α's that look promising are refitted, and trained as far as that is wanted."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from natonnx.architecture import Architecture
from natonnx.errors import restoring
from natonnx.search.clock import Clock
from natonnx.search.effort import likely_targets
from natonnx.search.finetune import Finetuning, Limit
from natonnx.search.look import Looker, as_arrays, refit_on
from natonnx.search.outcome import Candidate
from natonnx.search.problem import Problem
from natonnx.search.progress import Progress
from natonnx.search.runner import Runner
from natonnx.search.samples import Samples
from natonnx.search.score import Score
from natonnx.search.settings import Settings
from natonnx.search.spend import Halving, Start, planned_images
from natonnx.supernet import Supernet

__all__ = ["Maker"]

_log = logging.getLogger(__name__)

_KEPT = 0.85
"""Of the score by refitted weights: what an α must have by given ones to start from these."""


class Maker:
    """Makes candidates, one after the other.

    Args:
        problem: Network and data.
        settings: How much is trained, and how.
        given: The original.
        original: Runs it.
        looker: Scores architectures on held-out samples.
        samples: How many are looked at besides training.
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
        samples: Samples,
        clock: Clock,
        progress: Progress,
        save: Callable[[], None],
    ) -> None:
        self._problem, self._settings, self._original = problem, settings, original
        self._looker, self._samples = looker, samples
        self._clock, self._progress, self._save = clock, progress, save
        self._refit, self._refit_samples = refit_on(problem, given, samples.refitted, settings.seed)
        self.training, self.teacher = 0.0, 0.0
        self.halving: Halving | None = None

    def make(
        self,
        alphas: Sequence[Architecture],
        target: float,
        done: Sequence[Candidate],
        *,
        rival: Architecture | None = None,
        resumed: Mapping[str, Any] | None = None,
    ) -> Candidate:
        """Make the candidate of a target.

        Args:
            alphas: The most promising α's, best first; at least one.
            target: Their highest cost, as a fraction of β's.
            done: Candidates of other targets; training may go on from the weights of the last one.
            rival: An α that is one of the finalists in any case, where there are several.
            resumed: State of its training, where that was interrupted.
        """
        if resumed is None:
            starts = self._starts(alphas, target, done, rival)
        else:
            with restoring():
                starts = [Start.of_dict(saved, self._problem.network.architecture) for saved in resumed["starts"]]
        if not self._settings.training:
            return self._untrained(starts[0], target)
        limit = self._limit(len(done))
        self.halving = Halving(
            lambda start: self._training(start, limit),
            self._score,
            starts,
            self._progress,
            self._save,
        )
        if resumed is not None:
            with restoring():
                self.halving.load_dict(resumed)
        start, training = self.halving.run()
        self.training += self.halving.images
        self.teacher += self.halving.images / 3 if training.follows else 0.0
        self.halving = None
        return self._finished(training, target, start.images + training.images)

    def _starts(
        self, alphas: Sequence[Architecture], target: float, done: Sequence[Candidate], rival: Architecture | None
    ) -> list[Start]:
        """Choose the finalists by their refitted weights, of more samples than look-ups had."""
        count = self._settings.finalists
        found = [self._start(alpha, done) for alpha in alphas]
        others = [] if rival is None else [self._start(rival, done)]
        if count > 1 and self._settings.training:
            ranked = sorted(found, key=lambda pair: pair[0].ranking, reverse=True)[: count - len(others)] + others
        else:
            ranked = sorted(found + others, key=lambda pair: pair[0].ranking, reverse=True)[:count]
        for score, _ in ranked:
            _log.info("finalist for %g of the cost: held-out score %.4g, ranked by %.4g", target, *score[:2])
        return [start for _, start in ranked]

    def _start(self, alpha: Architecture, done: Sequence[Candidate]) -> tuple[Score, Start]:
        """Choose where an α starts, and score it: from refitted weights, or given ones that have hardly suffered.

        Given are the file's weights, and those of the candidate before; refitted ones score better than they, but where
        an α without any refit keeps most of that score, training ends better from them (docs/search.md#starts).
        """
        changed, _ = self._refit.run(alpha)
        self._looker.images += self._refit_samples
        refitted = Start(alpha, as_arrays(changed))
        score = self._scored(refitted)
        given = [Start(alpha, {})]
        if done:
            given.append(Start(alpha, done[-1].weights, done[-1].images))
        by_given = [(self._scored(start), start) for start in map(self._settled, given)]
        best, start = max(by_given, key=lambda pair: pair[0].value)
        if not self._settings.training:
            return max((score, refitted), (best, start), key=lambda pair: pair[0].ranking)
        keeps = best.value >= score.value - (1 - _KEPT) * abs(score.value)
        return (max(score, best, key=lambda one: one.ranking), start) if keeps else (score, refitted)

    def _settled(self, start: Start) -> Start:
        """Re-estimate the statistics of normalisation of an α by given weights."""
        training = self._training(start, Limit(0))
        self._looker.images += training.settle(self._samples.calibrated)
        return Start(start.architecture, training.supernet.weights(), start.images)

    def _scored(self, start: Start) -> Score:
        weights = {name: torch.from_numpy(value) for name, value in start.weights.items()}
        return self._looker.score(start.architecture, weights)

    def _limit(self, made: int) -> Limit:
        """Return how long each architecture of a target may be trained, where some were made already."""
        images = round(self._settings.finetune_epochs * self._problem.train.count())
        left = self._clock.left
        if left is None:
            return Limit(images)
        rest = max(1, len(likely_targets(self._problem, self._settings)) - made)
        overhead = planned_images(1_000_000, self._settings.finalists) / 1_000_000
        afterwards = (self._clock.each or 0.0) * self._samples.finish(self._settings.finalists)
        return Limit(images, max(0.0, left / rest - afterwards) / overhead)

    def _training(self, start: Start, limit: Limit) -> Finetuning:
        architecture, weights = start.architecture, start.weights
        return Finetuning(
            self._problem, architecture, self._settings, original=self._original, limit=limit, start=weights
        )

    def _score(self, training: Finetuning, samples: int | None = None) -> Score:
        """Score a training as it stands, on the held-out samples."""
        self._looker.images += training.settle(samples or self._samples.calibrated)
        return self._looker.score(training.architecture, training.supernet.named_tensors())

    def _untrained(self, start: Start, target: float) -> Candidate:
        """Make a candidate without training, by the weights where it would start."""
        training = self._training(start, Limit(0))
        score = self._looker.score(training.architecture, training.supernet.named_tensors())
        return Candidate(training.architecture, training.supernet.weights(), score, target, 0)

    def _finished(self, training: Finetuning, target: float, images: int) -> Candidate:
        score = self._score(training, self._samples.settled)
        return Candidate(training.architecture, training.supernet.weights(), score, target, images)
