"""Write files whole or not at all, and read small ones, whatever they are."""

import codecs
import logging
import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from natonnx.errors import InputError

__all__ = ["Batch", "check_regular", "check_writable", "is_same", "read_bytes", "text_of", "write_bytes"]

_log = logging.getLogger(__name__)


_MOST = 1 << 28
"""Bytes of a file that is read whole."""


def check_regular(path: Path) -> None:
    """Refuse what cannot be read again from its start, or never ends: a pipe, a device, a socket.

    Raises:
        InputError: If it is one.
        OSError: If there is nothing, or it cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except ValueError:  # a zero within the name
        raise InputError(f"{path}: no such file; no name holds a zero byte") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{path}: is a device or pipe, not a regular file; save it to one")


def read_bytes(path: Path) -> bytes:
    """Read a small file, or a pipe that something writes to.

    Raises:
        InputError: If it is a device or socket, or too large.
        OSError: If it cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    if sys.platform != "win32":
        flags |= os.O_NONBLOCK  # a pipe that nothing writes to is empty
    try:
        opened = os.open(path, flags)
    except ValueError:  # a zero within the name
        raise InputError(f"{path}: no such file; no name holds a zero byte") from None
    with os.fdopen(opened, "rb") as file:
        mode = os.fstat(opened).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
            raise InputError(f"{path}: is a device; give a file")
        if sys.platform != "win32":
            os.set_blocking(opened, True)
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise InputError(f"{path}: holds more than {_MOST >> 20} MiB; give a smaller file")
    return data


def text_of(data: bytes) -> str:
    """Decode UTF-8 with or without its mark, or UTF-16 with one, as Windows' PowerShell writes what a command prints.

    Raises:
        UnicodeDecodeError: If it is neither.
    """
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if is_wide else "utf-8-sig")


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one place, where there need be nothing yet."""
    try:
        return one.resolve() == other.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a name that cannot be
        return False


def check_writable(path: Path) -> None:
    """Refuse, before long work starts, a path that could not be written at its end.

    Raises:
        InputError: If the folder does not exist or cannot be written, or the path is no file.
    """
    folder = path.parent
    try:
        if path.is_dir():
            raise InputError(f"{path}: cannot be written, it is a folder; name a file")
        if path.is_symlink() and not path.exists():
            raise InputError(f"{path}: is a link that leads nowhere, which writing would replace; name another file")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is a device or pipe, which writing would replace; name another file")
        if not folder.is_dir():
            raise InputError(f"{path}: cannot be written, {folder} is not a folder; create it first")
        with Batch() as batch:
            batch.open(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be written ({reason}); name another file") from None


class Batch:
    """Files that are written under temporary names beside their targets and renamed into place together.

    The last one refers to the others: it is in place only while they are, at whatever moment the program ends. So it is
    renamed last, and an old file in its place goes before the others are replaced. Use it as a context; what is not
    committed at its end leaves nothing behind. An OSError within it is told as an InputError of the file opened last.
    """

    def __init__(self) -> None:
        self._files: list[tuple[Path, Path, BinaryIO]] = []
        self._temporary: list[Path] = []
        self._path = Path()

    def __enter__(self) -> Self:
        return self

    def open(self, path: Path, *, make_folder: bool = False) -> BinaryIO:
        """Start the next file."""
        self._path = path
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        self._temporary.append(temporary)  # before it is there: a signal may come at any moment
        try:
            file = open(temporary, "xb", opener=_own)  # noqa: SIM115 - a path's own takes no opener
        except (OSError, ValueError):
            self._temporary.remove(temporary)
            raise
        self._files.append((path, temporary, file))
        return file

    def commit(self) -> None:
        """Put all files into place."""
        mask = os.umask(0)
        os.umask(mask)
        for path, temporary, file in self._files:
            self._path = path
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.chmod(temporary, _mode(path, 0o666 & ~mask))  # noqa: PTH101 - it was made with 0600
        *others, (last, _, _) = self._files
        if any(path.exists() for path, _, _ in others):
            last.unlink(missing_ok=True)
        for path, temporary, _ in self._files:
            self._path = path
            os.replace(temporary, path)  # noqa: PTH105
            _log.info("wrote %s", path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for _, _, file in self._files:
            with suppress(OSError):  # bytes that found no room
                file.close()
        for temporary in self._temporary:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(f"{self._path}: cannot be written ({error.strerror}); name another file") from None


def _own(name: str, flags: int) -> int:
    """Open a file that nobody else may read before it is whole."""
    return os.open(name, flags, 0o600)


def _mode(path: Path, default: int) -> int:
    """The permissions of the file that is replaced; the default where there is none."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return default


def write_bytes(path: Path, data: bytes) -> None:
    """Write one file whole or not at all.

    Raises:
        InputError: If the file cannot be written.
    """
    with Batch() as batch:
        batch.open(path).write(data)
        batch.commit()
