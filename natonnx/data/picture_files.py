"""Where pictures are: files, or members of tar archives; each is read by its position."""

import os
from collections.abc import Iterator
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from natonnx.data.file_names import FileNames
from natonnx.errors import InputError

__all__ = ["LooseFiles", "PictureFiles"]

_AT_ONCE = 10_000
"""Names that are told at once."""


class PictureFiles(Protocol):
    """Files of pictures, by position."""

    def __len__(self) -> int: ...

    def name(self, position: int) -> str:
        """Return what messages call a file, with its suffix."""

    def read(self, position: int) -> bytes:
        """Return what a file holds.

        Raises:
            InputError: If it cannot be read.
        """

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Bytes of each [n]; -1 of what is gone."""

    def stamp(self) -> Iterator[bytes]:
        """Yield names, sizes and times, which differ where the files do."""


class LooseFiles:
    """Files by their paths."""

    def __init__(self, paths: FileNames) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, position: int) -> str:
        """See `PictureFiles.name`."""
        return self._paths[position]

    def read(self, position: int) -> bytes:
        """See `PictureFiles.read`."""
        path = self._paths[position]
        try:
            with open(path, "rb") as file:  # noqa: PTH123 (a million paths need not be objects)
                return file.read()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}): mend or remove it") from error

    @cached_property
    def _looked_at(self) -> npt.NDArray[np.int64]:
        found = np.full((len(self._paths), 2), -1, np.int64)
        for row, path in zip(found, self._paths, strict=True):
            try:
                status = os.stat(path)  # noqa: PTH116
            except OSError:
                continue
            row[:] = status.st_size, status.st_mtime_ns
        return found

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """See `PictureFiles.sizes`."""
        return self._looked_at[:, 0]

    def stamp(self) -> Iterator[bytes]:
        """See `PictureFiles.stamp`."""
        for first in range(0, len(self), _AT_ONCE):
            told = "\0".join(self._paths[first : first + _AT_ONCE])
            yield (f"\0{told}" if first else told).encode(errors="surrogateescape")
        yield self._looked_at.tobytes()
