"""Write a file whole or not at all."""

import os
import tempfile
from pathlib import Path

from natonnx.errors import InputError

__all__ = ["check_writable", "write_bytes"]


def check_writable(path: Path) -> None:
    """Refuse, before long work starts, a path that could not be written at its end.

    Raises:
        InputError: If the folder does not exist or cannot be written, or the path is a folder.
    """
    folder = path.parent
    try:
        if path.is_dir():
            raise InputError(f"{path}: cannot be written, it is a folder; name a file")
        if not folder.is_dir():
            raise InputError(f"{path}: cannot be written, {folder} is not a folder; create it first")
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    os.close(handle)
    Path(name).unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes to a temporary file beside the target and rename it, so that no reader ever sees a part of it.

    Raises:
        InputError: If the file cannot be written.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # noqa: PTH101 - mkstemp hands out 0600
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
