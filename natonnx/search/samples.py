"""How many samples a search looks at besides training: in a look-up, where an α starts, and as it is finished."""

import math
from dataclasses import dataclass

from natonnx.architecture import Shape
from natonnx.frontend import Network
from natonnx.search.problem import Problem
from natonnx.search.room import INPUTS, room

__all__ = ["MOST_HELD", "Samples", "samples_in"]

_REFITTED = 4.0
"""What refitting takes, times running the same samples."""
MOST_HELD = 1 << 31
"""Bytes that a refit may hold at once: two gigabytes."""
_HELD = 6
"""Tensors of the largest size that it holds of each sample, as a guess."""
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
        """Return fewer where there are not as many, maps are very large, or the samples would not fit in memory."""
        most = samples_in(MOST_HELD, problem.network)
        train, held_out = problem.train.count(), problem.validation.count()
        found = Samples(
            min(self.calibrated, most, train),
            min(self.held_out, held_out),
            min(self.refitted, most, train),
            min(self.settled, train),
        )
        shapes = (problem.network.shapes.get(name, ()) for name in problem.network.inputs)
        size = 4 * sum(_numbers(shape) for shape in shapes) * (found.calibrated + found.held_out + found.refitted)
        if (part := room(problem, INPUTS, size) / max(1, size)) == 1:
            return found
        counts = (max(1, int(part * count)) for count in (found.calibrated, found.held_out, found.refitted))
        calibrated, held_out, refitted = counts
        return Samples(calibrated, held_out, refitted, found.settled)

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


def samples_in(size: int, network: Network) -> int:
    """Return of how many samples a refit can hold tensors in so many bytes; at least one."""
    largest = max(map(_numbers, network.shapes.values()), default=1)
    return max(1, size // (4 * _HELD * max(1, largest)))


def _numbers(shape: Shape) -> int:
    """Return how many numbers a tensor has of each sample, as far as sizes are known."""
    return math.prod(size for size in shape[1:] if isinstance(size, int))
