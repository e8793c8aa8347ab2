"""Pictures in folders, with the classes that the folders' names are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from natonnx.data.classes import read_classes
from natonnx.data.dataset import Layout
from natonnx.data.file_names import FileNames
from natonnx.data.folder import Listing, passed_over
from natonnx.data.items import IndexedItems
from natonnx.data.labels import Targets
from natonnx.data.load_options import LoadOptions
from natonnx.data.picture_files import LooseFiles
from natonnx.data.picture_sets import PictureSet, indexed_pictures
from natonnx.data.pictures import counted
from natonnx.data.signature import Signature
from natonnx.errors import InputError

__all__ = ["picture_items"]


def picture_items(
    listings: Mapping[str, Listing],
    signature: Signature,
    *,
    layout: Layout | None,
    targets: Targets,
    classes: Path | Mapping[str, int] | None,
    where: str,
    options: LoadOptions,
) -> tuple[dict[str, IndexedItems], tuple[str, ...]]:
    """Say how to read pictures.

    Classes are numbered in the order of their names, or as `classes` says. Pictures become grey or RGB as the model has
    one channel or three, and are resized where their size is not the model's.

    Args:
        listings: Files by part.
        signature: The model's inputs: one, which takes images.
        layout: Of the model's input, where its shape does not tell.
        targets: What labels are for.
        classes: See `read_classes`; the folders may be a subset of these.
        where: The source, for messages.
        options: Of reading.

    Returns:
        The parts, and what was done.

    Raises:
        InputError: If the classes do not fit, a picture cannot be read, or the model takes other inputs.
    """
    named = None if classes is None else read_classes(classes)
    _check_names([listing for listing in listings.values() if listing.by_class], named, where)
    sets = {part: _set(listing, named, targets, signature.classes) for part, listing in listings.items()}
    parts, remarks = indexed_pictures(sets, signature, layout=layout, where=where, options=options)
    loose = sum(len(listing.pictures) for listing in listings.values() if listing.by_class)
    notes = [*remarks, *([counted(loose, "pictures beside the class folders: passed over")] if loose else [])]
    if named is None and targets != "none":
        notes += _ambiguous([*next(iter(listings.values())).by_class])
    return parts, (*notes, *passed_over(listings.values()))


def _ambiguous(names: Sequence[str]) -> list[str]:
    """Say how classes are numbered, where their names are numbers that stand in another order."""
    if not all(name.isdecimal() for name in names) or list(names) == sorted(names, key=int):
        return []
    order = ", ".join(names[:3])
    told = f"classes are numbered in the order of their names as text ({order}, …), as torchvision does"
    return [f"{told}; --classes FILE says otherwise"]


def _check_names(listings: Sequence[Listing], named: Mapping[str, int] | None, where: str) -> None:
    if not listings and named is not None:
        raise InputError(f"{where}: has no class folders, which the classes file is for: leave --classes out")
    for other in listings[1:]:
        if named is None and other.by_class.keys() != listings[0].by_class.keys():
            raise InputError(
                f"{other.folder}: its class folders are not those of {listings[0].folder}: name them alike, or give "
                "--classes FILE with the index of each name"
            )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more


def _set(listing: Listing, named: Mapping[str, int] | None, targets: Targets, classes: int | None) -> PictureSet:
    where = str(listing.folder)
    if not listing.by_class:
        return PictureSet(LooseFiles(listing.pictures), where, None)
    indices = _indices(listing, named, targets, classes)
    paths = FileNames.joined(listing.by_class.values())
    counts = [len(files) for files in listing.by_class.values()]
    labels = np.repeat(np.array([indices[name] for name in listing.by_class], np.int64), counts)
    return PictureSet(LooseFiles(paths), where, labels)


def _indices(
    listing: Listing, named: Mapping[str, int] | None, targets: Targets, classes: int | None
) -> Mapping[str, int]:
    names = list(listing.by_class)
    unknown = [name for name in names if name not in named] if named is not None else []
    if unknown and targets != "none":
        raise InputError(
            f"{listing.folder}: the classes file lacks the folders {_listed(unknown)}: add them, each with its index "
            f"(it has {_listed([*(named or ())])})"
        )
    if named is not None and not unknown:
        return named
    if targets == "labels" and classes is not None and len(names) != classes:
        empty = [name for name in names if not listing.by_class[name]]
        told = f" ({_listed(empty)} without pictures)" if empty else ""
        raise InputError(
            f"{listing.folder}: has {len(names)} class folder{'s' * (len(names) > 1)}{told}, but the model's output "
            f"has {classes} classes: if they are some of these, say which with --classes FILE (lines: name index)"
        )
    return {name: index for index, name in enumerate(names)}
