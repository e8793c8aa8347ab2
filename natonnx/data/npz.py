"""Reads ``.npz`` archives, never a pickle."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from natonnx.data.arrays import KEYS, Arrays
from natonnx.errors import InputError

__all__ = ["read_npz"]


def read_npz(path: Path) -> Arrays:
    """Reads the arrays of an archive that natonnx knows by name; others are left unread.

    Args:
        path: An existing file.

    Returns:
        The known arrays, raw.

    Raises:
        OSError: The file cannot be read.
        InputError: The file is no ``.npz``, is damaged, or holds Python objects.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path}: is not a .npz archive: save the arrays with numpy.savez")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in KEYS if key in archive}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        reason = "holds Python objects" if "allow_pickle" in str(error) else "is damaged"
        raise InputError(f"{path}: {reason}: save plain arrays with numpy.savez") from error
