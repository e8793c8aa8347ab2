"""Train one architecture for itself, in parts, by a number of images or of seconds."""

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from natonnx.architecture import Architecture
from natonnx.data.batches import WHOLE
from natonnx.search.problem import Problem
from natonnx.search.progress import Stage
from natonnx.search.runner import Runner, TensorBatch, tensor_batches
from natonnx.search.samples import estimated_on
from natonnx.search.score import CALIBRATION, Score, reestimate
from natonnx.search.settings import Settings
from natonnx.search.team import Team
from natonnx.search.train import Trainer
from natonnx.supernet import Supernet

__all__ = ["Finetuned", "Finetuning", "Limit"]

_WARM_UP = 0.05
_FEWEST = 2
"""Samples of a minibatch, for statistics of its own."""
_TOLD = 50
"""Steps from one loss that is told to the next, where the host would wait for each."""


class Finetuned(NamedTuple):
    """What fine-tuning gave.

    Attributes:
        weights: Arrays by ONNX name (`Supernet.weights`).
        validation: Score on the validation split.
        images: Training images that it took.
    """

    weights: Mapping[str, np.ndarray]
    validation: Score
    images: int


class Limit(NamedTuple):
    """How long an architecture is trained: whichever ends first.

    Attributes:
        images: Of the training split, each counted as often as it is used; 0 or less for none.
        seconds: Of training; None for no limit.
    """

    images: int
    seconds: float | None = None


class Finetuning:
    """The training of one architecture.

    The learning rate rises at first and then falls to 0 along half a cosine, over all of the limit. The order of the
    samples and the augmentation depend on the seed alone: every architecture sees the same.

    Args:
        problem: Network and data.
        architecture: α, or β.
        settings: The recipe, batch size, seed.
        original: The original model.
        limit: How long it is trained in all.
        start: Tensors by ONNX name that differ from the file's, where it starts.

    Attributes:
        images: Training images that were used so far.
        seconds: Of training so far.
    """

    def __init__(
        self,
        problem: Problem,
        architecture: Architecture,
        settings: Settings,
        *,
        original: Runner,
        limit: Limit,
        start: Mapping[str, np.ndarray],
    ) -> None:
        self.architecture, self.limit = architecture, limit
        self.images, self.seconds = 0, 0.0
        self._problem, self._settings = problem, settings
        self.supernet = Supernet(problem.network).to(problem.device)
        self.supernet.load_weights(start)
        self._trainer = Trainer(
            problem,
            self.supernet,
            original,
            learning_rate=settings.recipe.learning_rate,
            distillation=settings.recipe.distillation,
            weight_decay=settings.weight_decay,
            amp=settings.amp,
        )
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._epoch_began = self._generator.get_state()
        self._batches: Iterator[TensorBatch] | None = None
        self._taken = 0
        self._team: Team | None = None
        self._note = ""

    @property
    def follows(self) -> bool:
        """Whether the original runs on every training batch too."""
        return self._trainer.follows

    @property
    def done(self) -> float:
        """Return the part of the limit that is used, by images or by seconds, whichever is further."""
        by_time = 0.0 if self.limit.seconds is None else self.seconds / max(self.limit.seconds, 1e-9)
        by_images = self.images / self.limit.images if self.limit.images > 0 else 1.0
        return min(1.0, max(by_images, by_time))

    def run(self, until: float, stage: Stage | None = None, team: Team | None = None) -> None:
        """Train up to a part of the limit.

        Args:
            until: That part, from 0 to 1.
            stage: Told of each batch, by its samples.
            team: Processes that all call this at once, with the same arguments and the same state; none where None.
        """
        self._join(team)
        begun, before, fresh = time.monotonic(), self.seconds, self._batches is None
        while self.done < until:
            batch = self._next()
            if batch is None:
                if fresh:
                    break  # the data has no whole minibatch
                fresh, self._batches = True, None
                continue
            part = None if team is None else team.part(batch.size, before + time.monotonic() - begun)
            if part is not None and part.smallest < _FEWEST:
                continue  # too few for statistics of their own
            fresh = False
            self._trainer.set_rate(self._settings.recipe.learning_rate * _schedule(self.done))
            loss = self._trainer.step(batch, self.architecture, self._generator, part)
            size = batch.size if part is None else part.total
            self.images += size
            self.seconds = before + time.monotonic() - begun if part is None else part.seconds  # all stop at once
            if stage is not None:
                if loss.is_cpu or self._trainer.steps % _TOLD == 1:
                    self._note = f"loss {float(loss):.3f}"
                stage.advance(self._note, by=size)
            if self.done >= 1:
                self._trainer.tell_skipped()
        self._trainer.join(None)

    def _next(self) -> TensorBatch | None:
        """Return the next minibatch; None behind the last one of a pass."""
        if self._batches is None:
            self._epoch_began, self._taken = self._generator.get_state(), 0
            self._batches = self._open()
        self._taken += 1
        return next(self._batches, None)

    def _open(self, start: int = 0) -> Iterator[TensorBatch]:
        problem, share = self._problem, WHOLE if self._team is None else self._team.share
        return tensor_batches(
            problem.train, self._settings.batch, problem.device, self._generator, start=start, share=share
        )

    def _join(self, team: Team | None) -> None:
        """Train with others from now on, or alone."""
        self._trainer.join(team)
        was, self._team = self._team, team
        if team is not was and self._batches is not None:
            self._reopen()

    def _reopen(self) -> None:
        """Go on with a pass behind the batches that were taken."""
        now = self._generator.get_state()
        self._generator.set_state(self._epoch_began)
        self._batches = self._open(self._taken)
        self._generator.set_state(now)

    def settle(self, count: int = CALIBRATION) -> int:
        """Re-estimate the statistics of normalisation on so many training samples; return how many there were."""
        problem = self._problem
        samples = problem.train.subset(count, torch.Generator().manual_seed(self._settings.seed))
        captures, batch = problem.objective.captures, estimated_on(problem)
        reestimate(self.supernet, self.architecture, samples, problem.device, captures, batch)
        return samples.count()

    # Checkpoints

    def to_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {
            "weights": self.supernet.state_dict(),
            "optimizer": self._trainer.optimizer.state_dict(),
            "images": self.images,
            "seconds": self.seconds,
            "generator": self._generator.get_state(),
            "epoch_began": self._epoch_began,
            "taken": self._taken,
            "open": self._batches is not None,
        }

    def load_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `to_dict` gave."""
        self.supernet.load_state_dict(state["weights"])
        self._trainer.optimizer.load_state_dict(state["optimizer"])
        self.images, self.seconds = state["images"], state["seconds"]
        self._epoch_began = state["epoch_began"]
        self._generator.set_state(state["generator"])
        self._taken, self._batches = state["taken"], None
        if state["open"]:
            self._reopen()


def _schedule(done: float) -> float:
    """Return the learning rate as a part of its highest, behind a part of all training."""
    if done < _WARM_UP:
        return 0.2 + 0.8 * done / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))
