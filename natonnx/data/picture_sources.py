"""Find out whether a path is lists of pictures, or tar archives of them."""

from pathlib import Path

from natonnx.data.folder import scan
from natonnx.data.keys import part_of
from natonnx.data.named_pictures import NamedPictures
from natonnx.data.picture_lists import LIST_SUFFIXES, find_lists, read_list
from natonnx.data.tars import TAR, read_tars

__all__ = ["find_named"]

_PARTS = ("train", "validation", "test")


def find_named(path: Path) -> dict[str, NamedPictures]:
    """Read lists and archives of pictures by part.

    Args:
        path: A list, an archive, or a folder of either; one that holds other data too is none.

    Returns:
        Pictures by part, ``all`` where there are no parts; nothing where the path is something else.

    Raises:
        OSError: If it cannot be read.
        InputError: If a list or an archive is bad.
    """
    if path.is_dir():
        if lists := find_lists(path):
            return {part: read_list(one) for part, one in lists.items()}
        return {part: read_tars(archives, str(archives[0].parent)) for part, archives in _archives(path).items()}
    if path.suffix.lower() in LIST_SUFFIXES:
        return {"all": read_list(path)}
    if path.suffix.lower() == TAR or path.name.lower().endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")):
        return {"all": read_tars([path], str(path))}
    return {}


def _archives(folder: Path) -> dict[str, list[Path]]:
    """Return the archives of a folder by part, where it holds nothing else to read."""
    folders = {part: folder / name for name in scan(folder).folders if (part := part_of(name))}
    if "train" in folders:
        found: dict[str, list[Path]] = {part: _tars(folders[part]) for part in _PARTS if part in folders}
        return found if all(found.values()) else {}
    return {"all": tars} if (tars := _tars(folder)) else {}


def _tars(folder: Path) -> list[Path]:
    """Return the archives of a folder that has no folders or other files of data within."""
    found = scan(folder)
    if found.folders or found.pictures or found.arrays:
        return []
    return [folder / name for name in found.others if name.lower().endswith(TAR)]
