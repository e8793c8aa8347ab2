"""Samples of a torch data set, or of whatever else is read by index, that are read when they are needed."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from natonnx.data.batches import Array, ArrayBatches, Positions
from natonnx.data.collect import collect
from natonnx.data.convert import to_array
from natonnx.data.items import IndexedItems, Items, spread
from natonnx.data.labels import Targets
from natonnx.data.load_options import LoadOptions
from natonnx.data.programs import guarded, loaded
from natonnx.data.signature import Signature
from natonnx.errors import InputError
from natonnx.notices import NOTICE

__all__ = ["by_need"]

_log = logging.getLogger(__name__)

_COMPARED = 8
"""Samples that are read twice, to see whether they are the same each time."""
_LABELS = ("targets", "labels")
"""Attributes in which data sets keep the labels of all samples."""


def by_need(
    items: Items, part: str, signature: Signature, targets: Targets, options: LoadOptions
) -> tuple[IndexedItems | None, tuple[str, ...]]:
    """Say how to read a data set by index, where a model's inputs made of all of it would not fit into memory.

    Args:
        items: Samples that have an index.
        part: What they are for. All but training samples must be the same each time.
        signature: What the model takes.
        targets: What labels are for.
        options: Of reading.

    Returns:
        How to read it, or None where it is to be read at once; and what was found, in short sentences.

    Raises:
        InputError: If the first samples do not fit the model.
    """
    count = len(items.by_index)
    if not count:
        return None, ()
    reader = DatasetReader(items, signature, targets, options.processes)
    first = reader.read(np.array([0]))
    size = sum(first.inputs[spec.name].size * spec.dtype.itemsize for spec in signature.inputs)
    if count * size <= options.cache_bytes:
        return None, ()
    _log.log(NOTICE, "%s: %s samples, read as they are needed", items.where, f"{count:,}")
    compared = spread(count, _COMPARED)
    found, again = reader.read(compared), reader.read(compared)
    reader.is_repeatable = _same(found, again)
    if part != "train" and not reader.is_repeatable:
        return None, (f"samples of {items.where} differ from reading to reading: they were read into memory once",)
    labels = None if found.targets is None else _known_labels(items.by_index, compared, found.targets)
    return IndexedItems(
        reader, count, items.where, labels, has_labels=found.targets is not None, own_layout=reader.own_layout
    ), ()


class DatasetReader:
    """Reads samples by index: see `natonnx.data.indexed.Reader`.

    Args:
        items: Samples that have an index.
        signature: What the model takes.
        targets: What labels are for.
        processes: That read; 0 for none beside this one.

    Attributes:
        is_repeatable: Whether samples are the same each time, as far as one can tell.
        own_layout: Whether they have named the model's inputs.
    """

    def __init__(self, items: Items, signature: Signature, targets: Targets, processes: int) -> None:
        self._items, self._signature, self._targets, self._processes = items, signature, targets, processes
        self.is_repeatable, self.own_layout = True, False

    @property
    def kept_bytes(self) -> int:
        """See `Reader.kept_bytes`: what a program yields is of any size, and is not kept."""
        return 0

    def keep(self, positions: Positions, size: int) -> int:  # noqa: ARG002
        """See `Reader.keep`: none."""
        return 0

    def read(self, positions: Positions) -> ArrayBatches:
        """Read samples in this process."""
        items = self._items
        chosen = guarded((items.by_index[int(position)] for position in positions), items.where)
        return self._bound(list(chosen))

    def _bound(self, samples: list[Any]) -> ArrayBatches:
        found = collect(samples, self._items, self._signature, self._targets)
        self.own_layout = found.own_layout
        return found.arrays

    def passes(self, order: Iterable[Positions]) -> Iterator[ArrayBatches]:
        """See `Reader.passes`."""
        if not self._processes:
            for positions in order:
                yield self.read(positions) if len(positions) else self._nothing()
            return
        from torch import Generator
        from torch.utils.data import DataLoader

        loader = DataLoader(
            self._items.by_index,
            batch_sampler=(positions.tolist() for positions in order),
            num_workers=self._processes,
            collate_fn=_as_they_are,
            generator=Generator().manual_seed(0),  # the program's own is left alone
        )
        for samples in guarded(loaded(loader), self._items.where):
            yield self._bound(samples) if samples else self._nothing()

    def _nothing(self) -> ArrayBatches:
        return self.read(np.array([0])).take(np.array([], np.int64))

    def stamp(self) -> Iterator[bytes]:
        """See `Reader.stamp`: a few samples, where they are the same each time."""
        count = len(self._items.by_index)
        yield str(count).encode()
        if self.is_repeatable:
            found = self.read(spread(count, _COMPARED))
            yield from (value.tobytes() for _, value in sorted(found.inputs.items()))


def _as_they_are(samples: list[Any]) -> list[Any]:
    return samples


def _same(one: ArrayBatches, other: ArrayBatches) -> bool:
    return all(np.array_equal(value, other.inputs[name]) for name, value in one.inputs.items())


def _known_labels(data: Any, positions: Positions, found: Array) -> Array | None:
    """Return the labels that a data set keeps of all samples, if those of some samples are what it yields."""
    labels = _kept_labels(data)
    if labels is None or labels.ndim != 1 or len(labels) != len(data) or labels.dtype.kind not in "ui":
        return None
    return labels if np.array_equal(labels[positions], found) else None


def _kept_labels(data: Any) -> Array | None:
    inner, indices = getattr(data, "dataset", None), getattr(data, "indices", None)
    if inner is not None and indices is not None:  # torch's Subset
        whole = _kept_labels(inner)
        return None if whole is None else whole[np.asarray(indices)]
    kept = next((getattr(data, name) for name in _LABELS if hasattr(data, name)), None)
    try:
        return None if kept is None else to_array(kept, "")
    except InputError:
        return None
