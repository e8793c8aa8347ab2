"""Reads ``.npz`` archives and ``.npy`` files, never a pickle."""

import math
import mmap
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from natonnx.data.batches import Array
from natonnx.errors import InputError
from natonnx.files import check_regular

__all__ = ["Archive", "read_npy"]

_SUFFIX = ".npy"
_MAGIC = b"PK\3\4"
_ENCRYPTED = 1
_NAMES = 26
"""Where the header of a member of a zip archive says how long its name and its extra field are (APPNOTE 4.3.7)."""
_LARGE = 1 << 30
_MOST_EXPANSION = 200
"""How many bytes a compressed byte may become in a large array; zeros alone become a thousand."""


class Archive(Mapping[str, Array]):
    """The arrays of a ``.npz`` file by name; each is read, or mapped, when it is asked for.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, mapped: float = math.inf) -> None:
        """Read the names.

        Args:
            path: The file.
            mapped: Bytes beyond which an array that is not compressed (`numpy.savez`) stays in the file.

        Raises:
            OSError: If the file cannot be read.
            InputError: If it is no ``.npz``, or damaged.
        """
        self.path, self._mapped = path, mapped
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
            is_plain = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & _ENCRYPTED
            with archive.open(info) as file:
                if not is_plain or info.file_size <= self._mapped:
                    return _read(file, info.file_size)
                shape, in_columns, dtype = _header(file, info.file_size)
                header = file.tell()
            with self.path.open("rb") as whole:
                whole.seek(info.header_offset + _NAMES)
                behind = sum(struct.unpack("<HH", whole.read(4)))  # the name's and the extra field's bytes
                start = info.header_offset + _NAMES + 4 + behind + header
                return _map(whole, start, shape, dtype, in_columns)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_npy(path: Path, mapped: float = math.inf) -> Array:
    """Read a ``.npy`` file, or map one of more than so many bytes.

    Raises:
        OSError: If it cannot be read.
        InputError: If it is none, is damaged, or holds Python objects.
    """
    check_regular(path)
    with _translated(path, "numpy.save"), path.open("rb") as file:
        size = path.stat().st_size
        if size <= mapped:
            return _read(file, size)
        shape, in_columns, dtype = _header(file, size)
        return _map(file, file.tell(), shape, dtype, in_columns)


def _read(file: IO[bytes], size: int) -> Array:
    """Read an array from a file of that size."""
    _header(file, size)
    file.seek(0)
    array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _map(file: IO[bytes], start: int, shape: tuple[int, ...], dtype: np.dtype[Any], in_columns: bool) -> Array:
    """Return an array that stays in its file, behind so many bytes."""
    mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    flat = np.frombuffer(mapping, dtype, math.prod(shape), start)
    return flat.reshape(shape, order="F" if in_columns else "C")


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, order and type of an array, all of which the file must hold before room is made for it."""
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, in_columns, dtype = header(file)
    if dtype.hasobject:
        raise InputError("holds Python objects")
    held, wanted = size - file.tell(), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or wanted > held:
        raise InputError(f"is damaged, or truncated: {held:,} bytes of {wanted:,}")
    return shape, in_columns, dtype


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
