"""Entries of tensors that a rewritten model does not have, followed by trying what depends on them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from natonnx.errors import InputError
from natonnx.rewrite.part import Part

__all__ = ["Lost", "equal", "follow"]

_DRAWS = 3

_CORNER = 8
"""Of a picture, along each axis: enough to see which channels depend on which."""

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

    An output that depends on none of them has lost none: its flags are all unset. Where channels of pictures are lost,
    a corner of one of them is tried first.
    """
    corner = _corner(node, values, lost)
    if corner is not None:
        try:
            small = node.run(corner)[output]
        except InputError:  # it was written for the whole size
            return _follow(node, values, lost, output, made)
        found = _follow(node, corner, lost, output, small)
        if found is None or (found.axis == 1 and found.entries.shape == made.shape[1:2] and small.ndim == made.ndim):
            return found
    return _follow(node, values, lost, output, made)


def _corner(node: Part, values: Arrays, lost: Mapping[str, Lost]) -> Arrays | None:
    """A part of what a node reads, along the axes behind the channels; None where these are not all that is lost."""
    read = [values[name] for name in node.inputs]
    ranks, sizes = {value.ndim for value in read}, {value.shape[2:] for value in read}
    if len(ranks) != 1 or len(sizes) != 1 or max(ranks) < 3 or max(map(max, sizes)) <= _CORNER:
        return None
    if any(one.axis != 1 or one.entries.ndim != 1 for one in lost.values()):
        return None
    where = (slice(None, 1), slice(None), *[slice(None, _CORNER)] * (max(ranks) - 2))
    return {**values, **{name: np.ascontiguousarray(values[name][where]) for name in node.inputs}}


def _follow(node: Part, values: Arrays, lost: Mapping[str, Lost], output: str, made: np.ndarray) -> Lost | None:
    by_lost = _changes(node, values, lost, output, made, others=False)
    if by_lost is None:
        return None
    if not by_lost.any():
        return Lost(0, np.zeros(1, np.bool_))
    by_others = _changes(node, values, lost, output, made, others=True)
    if by_others is None:
        return None
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
