"""What a search holds in memory by choice, to save work: parts of what its process may still take.

Nothing that is found depends on it but by rounding, where samples run in parts; unless not even the samples themselves
have room.
"""

from natonnx.search.problem import Problem

__all__ = ["INPUTS", "KEPT", "ORIGINAL", "REFIT", "room"]

INPUTS = 1 / 4
"""For the samples of look-ups and refits themselves: where that is too little, there are fewer."""

KEPT = 1 / 8
"""For the original's tensors that look-ups begin at."""
ORIGINAL = 1 / 16
"""For those that a refit begins at, or comes near to."""
REFIT = 1 / 4
"""For tensors of all samples that a refit runs on."""


def room(problem: Problem, share: float, most: int) -> int:
    """Return the bytes that something may hold: a share of what the process may still take, and no more than `most`."""
    return min(most, int(share * problem.loading.usable_bytes))
