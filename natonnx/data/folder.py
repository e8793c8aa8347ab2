"""Find out what a folder holds: pictures or arrays, in class folders or not, divided into parts or not."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from natonnx.data.file_names import FileNames
from natonnx.data.keys import part_of
from natonnx.data.pictures import SUFFIXES
from natonnx.errors import InputError

__all__ = ["ARRAYS", "Entries", "Listing", "list_folder", "passed_over", "scan"]

ARRAYS = {".npy", ".npz"}


@dataclass(frozen=True)
class Listing:
    """The files of one part of a data set.

    Attributes:
        folder: Where they are.
        by_class: Paths of pictures by the class folders that they are in; empty where there are none.
        pictures: Paths of those that are in no class folder.
        arrays: Files of arrays.
        passed: What else is there, by a suffix such as ``*.txt``, or as a folder's name.
    """

    folder: Path
    by_class: Mapping[str, FileNames]
    pictures: FileNames
    arrays: tuple[Path, ...]
    passed: frozenset[str] = frozenset()


def list_folder(folder: Path) -> dict[str, Listing]:
    """List a folder's files.

    Args:
        folder: It has a folder ``train``, and perhaps ``val`` and ``test`` (`part_of`); or it has the files of one set.
            A set is class folders of pictures (one of which may be called ``train``), or pictures, or files of arrays.
            Hidden entries are passed over, and files that are neither pictures nor arrays by their suffix.

    Returns:
        Parts by name: ``train`` and perhaps ``validation`` and ``test``; or ``all``.

    Raises:
        OSError: If a folder cannot be read.
        InputError: If a part holds nothing, or both pictures and arrays.
    """
    folders = [folder / name for name in scan(folder).folders]
    named = [(part, entry) for entry in folders if (part := part_of(entry.name))]
    parts = dict(named)
    if "train" not in parts or _is_class(parts["train"], folders):
        return {"all": _list(folder)}
    if len(parts) < len(named):
        told = " and ".join(entry.name for part, entry in named if [one for one, _ in named].count(part) > 1)
        raise InputError(f"{folder}: has both {told}: keep one of the two")
    beside = frozenset(f"{entry.name}/" for entry in folders if part_of(entry.name) is None)
    found: dict[str, Listing] = {part: _list(parts[part]) for part in ("train", "validation", "test") if part in parts}
    return {**found, "train": replace(found["train"], passed=found["train"].passed | beside)}


def _is_class(train: Path, folders: Iterable[Path]) -> bool:
    """Return whether a folder called ``train`` is a class, beside others that hold pictures as it does."""
    others = [entry for entry in folders if part_of(entry.name) is None]
    return bool(scan(train).pictures) and any(scan(one).pictures for one in others)


class Entries(NamedTuple):
    """What a folder holds, by kind, in the order of names; nothing that is hidden."""

    pictures: tuple[str, ...]
    arrays: tuple[str, ...]
    folders: tuple[str, ...]
    others: tuple[str, ...]


def scan(folder: Path) -> Entries:
    """Read a folder: of a million files, what the system says of each with its name must do."""
    found = Entries([], [], [], [])  # type: ignore[arg-type]
    kinds = dict.fromkeys(SUFFIXES, found.pictures) | dict.fromkeys(ARRAYS, found.arrays)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "__MACOSX")):
                continue
            kind = found.folders if entry.is_dir() else found.others
            if kind is found.others and entry.is_file():
                kind = kinds.get(os.path.splitext(entry.name)[1].lower(), found.others)  # noqa: PTH122
            kind.append(entry.name)  # type: ignore[attr-defined]
    return Entries(*(tuple(sorted(names)) for names in found))


def _list(folder: Path) -> Listing:
    entries = scan(folder)
    within, by_class = dict[str, Entries](), dict[str, FileNames]()
    for name in entries.folders:
        one = scan(folder / name)
        by_class[name] = _paths(folder / name, one.pictures)
        within[name] = one._replace(pictures=())  # a million names are held once
    by_class = by_class if any(by_class.values()) else {}
    arrays = tuple(folder / name for name in entries.arrays)
    passed = _passed(folder, entries, within if by_class else {})
    found = Listing(folder, by_class, _paths(folder, entries.pictures), arrays, passed)
    if not by_class and not found.pictures and not found.arrays:
        what = "its folders hold no images" if entries.folders else "holds neither images nor arrays"
        read = SUFFIXES if entries.folders else SUFFIXES | ARRAYS
        raise InputError(f"{folder}: {what}: natonnx reads {', '.join(sorted(read))}")
    if found.arrays and (found.pictures or by_class):
        raise InputError(f"{folder}: holds both images and arrays: keep them in folders of their own")
    return found


def _paths(folder: Path, names: Sequence[str]) -> FileNames:
    return FileNames.of(names, str(folder / "_")[:-1])


def _passed(folder: Path, entries: Entries, within: Mapping[str, Entries]) -> frozenset[str]:
    """Say what is not read, in class folders too."""
    folders = [name for name in entries.folders if name not in within]
    others = [folder / name for name in entries.others]
    for name, one in within.items():
        folders += one.folders
        others += [folder / name / other for other in (*one.others, *one.arrays)]
    files = (f"*{one.suffix}" if one.is_file() else one.name for one in others)
    return frozenset((*(f"{name}/" for name in folders), *files))


def passed_over(listings: Iterable[Listing]) -> tuple[str, ...]:
    """Return a note on what is not read, if there is any."""
    passed = sorted({name for listing in listings for name in listing.passed})
    more = f" and {len(passed) - 5} more" if len(passed) > 5 else ""
    return (f"passed over: {', '.join(passed[:5])}{more}",) if passed else ()
