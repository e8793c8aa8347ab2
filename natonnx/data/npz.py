"""Reads ``.npz`` archives and ``.npy`` files, never a pickle."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from natonnx.data.batches import Array
from natonnx.errors import InputError

__all__ = ["Archive", "read_npy"]

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError)


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
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path}: is not a .npz archive: save the arrays with numpy.savez")
        with _opened(path) as archive:
            self._names = tuple(archive.files)

    def __getitem__(self, name: str) -> Array:
        """Read an array.

        Raises:
            InputError: If it is damaged, or holds Python objects.
        """
        if name not in self._names:
            raise KeyError(name)
        with _opened(self.path) as archive:
            array: Array = archive[name]
        return array

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
    with _translated(path, "numpy.save"), path.open("rb") as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


@contextmanager
def _opened(path: Path) -> Iterator["np.lib.npyio.NpzFile"]:
    with _translated(path, "numpy.savez"), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        yield archive


@contextmanager
def _translated(path: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        reason = (
            "holds Python objects" if "allow_pickle" in str(error) or "Object arrays" in str(error) else "is damaged"
        )
        raise InputError(f"{path}: {reason}: save plain arrays with {remedy}") from error
