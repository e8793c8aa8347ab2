"""Make samples that are read by position a model's inputs, and say which of them stay in memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from natonnx.data.array_files import EXPANSION
from natonnx.data.array_reader import ArrayReader
from natonnx.data.batches import ArrayBatches, Batches
from natonnx.data.collect import Collected, collect
from natonnx.data.conform import conform
from natonnx.data.dataset import Preprocessing
from natonnx.data.indexed import IndexedBatches
from natonnx.data.items import IndexedItems, Items, spread
from natonnx.data.labels import Targets, check_labels
from natonnx.data.signature import Signature
from natonnx.errors import InputError

__all__ = [
    "allot",
    "first_of",
    "fitted_bytes",
    "from_arrays",
    "gather",
    "indexed",
    "kept_bytes",
    "raw_in_memory",
    "small",
]

_SMALL = 1 << 26
"""Bytes of a data set that is made a model's inputs at once, where they may be kept."""
_LOOKED_AT = 48
"""Samples of which is told what is made of their range."""


def indexed(
    items: IndexedItems, signature: Signature, preprocessing: Preprocessing, targets: Targets, where: str
) -> IndexedBatches:
    """Fit samples that are read by position to a model, as they are read.

    Raises:
        InputError: If labels are not what they should be.
    """
    labels = None
    if items.labels is not None:
        labels = check_labels(items.labels, targets, signature.classes, f"{items.where}: labels")
    return IndexedBatches(
        items.reader,
        partial(conform, signature=signature, preprocessing=preprocessing, where=where, own_layout=items.own_layout),
        signature.axes,
        np.arange(items.count),
        has_targets=items.has_labels,
        targets=labels,
        identity=repr((signature, preprocessing, items.own_layout)),
    )


def gather(items: Items, signature: Signature, targets: Targets, size: int) -> tuple[Collected, Sequence[ArrayBatches]]:
    """Put items together, but for files that together would not fit into memory.

    Args:
        items: In memory, or in files that are mapped.
        signature: The model's inputs.
        targets: What labels are for.
        size: Bytes that samples may take in memory.

    Returns:
        What was bound, and samples by pieces, one behind the other.

    Raises:
        InputError: If they do not fit, or differ.
    """
    opened, checked = list(items.open()), size // EXPANSION
    if not items.files or len(opened) == 1 or sum(path.stat().st_size for path in items.files) <= checked:
        whole = collect(opened, items, signature, targets, checked)
        return whole, [whole.arrays]
    pieces = [collect([one], items, signature, targets, checked) for one in opened]
    shapes = {(_sample_shapes(piece.arrays), piece.arrays.has_targets) for piece in pieces}
    if len(shapes) > 1:
        raise InputError(
            f"{items.where}: its files differ in the shape of their samples, or in labels: make them alike"
        )
    return pieces[0], [piece.arrays for piece in pieces]


def _sample_shapes(arrays: ArrayBatches) -> str:
    shapes = {
        name: value.tobytes()
        if (batch := arrays.axes.get(name)) is None
        else (value.dtype, tuple(size for axis, size in enumerate(value.shape) if axis != batch))
        for name, value in arrays.inputs.items()
    }
    return repr(shapes)


def fitted_bytes(arrays: ArrayBatches, signature: Signature) -> int:
    """Return what samples take as a model's inputs."""
    return sum(arrays.inputs[spec.name].size * spec.dtype.itemsize for spec in signature.inputs)


def from_arrays(
    pieces: Sequence[ArrayBatches],
    items: Items,
    collected: Collected,
    signature: Signature,
    preprocessing: Preprocessing,
    where: str,
) -> IndexedBatches:
    """Fit samples of arrays to a model as they are read."""
    targets = [piece.targets for piece in pieces if piece.targets is not None]
    labels = np.concatenate(targets) if targets else None
    reader = ArrayReader([replace(piece, targets=None) for piece in pieces], items.files, items.where, collected.names)
    count = sum(piece.samples for piece in pieces)
    made = IndexedItems(
        reader, count, items.where, labels, has_labels=labels is not None, own_layout=collected.own_layout
    )
    return indexed(made, signature, preprocessing, "any" if labels is not None else "none", where)


def first_of(part: IndexedBatches) -> ArrayBatches:
    """Return a few raw samples, evenly spread over all."""
    return raw_in_memory(part.take(spread(part.samples, _LOOKED_AT)))


def small(parts: Mapping[str, IndexedBatches], size: int) -> bool:
    """Return whether all samples, as a model's inputs, take little memory, and no more than they may."""
    return sum(part.samples * part.sample_bytes for part in parts.values()) <= min(size, _SMALL)


def raw_in_memory(part: IndexedBatches) -> ArrayBatches:
    """Read all samples as they are."""
    return replace(part, fit=lambda raw: raw).in_memory()


def kept_bytes(parts: Iterable[Batches]) -> int:
    """Return what samples that are read by position take in memory, or will take once they are read."""
    readers = {id(part.reader): part.reader for part in parts if isinstance(part, IndexedBatches)}
    return sum(reader.kept_bytes for reader in readers.values())


def allot(parts: Sequence[IndexedBatches], size: int) -> tuple[str, ...]:
    """Keep samples in memory once they are read, as far as they fit: of what is read most often first.

    Args:
        parts: In that order; several may have one reader.
        size: Bytes that they may take.

    Returns:
        A note on what is kept, where that is not all.
    """
    by_reader: dict[int, list[IndexedBatches]] = {}
    for part in parts:
        by_reader.setdefault(id(part.reader), []).append(part)
    kept, left = 0, size
    for several in by_reader.values():
        reader = several[0].reader
        kept += reader.keep(np.concatenate([part.index for part in several]), left)
        left -= reader.kept_bytes
    total = sum(part.samples for part in parts)
    if kept == total:
        return ()
    told = f"{kept:,} of {total:,} samples stay in memory, in {(size - left) / 2**20:,.0f} MiB"
    return (f"{told}, and the others are read in each pass; --cache says how much may",)
