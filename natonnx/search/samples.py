"""How many samples a search looks at besides training: in a look-up, where an α starts, and as it is finished."""

import math
import sys
from dataclasses import dataclass

from natonnx.architecture import Shape
from natonnx.frontend import Network
from natonnx.search.problem import Problem
from natonnx.search.room import INPUTS, RUNNING, room
from natonnx.search.runner import EVALUATION_BATCH

__all__ = ["Samples", "estimated_on", "holdable"]

_REFITTED = 4.0
"""What refitting takes, times running the same samples."""
_MOST_HELD = 1 << 31
"""Bytes that a refit may hold at once: two gigabytes."""
_HELD = 6
"""Tensors of the largest size that it holds of each sample, as a guess."""
_LEAST_ESTIMATED = 32
_SMALLEST = 1 / 16
_FEWEST = 100
"""Held-out samples, at least."""


@dataclass(frozen=True)
class Samples:
    """Numbers of samples, as far as there are so many.

    Attributes:
        calibrated: Of training, that a look-up refits on.
        held_out: Of validation, that it scores on.
        refitted: Of training, that weights are refitted on from which training starts, or that are written.
        settled: Of training, from which the statistics of what is written are estimated.
    """

    calibrated: int = 160
    held_out: int = 500
    refitted: int = 640
    settled: int = 2000

    @property
    def look_up(self) -> float:
        """Forward passes of a look-up."""
        return _REFITTED * self.calibrated + self.held_out

    def target(self, finalists: int) -> float:
        """Forward passes for each target, besides training, were all α's as costly as β."""
        starts = _REFITTED * self.refitted + 3 * self.held_out + 2 * self.calibrated
        return 2 * finalists * starts + self.finish(finalists)

    def finish(self, finalists: int) -> float:
        """Forward passes for each target behind the beginning of its training, besides that."""
        halvings = 2 * (finalists - 1) * (self.calibrated + self.held_out)
        return halvings + self.settled + self.held_out

    def fitting(self, problem: Problem) -> "Samples":
        """Return fewer where there are not as many, maps are very large, or a limit of memory leaves no room."""
        most = _runnable(room(problem.loading, RUNNING, _MOST_HELD), problem.network)
        train, held_out = problem.train.count(), problem.validation.count()
        calibrated, refitted = min(self.calibrated, most, train), min(self.refitted, most, train)
        fitting = holdable(problem, calibrated + refitted + self.held_out)
        scored = max(1, min(self.held_out, held_out, fitting - calibrated - refitted))
        return Samples(calibrated, scored, refitted, min(self.settled, train))

    def within(self, seconds: float, each: float, finalists: int) -> "Samples":
        """Return fewer where a target would take more than some seconds besides training.

        Args:
            seconds: For each target.
            each: Seconds that the model takes for one sample.
            finalists: See `Settings`.
        """
        share = seconds / max(1e-12, each * self.target(finalists))
        if share >= 1:
            return self
        part = max(_SMALLEST, 2.0 ** math.floor(math.log2(max(share, _SMALLEST))))
        return Samples(
            math.ceil(part * self.calibrated),
            max(min(_FEWEST, self.held_out), math.ceil(part * self.held_out)),
            math.ceil(part * self.refitted),
            math.ceil(part * self.settled),
        )


def holdable(problem: Problem, count: int) -> int:
    """Return of so many samples how many there is room for, as the model takes them."""
    shapes = (problem.network.shapes.get(name, ()) for name in problem.network.inputs)
    each = 4 * max(1, sum(map(_numbers, shapes)))
    return room(problem.loading, INPUTS, each * count) // each


def estimated_on(problem: Problem) -> int:
    """Return how many samples a minibatch has by which statistics are estimated, which all run at once."""
    fitting = _runnable(room(problem.loading, RUNNING, sys.maxsize), problem.network)
    return max(_LEAST_ESTIMATED, min(EVALUATION_BATCH, fitting))


def _runnable(size: int, network: Network) -> int:
    """Return of how many samples what a refit holds fits in so many bytes; at least one."""
    largest = max(map(_numbers, network.shapes.values()), default=1)
    return max(1, size // (4 * _HELD * max(1, largest)))


def _numbers(shape: Shape) -> int:
    """Return how many numbers a tensor has of each sample, as far as sizes are known."""
    return math.prod(size for size in shape[1:] if isinstance(size, int))
