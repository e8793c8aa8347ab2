"""Spend training images: successive halving over a few α's, so that most of them go into the one that is left."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from natonnx.architecture import Architecture
from natonnx.search.finetune import Finetuning
from natonnx.search.keys import from_key, key
from natonnx.search.progress import Progress, Stage
from natonnx.search.score import Score

__all__ = ["Halving", "Start", "Trained", "planned_images"]

_log = logging.getLogger(__name__)

_FIRST = 0.24
"""Of all images, the part that the first round takes of each α, times the number of α's."""

_SAVED = 0.1
"""Part of a training behind which its state is saved."""


@dataclass(frozen=True)
class Start:
    """An α, and where its training starts.

    Attributes:
        architecture: α.
        weights: Arrays by ONNX name that differ from the file's.
        images: Training images that went into them before.
    """

    architecture: Architecture
    weights: Mapping[str, np.ndarray]
    images: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        weights = {name: torch.from_numpy(value) for name, value in self.weights.items()}
        return {"states": key(self.architecture), "weights": weights, "images": self.images}

    @staticmethod
    def of_dict(state: Mapping[str, Any], beta: Architecture) -> "Start":
        """Undo `to_dict`."""
        weights = {name: value.numpy() for name, value in state["weights"].items()}
        return Start(from_key(beta, state["states"]), weights, state["images"])


Trained = tuple[Start, Finetuning]
"""A training, and where it began."""


class Halving:
    """Trains several α's, drops the worse half of them again and again, and trains the last one to the end.

    Successive halving (Karnin et al. 2013; Jamieson and Talwalkar 2016), with the schedule of a single training for
    each: what an α was trained before a round is not lost.

    Args:
        make: Makes the training of an α.
        train: Trains several up to a part of their limits.
        score: Scores trainings as they stand.
        starts: The α's, most promising first.
        progress: Told of every batch.
        save: Called between rounds, and now and then within them.

    Attributes:
        images: Training images of all α's together.
    """

    def __init__(
        self,
        make: Callable[[Start], Finetuning],
        train: Callable[[Sequence[Trained], float, Stage], None],
        score: Callable[[Sequence[Trained]], Sequence[Score]],
        starts: Sequence[Start],
        progress: Progress,
        save: Callable[[], None],
    ) -> None:
        self._train, self._score, self._save, self._starts = train, score, save, tuple(starts)
        self._living: list[Trained] = [(start, make(start)) for start in starts]
        self._round, self.images = 0, 0
        self._cuts = _cuts(len(starts))
        limit = self._living[0][1].limit.images
        self._stage = Stage(progress, "train", planned_images(limit, len(starts)))

    def run(self) -> tuple[Start, Finetuning]:
        """Train to the end; return the α that is left."""
        while self._round < len(self._cuts):
            until = self._cuts[self._round]
            waiting = self._living
            while waiting := [one for one in waiting if one[1].done < until]:
                waiting = self._train_on(waiting, until)
            if len(self._living) > 1:
                self._drop()
            self._round += 1
            self._save()
        return self._living[0]

    def _train_on(self, living: Sequence[Trained], until: float) -> list[Trained]:
        """Train some for a while, towards a part of the limit; return those that it is worth going on with."""
        until = min(until, min(training.done for _, training in living) + _SAVED)
        behind = [one for one in living if one[1].done < until]
        before = {id(training): training.images for _, training in behind}
        self._train(behind, until, self._stage)
        stuck = {id(training) for _, training in behind if training.images == before[id(training)]}
        self.images += sum(training.images - before[id(training)] for _, training in behind)
        self._save()
        for _, training in behind:
            if id(training) not in stuck:  # where time is what ends it, there are fewer images than the limit says
                self._stage.expect(planned_images(round(training.images / training.done), len(self._starts)))
        return [one for one in living if id(one[1]) not in stuck]  # without a whole minibatch nothing moves

    def _drop(self) -> None:
        scored = zip(self._score(self._living), self._living, strict=True)
        ranked = [one for _, one in sorted(scored, key=lambda pair: pair[0].ranking, reverse=True)]
        kept = ranked[: math.ceil(len(ranked) / 2)]
        _log.info("train: %d of %d α's go on", len(kept), len(ranked))
        self._living = kept

    # Checkpoints

    def to_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {
            "round": self._round,
            "images": self.images,
            "starts": [start.to_dict() for start in self._starts],
            "living": {key(start.architecture): training.to_dict() for start, training in self._living},
        }

    def load_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `to_dict` gave, of the same starts."""
        self._round, self.images = state["round"], state["images"]
        made = {key(start.architecture): (start, training) for start, training in self._living}
        self._living = [made[states] for states in state["living"]]
        for start, training in self._living:
            training.load_dict(state["living"][key(start.architecture)])
        self._stage.advance(by=self.images)


def _cuts(count: int) -> list[float]:
    """Return the parts of all training behind which α's are dropped; the last is the end."""
    cuts, done, step = [], 0.0, _FIRST / max(1, count)
    while count > 1:
        done += step
        cuts.append(done)
        step, count = 2 * step, math.ceil(count / 2)
    return [*cuts, 1.0]


def planned_images(limit: int, count: int) -> int:
    """Return the training images of all α's together, where each may have so many."""
    total, before = 0.0, 0.0
    for cut in _cuts(count):
        total += count * (cut - before) * limit
        before, count = cut, math.ceil(count / 2)
    return math.ceil(total)
