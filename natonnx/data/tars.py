"""Tar archives of pictures, named as WebDataset names them: ``key.jpg`` with ``key.cls`` or ``key.json`` beside it.

The headers are read once; a picture is then read where it lies. Nothing is extracted, so that names and links within an
archive do no harm.
"""

import json
import logging
import os
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from natonnx.data.named_pictures import NamedPictures
from natonnx.data.pictures import SUFFIXES
from natonnx.errors import InputError
from natonnx.files import check_regular
from natonnx.notices import NOTICE

__all__ = ["TAR", "read_tars"]

_log = logging.getLogger(__name__)

TAR = ".tar"
_LABELS = {".cls", ".json"}
_KEYS = ("label", "cls", "class", "target")
"""What a label may be called in a ``.json``."""
_MOST_LABEL = 1 << 20
"""Bytes of a file that holds a label."""
_LARGE = 1 << 26
"""Bytes of archives beyond which it is said that their headers are read."""
_SIGN_OF_LIFE = 5.0  # seconds


class TarFiles:
    """Members of tar archives: see `natonnx.data.picture_files.PictureFiles`.

    Args:
        archives: Paths.
        names: Of members [n].
        places: Archive, offset and size of each [n, 3].
    """

    def __init__(self, archives: Sequence[Path], names: Sequence[str], places: npt.NDArray[np.int64]) -> None:
        self._archives, self._names, self._places = archives, names, places

    def __len__(self) -> int:
        return len(self._names)

    def name(self, position: int) -> str:
        """See `PictureFiles.name`."""
        return f"{self._archives[self._places[position, 0]]}: {self._names[position]}"

    def read(self, position: int) -> bytes:
        """See `PictureFiles.read`."""
        archive, offset, size = map(int, self._places[position])
        try:
            with self._archives[archive].open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise InputError(f"{self.name(position)}: cannot be read ({error.strerror}): mend or remove it") from error

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """See `PictureFiles.sizes`."""
        return self._places[:, 2]

    def stamp(self) -> Iterator[bytes]:
        """See `PictureFiles.stamp`."""
        for path in self._archives:
            status = path.stat()
            yield f"{path}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="surrogateescape")
        yield "\0".join(self._names).encode(errors="surrogateescape")
        yield self._places.tobytes()


def read_tars(paths: Sequence[Path], where: str) -> NamedPictures:
    """Read which pictures archives hold, and their labels.

    Raises:
        OSError: If one cannot be read.
        InputError: If one is damaged or compressed, there are no pictures, or labels for some alone.
    """
    whole = sum(path.stat().st_size for path in paths)
    if whole > _LARGE:
        _log.log(NOTICE, "data %s: reads the headers of %d archives of %.1f GB", where, len(paths), whole / 1e9)
    names: list[str] = []
    places: list[tuple[int, int, int]] = []
    labels: list[str | None] = []
    said = time.monotonic()
    for number, path in enumerate(paths):
        pictures, own = _index(path)
        for key, name, offset, size in pictures:
            names.append(name)
            places.append((number, offset, size))
            labels.append(own.get(key))
        if time.monotonic() - said > _SIGN_OF_LIFE:
            said = time.monotonic()
            _log.log(NOTICE, "%s: read the headers of %d of %d archives", where, number + 1, len(paths))
    if not names:
        raise InputError(f"{where}: holds no pictures: name them key.jpg, with key.cls beside where there are labels")
    lacking = next((name for name, label in zip(names, labels, strict=True) if label is None), None)
    given = [label for label in labels if label is not None]
    if lacking is not None and given:
        raise InputError(f"{where}: {lacking} has no label, but others have: give all pictures labels, or none")
    files = TarFiles(paths, names, np.array(places, np.int64).reshape(-1, 3))
    return NamedPictures(files, where, given or None)


def _index(path: Path) -> tuple[list[tuple[str, str, int, int]], dict[str, str]]:
    """Return key, name, offset and size of each picture of an archive, and labels by key."""
    check_regular(path)
    pictures: list[tuple[str, str, int, int]] = []
    labels: dict[str, str] = {}
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            whole = os.fstat(file.fileno()).st_size
            before = -1
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # a million of them
                end = member.offset_data + (member.size if member.isreg() else 0)
                if not before < member.offset_data <= end <= whole:
                    raise tarfile.ReadError("unexpected end of data")
                before = member.offset_data
                folder, _, base = member.name.rpartition("/")
                stem, _, kind = base.partition(".")
                key, suffix = f"{folder}/{stem}", f".{kind.lower()}"
                if not member.isreg() or member.issparse() or not stem:
                    continue
                if suffix in SUFFIXES:
                    pictures.append((key, _printable(member.name), member.offset_data, member.size))
                elif suffix in _LABELS and (label := _label(file, member, suffix, path)) is not None:
                    labels[key] = label
            file.seek(archive.offset)
            if any(file.read(tarfile.BLOCKSIZE)):  # what it ends with is no header, and no end
                raise tarfile.ReadError("unexpected end of data")
    except tarfile.ReadError as error:
        with path.open("rb") as file:
            is_packed = file.read(2) in (b"\x1f\x8b", b"BZ", b"\xfd7")
        reason = "is compressed: unpack it, as a packed archive cannot be read by position" if is_packed else None
        raise InputError(f"{path}: {reason or 'is no tar archive, or damaged, or truncated: make it anew'}") from error
    return pictures, labels


def _label(file: BinaryIO, member: tarfile.TarInfo, suffix: str, path: Path) -> str | None:
    """Return the label that a member holds, if it does."""
    where = f"{path}: {_printable(member.name)}"
    if member.size > _MOST_LABEL:
        return None
    file.seek(member.offset_data)
    content = file.read(member.size)
    try:
        text = content.decode().strip()
        if suffix == ".cls":
            return text or None
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: is no label ({type(error).__name__}): write a class's index or name") from error
    if isinstance(found, dict):
        found = next((found[key] for key in _KEYS if key in found), None)
    return str(found) if isinstance(found, int | str) and not isinstance(found, bool) else None


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)
