"""Pictures that are decoded when they are needed, by threads, and kept decoded as far as memory is given for that.

Threads, as Pillow lets others run while it decodes: they take half of the CPU time of worker processes, which have to
hand every picture over (docs/commands.md#much-data).
"""

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import numpy as np

from natonnx.data.batches import Array, ArrayBatches, Positions
from natonnx.data.layout import text
from natonnx.data.picture_files import PictureFiles
from natonnx.data.pictures import PictureFormat, Remarks, decode, prepare
from natonnx.errors import InputError
from natonnx.notices import NOTICE

__all__ = ["PictureReader"]

_log = logging.getLogger(__name__)

_SIGN_OF_LIFE = 5.0  # seconds
_PIECE = 8
"""Pictures that a thread decodes at a time: those are finished when a pass is given up."""
_AHEAD = 1 << 26
"""Bytes that are decoded before they are asked for, beyond the batch that is."""

_Begun = tuple[Array, list["Future[Remarks]"]]


class PictureReader:
    """Reads pictures of files: see `natonnx.data.indexed.Reader`.

    Args:
        files: The files.
        made: What pictures are made.
        input_name: The model's only input, whose batch axis is `axis`.
        axis: That axis.
        threads: That decode; 0 for none beside the one that asks.
        where: The source, for messages.
    """

    def __init__(
        self, files: PictureFiles, made: PictureFormat, *, input_name: str, axis: int, threads: int, where: str
    ) -> None:
        self.files = files
        self._made, self._name, self._axis, self._threads, self._where = made, input_name, axis, threads, where
        self._slots = np.full(len(files), -1, np.int32)  # where a picture is kept
        self._kept: Array | None = None
        self._is_ready = np.zeros(0, bool)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of one picture, decoded: as the model asks, or as the first picture has it."""
        made = self._made
        if made.height is None or made.width is None:
            prepare()
            return decode(self.files.read(0), self.files.name(0), made, Remarks()).shape
        return (made.height, made.width) if made.mode == "L" else (made.height, made.width, 3)

    @property
    def picture_bytes(self) -> int:
        """Of one picture, decoded."""
        return int(np.prod(self.shape))

    @property
    def kept_bytes(self) -> int:
        """What pictures take in memory, or will take."""
        return 0 if self._kept is None else self._kept.nbytes

    def keep(self, positions: Positions, size: int) -> int:
        """See `Reader.keep`; what was kept before is forgotten, unless it was all."""
        if self._kept is not None and len(self._kept) == len(self.files):
            return len(positions)
        kept = positions[: size // self.picture_bytes]
        self._slots[:] = -1
        self._slots[kept] = np.arange(len(kept))
        self._kept = np.empty((len(kept), *self.shape), np.uint8)  # the system gives what is written to
        self._is_ready = np.zeros(len(kept), bool)
        return len(kept)

    def stamp(self) -> Iterator[bytes]:
        """See `Reader.stamp`."""
        yield repr((self._made, self._name, self._axis)).encode()
        yield from self.files.stamp()

    def passes(self, order: Iterable[Positions]) -> Iterator[ArrayBatches]:
        """See `Reader.passes`."""
        for pictures, _ in self._passes(order):
            yield ArrayBatches({self._name: np.moveaxis(pictures, 0, self._axis)}, {self._name: self._axis})

    def survey(self, positions: Positions) -> Remarks:
        """Decode pictures once, and say what was done to them; the log says from time to time how far it is."""
        found, done = Remarks(), 0
        begun = said = time.monotonic()
        for pictures, remarks in self._passes(np.array_split(positions, max(1, len(positions) // _PIECE))):
            for one in remarks:
                found.add(one)
            done += len(pictures)
            if time.monotonic() - said > _SIGN_OF_LIFE:
                said = time.monotonic()
                left = (said - begun) * (len(positions) / done - 1)
                told = f"{done:,} of {len(positions):,} pictures"
                _log.log(NOTICE, "%s: read %s, about %.0f s left", self._where, told, left)
        return found

    def _passes(self, order: Iterable[Positions]) -> Iterator[tuple[Array, Sequence[Remarks]]]:
        prepare()
        begun: deque[_Begun] = deque()
        pool = ThreadPoolExecutor(self._threads, "natonnx-pictures") if self._threads else None
        try:
            for positions in order:
                begun.append(self._begin(positions, pool))
                if (
                    pool is None
                    or sum(pictures.nbytes for pictures, _ in begun) > _AHEAD
                    or len(begun) > 2 * self._threads
                ):
                    yield _finished(begun.popleft())
            while begun:
                yield _finished(begun.popleft())
        finally:
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, positions: Positions, pool: ThreadPoolExecutor | None) -> _Begun:
        """Take the pictures that are kept, and have the others decoded."""
        pictures = np.empty((len(positions), *self.shape), np.uint8)
        slots = self._slots[positions]
        is_ready = slots >= 0
        is_ready[is_ready] = self._is_ready[slots[is_ready]]
        if self._kept is not None and is_ready.any():
            pictures[is_ready] = self._kept[slots[is_ready]]
        missing = np.flatnonzero(~is_ready)
        pieces = [missing[first : first + _PIECE] for first in range(0, len(missing), _PIECE)]
        return pictures, [self._asked(pool, pictures, positions, piece) for piece in pieces]

    def _asked(
        self, pool: ThreadPoolExecutor | None, pictures: Array, positions: Positions, rows: Positions
    ) -> "Future[Remarks]":
        if pool is not None:
            return pool.submit(self._decode, pictures, positions, rows)
        done: Future[Remarks] = Future()
        done.set_result(self._decode(pictures, positions, rows))
        return done

    def _decode(self, pictures: Array, positions: Positions, rows: Positions) -> Remarks:
        remarks = Remarks()
        for row in rows:
            position = int(positions[row])
            picture = decode(self.files.read(position), self.files.name(position), self._made, remarks)
            if picture.shape != self.shape:
                least, most = sorted((picture.shape[:2], self.shape[:2]))
                raise InputError(
                    f"{self._where}: images run from {text(least)} to {text(most)} and the model takes any size: say "
                    "one with --input-shape, or resize them to one"
                )
            pictures[row] = picture
            if (slot := int(self._slots[position])) >= 0 and self._kept is not None:
                self._kept[slot] = picture
                self._is_ready[slot] = True
        return remarks


def _finished(begun: _Begun) -> tuple[Array, Sequence[Remarks]]:
    pictures, decoded = begun
    return pictures, [one.result() for one in decoded]
