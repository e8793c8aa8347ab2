"""Make the model of a cost target: α's that look promising are refitted, and trained as far as that is wanted."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from natonnx.architecture import Architecture
from natonnx.errors import restoring
from natonnx.search.clock import Clock
from natonnx.search.effort import likely_targets
from natonnx.search.finetune import Finetuning, Limit
from natonnx.search.keys import key
from natonnx.search.outcome import Candidate
from natonnx.search.parallel.executor import Executor
from natonnx.search.parallel.tasks import Begin, score_of
from natonnx.search.parallel.worker import Worker
from natonnx.search.progress import Progress
from natonnx.search.settings import Settings
from natonnx.search.spend import Halving, Start, Trained, planned_images

__all__ = ["Maker"]

_log = logging.getLogger(__name__)


class Maker:
    """Makes candidates, one after the other.

    Args:
        worker: What this process carries out itself.
        executor: Carries out what can be spread.
        settings: How much is trained, and how.
        clock: Of the time budget.
        progress: Told of every batch.
        save: Called now and then during training.

    Attributes:
        training: Training images that were used.
        teacher: What the original took on them, forward alone counted as a third.
        beta: β trained from scratch; None where it was not.
        halving: The training that goes on; None between two.
    """

    def __init__(
        self,
        worker: Worker,
        executor: Executor,
        settings: Settings,
        clock: Clock,
        progress: Progress,
        save: Callable[[], None],
    ) -> None:
        self._worker, self._executor, self._settings = worker, executor, settings
        self._problem, self._samples = worker.problem, worker.samples
        self._clock, self._progress, self._save = clock, progress, save
        self.training, self.teacher = 0.0, 0.0
        self.beta: Candidate | None = None
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
        start, training = self._trained(starts, self._limit(len(done)), resumed)
        return self._finished(training, target, start.images + training.images)

    def make_beta(self, resumed: Mapping[str, Any] | None = None) -> Candidate:
        """Train β from scratch; what is made later is trained as long, by images.

        Args:
            resumed: See `make`.
        """
        start = self._worker.from_scratch(self._problem.network.architecture)
        _, training = self._trained([start], self._limit(0), resumed)
        self.beta = self._finished(training, None, training.images)
        return self.beta

    def _trained(self, starts: Sequence[Start], limit: Limit, resumed: Mapping[str, Any] | None) -> Trained:
        """Train the most promising of some to the end; return it."""
        self.halving = Halving(
            lambda start: self._worker.training(start, limit),
            self._executor.train,
            lambda living: self._executor.settle(living, self._samples.calibrated),
            starts,
            self._progress,
            self._save,
        )
        if resumed is not None:
            with restoring():
                self.halving.load_dict(resumed)
        found = self.halving.run()
        self.training += self.halving.images
        self.teacher += self.halving.images / 3 if found[1].follows else 0.0
        self.halving = None
        return found

    def _starts(
        self, alphas: Sequence[Architecture], target: float, done: Sequence[Candidate], rival: Architecture | None
    ) -> list[Start]:
        """Choose the finalists by their refitted weights, of more samples than look-ups had."""
        count = self._settings.finalists
        before = Start(done[-1].architecture, done[-1].weights, done[-1].images).to_dict() if done else None
        given = [*alphas, *([] if rival is None else [rival])]
        results = self._executor.map([Begin(key(alpha), before) for alpha in given])
        beta = self._problem.network.architecture
        started = [(score_of(found), Start.of_dict(found["start"], beta)) for found in results]
        own, others = started[: len(alphas)], started[len(alphas) :]
        if count > 1 and self._settings.training:
            ranked = sorted(own, key=lambda pair: pair[0].ranking, reverse=True)[: count - len(others)] + others
        else:
            ranked = sorted(started, key=lambda pair: pair[0].ranking, reverse=True)[:count]
        for score, _ in ranked:
            _log.info("finalist for %g of the cost: held-out score %.4g, ranked by %.4g", target, *score[:2])
        return [start for _, start in ranked]

    def _limit(self, made: int) -> Limit:
        """Return how long each architecture of a target may be trained, where some were made already."""
        images = round(self._settings.recipe.epochs * self._problem.train.count())
        if self.beta is not None:
            images = min(images, self.beta.images)
        left = self._clock.left
        if left is None:
            return Limit(images)
        rest = max(1, len(likely_targets(self._problem, self._settings)) - made)
        rest += self._settings.weights == "scratch" and self.beta is None
        overhead = planned_images(1_000_000, self._settings.finalists) / 1_000_000
        afterwards = (self._clock.each or 0.0) * self._samples.finish(self._settings.finalists)
        return Limit(images, max(0.0, left / rest - afterwards) / overhead)

    def _untrained(self, start: Start, target: float) -> Candidate:
        """Make a candidate without training, by the weights where it would start."""
        training = self._worker.training(start, Limit(0))
        score = self._worker.score(training)
        return Candidate(training.architecture, training.supernet.weights(), score, target, 0)

    def _finished(self, training: Finetuning, target: float | None, images: int) -> Candidate:
        score = self._worker.settle(training, self._samples.settled)
        return Candidate(training.architecture, training.supernet.weights(), score, target, images)
