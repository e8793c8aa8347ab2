"""Find out what a folder holds: pictures or arrays, in class folders or not, divided into parts or not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from natonnx.data.keys import part_of
from natonnx.data.pictures import SUFFIXES
from natonnx.errors import InputError

__all__ = ["ARRAYS", "Listing", "list_folder", "passed_over"]

ARRAYS = {".npy", ".npz"}


@dataclass(frozen=True)
class Listing:
    """The files of one part of a data set.

    Attributes:
        folder: Where they are.
        by_class: Pictures by the class folders that they are in; empty where there are none.
        pictures: Those that are in no class folder.
        arrays: Files of arrays.
        passed: What else is there, by a suffix such as ``*.txt``, or as a folder's name.
    """

    folder: Path
    by_class: Mapping[str, tuple[Path, ...]]
    pictures: tuple[Path, ...]
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
    folders = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
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
    return bool(_of(train.iterdir(), SUFFIXES)) and any(_of(one.iterdir(), SUFFIXES) for one in others)


def _list(folder: Path) -> Listing:
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith((".", "__MACOSX"))]
    names = [entry for entry in entries if entry.is_dir()]
    by_class = {entry.name: _of(entry.iterdir(), SUFFIXES) for entry in names}
    by_class = by_class if any(by_class.values()) else {}
    found = Listing(folder, by_class, _of(entries, SUFFIXES), _of(entries, ARRAYS), _passed(entries, by_class))
    if not by_class and not found.pictures and not found.arrays:
        what = "its folders hold no images" if names else "holds neither images nor arrays"
        read = SUFFIXES if names else SUFFIXES | ARRAYS
        raise InputError(f"{folder}: {what}: natonnx reads {', '.join(sorted(read))}")
    if found.arrays and (found.pictures or by_class):
        raise InputError(f"{folder}: holds both images and arrays: keep them in folders of their own")
    return found


def _passed(entries: Iterable[Path], by_class: Mapping[str, tuple[Path, ...]]) -> frozenset[str]:
    """Say what is not read, in class folders too; nothing of hidden entries."""
    within = [one for entry in entries if entry.name in by_class for one in entry.iterdir()]
    others = [
        one
        for one in (*(entry for entry in entries if entry.name not in by_class), *within)
        if not one.name.startswith(".") and not _of([one], SUFFIXES if by_class else SUFFIXES | ARRAYS)
    ]
    return frozenset(
        f"{one.name}/" if one.is_dir() else f"*{one.suffix}" if one.is_file() else one.name for one in others
    )


def passed_over(listings: Iterable[Listing]) -> tuple[str, ...]:
    """Return a note on what is not read, if there is any."""
    passed = sorted({name for listing in listings for name in listing.passed})
    more = f" and {len(passed) - 5} more" if len(passed) > 5 else ""
    return (f"passed over: {', '.join(passed[:5])}{more}",) if passed else ()


def _of(entries: Iterable[Path], suffixes: set[str]) -> tuple[Path, ...]:
    return tuple(
        entry
        for entry in sorted(entries)
        if entry.suffix.lower() in suffixes and not entry.name.startswith(".") and entry.is_file()
    )
