"""Samples of arrays that stay as they are, in memory or in files, until they are needed."""

import mmap
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from natonnx.data.batches import Array, ArrayBatches, Batch, Positions, concatenate, take
from natonnx.data.convert import check_numbers
from natonnx.errors import InputError

__all__ = ["ArrayReader"]

_STAMPED = 1 << 24
"""Bytes that are hashed at a time."""


class ArrayReader:
    """Reads samples of arrays: see `natonnx.data.indexed.Reader`.

    Args:
        pieces: Raw samples, one behind the other; arrays may be mapped from files.
        files: Those that they are read from; none where they are in memory.
        where: The source, for messages.
        names: What messages call each input.
    """

    def __init__(
        self, pieces: Sequence[ArrayBatches], files: Sequence[Path], where: str, names: Mapping[str, str]
    ) -> None:
        self._pieces, self._files, self._where, self._names = pieces, files, where, names
        self._ends = np.cumsum([piece.samples for piece in pieces])
        found = (_mapping(value) for piece in pieces for value in piece.inputs.values())
        self._mappings = [*{id(one): one for one in found if one is not None}.values()]

    @property
    def kept_bytes(self) -> int:
        """See `Reader.kept_bytes`: the arrays are not this one's to keep."""
        return 0

    def keep(self, positions: Positions, size: int) -> int:  # noqa: ARG002
        """See `Reader.keep`: arrays are in memory already, or in files, which the system keeps as it can."""
        return len(positions)

    def passes(self, order: Iterable[Positions]) -> Iterator[ArrayBatches]:
        """See `Reader.passes`.

        Raises:
            InputError: If a sample holds what is no number.
        """
        for positions in order:
            made = self._read(positions)
            if sys.platform != "win32":
                for mapping in self._mappings:  # or its pages would count as this process's memory
                    mapping.madvise(mmap.MADV_DONTNEED)
            for name, value in made.inputs.items():
                axis = made.axes.get(name)
                if axis is not None and value.dtype.kind == "f" and not np.isfinite(value).all():
                    self._check(value, axis, name, positions)
            yield made

    def _read(self, positions: Positions) -> ArrayBatches:
        axes = self._pieces[0].axes
        owner = np.searchsorted(self._ends, positions, "right")
        taken: list[Batch] = []
        order: list[Any] = []
        for piece in np.unique(owner) if len(positions) else [0]:
            rows = np.flatnonzero(owner == piece)
            source = self._pieces[piece]
            index = positions[rows] - (self._ends[piece] - source.samples)
            targets = None if source.targets is None else source.targets[index]
            taken.append(Batch(take(source.inputs, axes, index), targets, len(rows)))
            order.append(rows)
        whole = concatenate(taken, axes)
        if len(taken) == 1:
            return ArrayBatches(whole.inputs, axes, whole.targets)
        return ArrayBatches(whole.inputs, axes, whole.targets).take(np.argsort(np.concatenate(order)))

    def _check(self, value: Array, axis: int, name: str, positions: Positions) -> None:
        masks = len(self._names) > 1
        for row, position in enumerate(positions):
            what = f"{self._where}: {self._names[name]}"
            try:
                check_numbers(np.take(value, [row], axis), None, what, masks=masks)
            except InputError as error:
                told = str(error).partition(": remove those")[0]
                raise InputError(f"{told}, in sample {position:,} (the first is 0): remove or mend it") from None

    def stamp(self) -> Iterator[bytes]:
        """See `Reader.stamp`; of arrays in memory all of it."""
        for path in self._files:
            status = path.stat()
            yield f"{path}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="surrogateescape")
        for piece in self._pieces:
            for name, value in sorted(piece.inputs.items()):
                yield f"{name} {value.dtype} {value.shape}".encode()
                if not self._files:
                    step = max(1, _STAMPED // max(1, value[:1].nbytes))
                    yield from (value[first : first + step].tobytes() for first in range(0, len(value), step))


def _mapping(array: Array) -> mmap.mmap | None:
    """Return the mapped file that an array is a view of; None where it is in memory."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner = owner.obj if isinstance(owner, memoryview) else owner
    return owner if isinstance(owner, mmap.mmap) else None
