"""Reads ``.npz`` archives and ``.npy`` files, never a pickle."""

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from natonnx.data.batches import Array
from natonnx.errors import InputError
from natonnx.files import check_regular

__all__ = ["Archive", "read_npy"]

_SUFFIX = ".npy"
_MAGIC = b"PK\3\4"
_LARGE = 1 << 30
_MOST_EXPANSION = 200
"""How many bytes a compressed byte may become in a large array; zeros alone become a thousand."""


class Archive(Mapping[str, Array]):
    """The arrays of a ``.npz`` file by name; each is read when it is asked for.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        """Read the names.

        Raises:
            OSError: If the file cannot be read.
            InputError: If it is no ``.npz``, or damaged.
        """
        self.path = path
        check_regular(path)
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                what = "is damaged, or truncated" if file.read(4) == _MAGIC else "is not a .npz archive"
            raise InputError(f"{path}: {what}: save the arrays with numpy.savez")
        with _translated(path, "numpy.savez"), zipfile.ZipFile(path) as archive:
            self._names = tuple(name.removesuffix(_SUFFIX) for name in archive.namelist())

    def __getitem__(self, name: str) -> Array:
        """Read an array.

        Raises:
            InputError: If it is damaged, holds Python objects, or expands without measure.
        """
        if name not in self._names:
            raise KeyError(name)
        with _translated(self.path, "numpy.savez"), zipfile.ZipFile(self.path) as archive:
            info = archive.getinfo(f"{name}{_SUFFIX}" if f"{name}{_SUFFIX}" in archive.namelist() else name)
            if info.file_size > _LARGE and info.file_size > _MOST_EXPANSION * info.compress_size:
                raise InputError(f"{name!r} would expand from {info.compress_size:,} to {info.file_size:,} bytes")
            with archive.open(info) as file:
                return _read(file, info.file_size)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_npy(path: Path) -> Array:
    """Read a ``.npy`` file.

    Raises:
        OSError: If it cannot be read.
        InputError: If it is none, is damaged, or holds Python objects.
    """
    check_regular(path)
    with _translated(path, "numpy.save"), path.open("rb") as file:
        return _read(file, path.stat().st_size)


def _read(file: IO[bytes], size: int) -> Array:
    """Read an array from a file of that size, which must hold all that its header says before room is made for it."""
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, _, dtype = header(file)
    if dtype.hasobject:
        raise InputError("holds Python objects")
    held, wanted = size - file.tell(), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or wanted > held:
        raise InputError(f"is damaged, or truncated: {held:,} bytes of {wanted:,}")
    file.seek(0)
    array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


@contextmanager
def _translated(path: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        reason = str(error)
    except OSError as error:
        if error.errno is not None:
            raise
        reason = "is damaged"
    except Exception:  # whatever a header or a compressed stream makes its readers raise, MemoryError among it
        reason = "is damaged"
    else:
        return
    raise InputError(f"{path}: {reason}: save plain arrays with {remedy}")
