"""Entries of tensors that a rewritten model does not have, followed by trying what depends on them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from natonnx.rewrite.part import Part

__all__ = ["Lost", "equal", "follow"]

_DRAWS = 3

_WIDTHS = (1, 2, 3)
"""Along how many axes channels may stand: more than one within a shuffle."""

Arrays = Mapping[str, np.ndarray]


class Lost(NamedTuple):
    """Entries along one axis of a tensor, or several that follow, that the rewritten model does not have."""

    axis: int
    entries: NDArray[np.bool_]

    def fill(self, value: np.ndarray, filling: np.ndarray | float, *, others: bool = False) -> np.ndarray:
        """A copy in which the lost entries, or all others, hold something else."""
        behind = value.ndim - self.axis - self.entries.ndim
        where = self.entries.reshape((1,) * self.axis + self.entries.shape + (1,) * behind) != others
        return np.where(where, np.asarray(filling, value.dtype), value)


def follow(node: Part, values: Arrays, lost: Mapping[str, Lost], output: str, made: np.ndarray) -> Lost | None:
    """Find the entries of an output that depend on lost entries alone; None where a node mixes them with others.

    An output that depends on none of them has lost none: its flags are all unset.
    """
    by_lost = _changes(node, values, lost, output, made, others=False)
    by_others = _changes(node, values, lost, output, made, others=True)
    if by_lost is None or by_others is None:
        return None
    if not by_lost.any():
        return Lost(0, np.zeros(1, np.bool_))
    for axis, width in ((i, size) for size in _WIDTHS for i in range(made.ndim - size + 1)):
        rest = tuple(one for one in range(made.ndim) if not axis <= one < axis + width)
        gone, staying = np.asarray(by_lost.any(rest)), np.asarray(by_others.any(rest))
        if not (gone & staying).any():
            return Lost(axis, gone)
    return None


def _changes(
    node: Part, values: Arrays, lost: Mapping[str, Lost], output: str, made: np.ndarray, *, others: bool
) -> NDArray[np.bool_] | None:
    """Where an output changes with the lost entries, or the others, of the tensors that have lost some."""
    changed = np.zeros(made.shape, np.bool_)
    for seed in range(_DRAWS):
        noise = np.random.default_rng(seed)
        noisy = {name: one.fill(values[name], _like(values[name], noise), others=others) for name, one in lost.items()}
        result = node.run({**values, **noisy})[output]
        if result.shape != made.shape:
            return None
        changed |= (result != made) & ~((result != result) & (made != made))
    return changed


def _like(value: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """Random entries like those of an array."""
    if value.dtype.kind == "f":
        return np.asarray(3 * noise.standard_normal(value.shape), value.dtype)
    if value.dtype.kind == "b":
        return ~value
    return np.asarray(noise.integers(0, 100, value.shape), value.dtype)


def equal(one: Lost | None, other: Lost | None) -> bool:
    """Whether two tensors have lost the same entries."""
    if one is None or other is None:
        return one is other
    return one.axis == other.axis and np.array_equal(one.entries, other.entries)
