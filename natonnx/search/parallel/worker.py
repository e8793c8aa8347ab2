"""What carries out the independent parts of a search: the same code in a search's own process and in any other one."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch

from natonnx.architecture import Architecture
from natonnx.search.assess import original_runner
from natonnx.search.finetune import Finetuning, Limit
from natonnx.search.look import Looker, as_arrays, refit_on
from natonnx.search.problem import Problem
from natonnx.search.refit import Refit
from natonnx.search.samples import Samples
from natonnx.search.score import Score
from natonnx.search.settings import Settings
from natonnx.search.spend import Start
from natonnx.supernet import Supernet, initial_weights

__all__ = ["Worker"]

_KEPT = 0.85
"""Of the score by refitted weights: what an α must have by given ones to start from these."""


class Worker:
    """Looks architectures up, and trains them. What it returns depends on its arguments alone, not on what it did.

    Args:
        problem: Network and data.
        settings: How much is trained, and how.
        samples: How many are looked at besides training.

    Attributes:
        problem: As given.
        samples: As given.
        original: Runs the original.
        looker: Scores architectures on held-out samples.
    """

    def __init__(self, problem: Problem, settings: Settings, samples: Samples) -> None:
        self.problem, self.samples, self._settings = problem, samples, settings
        self._given = Supernet(problem.network).to(problem.device).eval()
        self.original = original_runner(problem, self._given)
        self.looker = Looker(
            problem, self._given, self.original, settings.seed, samples, topped_up=not settings.training
        )
        self._kept: tuple[str, Finetuning] | None = None

    def start(self, alpha: Architecture, before: Start | None) -> tuple[Score, Start]:
        """Choose where an α starts, and score it: from refitted weights, or given ones that have hardly suffered.

        Given are the file's weights, and those of the candidate before; refitted ones score better than they, but where
        an α without any refit keeps most of that score, training ends better from them (docs/search.md#starts). Where
        all is trained from scratch, the score is that of the refitted ones.

        Args:
            alpha: The architecture.
            before: The candidate of the target before, its weights and images; None for the first target.
        """
        refit, refitted_samples = self._refit
        changed, _ = refit.run(alpha)
        self.looker.images += refitted_samples
        refitted = Start(alpha, as_arrays(changed))
        score = self._scored(refitted)
        if self._settings.weights == "scratch":
            return score, self.from_scratch(alpha)
        given = [Start(alpha, {})]
        if before is not None:
            given.append(Start(alpha, before.weights, before.images))
        by_given = [(self._scored(start), start) for start in map(self._settled, given)]
        best, start = max(by_given, key=lambda pair: pair[0].value)
        if not self._settings.training:
            return max((score, refitted), (best, start), key=lambda pair: pair[0].ranking)
        keeps = best.value >= score.value - (1 - _KEPT) * abs(score.value)
        return (max(score, best, key=lambda one: one.ranking), start) if keeps else (score, refitted)

    def from_scratch(self, architecture: Architecture) -> Start:
        """Start an architecture from weights that are drawn anew: the same ones, whatever it is."""
        return Start(architecture, self._drawn)

    def training(self, start: Start, limit: Limit) -> Finetuning:
        """Begin the training of an α."""
        return Finetuning(
            self.problem, start.architecture, self._settings, original=self.original, limit=limit, start=start.weights
        )

    def settle(self, training: Finetuning, samples: int) -> Score:
        """Re-estimate the statistics of a training as it stands, and score it on the held-out samples."""
        self.looker.images += training.settle(samples)
        return self.score(training)

    def score(self, training: Finetuning) -> Score:
        """Score a training as it stands on the held-out samples."""
        return self.looker.score(training.architecture, training.supernet.named_tensors())

    def resume(self, start: Start, limit: Limit, state: Mapping[str, Any] | None, mark: str) -> Finetuning:
        """Go on with a training, by what it was left in; without reading it where this very worker left it so.

        Args:
            start: Where it began.
            limit: How long it goes.
            state: What `Finetuning.to_dict` gave; None for its beginning.
            mark: What `keep` was told of that state.
        """
        kept, self._kept = self._kept, None
        if kept is not None and kept[0] == mark:
            return kept[1]
        training = self.training(start, limit)
        if state is not None:
            training.load_dict(state)
        return training

    def keep(self, training: Finetuning, mark: str) -> None:
        """Remember a training as it is left, for `resume`; one at most."""
        self._kept = mark, training

    @cached_property
    def _drawn(self) -> Mapping[str, np.ndarray]:
        return as_arrays(initial_weights(self._given, self._settings.seed))

    @cached_property
    def _refit(self) -> tuple[Refit, int]:
        return refit_on(self.problem, self._given, self.samples.refitted, self._settings.seed)

    def _settled(self, start: Start) -> Start:
        """Re-estimate the statistics of normalisation of an α by given weights."""
        training = self.training(start, Limit(0))
        self.looker.images += training.settle(self.samples.calibrated)
        return Start(start.architecture, training.supernet.weights(), start.images)

    def _scored(self, start: Start) -> Score:
        weights = {name: torch.from_numpy(value) for name, value in start.weights.items()}
        return self.looker.score(start.architecture, weights)
