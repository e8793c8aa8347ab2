"""Lists of pictures: files of a path and a label a line."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from natonnx.data.file_names import FileNames
from natonnx.data.folder import scan
from natonnx.data.keys import part_of
from natonnx.data.named_pictures import NamedPictures
from natonnx.data.picture_files import LooseFiles
from natonnx.errors import InputError
from natonnx.files import check_regular

__all__ = ["LIST_SUFFIXES", "find_lists", "read_list"]

LIST_SUFFIXES = {".txt": None, ".csv": ",", ".tsv": "\t"}
"""Suffixes of lists, and what stands between path and label; None for blanks or a tab."""

_HEADS = {"path", "paths", "file", "filename", "filepath", "image", "images", "picture", "name"}
"""What the first column of a list may be called in its first line."""
_LOOKED_FOR = 10_000
"""Files of a list that are looked for before the work."""

_Row = tuple[int, str, str | None]


def find_lists(folder: Path) -> dict[str, Path]:
    """Return the lists of a folder by part, such as ``train.txt``; none where it has no list to train with.

    A file is one if its first line names a file. A folder ``train`` beside them is what the user means.

    Raises:
        OSError: If the folder cannot be read.
        InputError: If a part has two.
    """
    found: dict[str, Path] = {}
    entries = scan(folder)
    if any(part_of(name) == "train" for name in entries.folders):
        return {}
    for path in (folder / name for name in entries.others):
        part = part_of(path.stem) if path.suffix.lower() in LIST_SUFFIXES else None
        if part is None or not path.is_file() or not _is_list(path):
            continue
        if part in found:
            raise InputError(f"{folder}: has both {found[part].name} and {path.name}: keep one of the two")
        found[part] = path
    return found if "train" in found else {}


def _is_list(path: Path) -> bool:
    try:
        first = next(_rows(path), None)
    except InputError:
        return False
    return first is not None and os.path.isfile(path.parent / first[1])  # noqa: PTH113 (it takes any name)


def read_list(path: Path) -> NamedPictures:
    """Read a list: a path and a label a line, or paths alone; paths are relative to the list.

    Labels are class indices, or names of classes. Blank lines, lines that begin with # and a line of column names are
    passed over.

    Raises:
        OSError: If it cannot be read.
        InputError: If it names no files, one that is not there, or labels for some alone.
    """
    check_regular(path)
    rows = [*_rows(path)]
    if not rows:
        raise InputError(f"{path}: names no pictures: give lines of a path and a label")
    bare = next((number for number, _, label in rows if label is None), None)
    if bare is not None and any(label is not None for _, _, label in rows):
        raise InputError(f"{path}: line {bare} has no label, but others have: give all pictures labels, or none")
    within = str(path.parent)
    paths = [os.path.join(within, name) for _, name, _ in rows]  # noqa: PTH118 (a million paths need not be objects)
    for (number, name, _), file in zip(rows[:_LOOKED_FOR], paths, strict=False):
        if not os.path.isfile(file):  # noqa: PTH113
            raise InputError(f"{path}: line {number} names {name!r}, which is no file: paths are relative to the list")
    labels: Sequence[str] | None = None if bare is not None else [label or "" for _, _, label in rows]
    return NamedPictures(LooseFiles(FileNames.of(paths)), str(path), labels)


def _rows(path: Path) -> Iterator[_Row]:
    """Yield the number of each line, the path in it, and its label."""
    separator, is_plain = LIST_SUFFIXES[path.suffix.lower()], None
    try:
        with path.open(encoding="utf-8-sig", newline="" if separator else None) as file:
            lines = csv.reader(file, delimiter=separator) if separator else ([line.strip()] for line in file)
            for number, cells in enumerate(lines, 1):
                if cells and "\0" in cells[0]:
                    raise ValueError("no path has a NUL")
                if not cells or not cells[0].strip() or cells[0].startswith("#"):
                    continue
                if number == 1 and separator and cells[0].strip().lower() in _HEADS:
                    continue
                if separator:
                    yield number, cells[0].strip(), cells[1].strip() if len(cells) > 1 and cells[1].strip() else None
                    continue
                if is_plain is None:  # a line that is a path alone, of a name with blanks perhaps
                    is_plain = os.path.isfile(path.parent / cells[0])  # noqa: PTH113
                yield number, *((cells[0], None) if is_plain else _split(cells[0]))
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InputError(f"{path}: is no list of pictures: give UTF-8 text, a path and a label a line") from error


def _split(line: str) -> tuple[str, str | None]:
    """Divide a line at its tab, or at its last blank."""
    name, separator, label = line.partition("\t") if "\t" in line else line.rpartition(" ")
    return (name.strip(), label.strip()) if separator else (line, None)
