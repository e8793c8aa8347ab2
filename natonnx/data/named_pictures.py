"""Pictures with the names of their classes, or with their indices, beside them: of a list, or of an archive."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from natonnx.data.classes import read_classes
from natonnx.data.labels import Targets
from natonnx.data.picture_files import PictureFiles
from natonnx.data.picture_sets import PictureSet
from natonnx.errors import InputError

__all__ = ["NamedPictures", "numbered"]

_INDEX = re.compile(r"[+-]?\d{1,18}")


class NamedPictures(NamedTuple):
    """Pictures of one part of a data set.

    Attributes:
        files: Their files; at least one.
        where: The source, for messages.
        labels: The class of each [n], its name or its index; None where there are none.
    """

    files: PictureFiles
    where: str
    labels: Sequence[str] | None


def numbered(
    parts: Mapping[str, NamedPictures],
    targets: Targets,
    classes: int | None,
    given: Path | Mapping[str, int] | None,
    where: str,
) -> dict[str, PictureSet]:
    """Number the classes: by the indices that labels are, by what the user gave, or in the order of their names.

    Args:
        parts: Pictures by part.
        targets: What labels are for.
        classes: How many the model tells apart; None where no output is class scores.
        given: See `read_classes`.
        where: The source, for messages.

    Raises:
        InputError: If a class has no number, or there are not as many as the model's.
    """
    names = sorted({name for part in parts.values() for name in part.labels or ()})
    if given is not None:
        indices = dict(read_classes(given))
        unknown = [name for name in names if name not in indices]
        if unknown and targets != "none":
            told = ", ".join(map(repr, unknown[:5]))
            raise InputError(f"{where}: the classes file lacks {told}: add each class with its index")
        indices |= dict.fromkeys(unknown, -1)
    elif all(map(_INDEX.fullmatch, names)):
        indices = {name: int(name) for name in names}
    else:
        if targets == "labels" and classes is not None and len(names) != classes:
            raise InputError(
                f"{where}: names {len(names)} classes, but the model's output has {classes}: if they are some of "
                "these, say which with --classes FILE (lines: name index)"
            )
        indices = {name: index for index, name in enumerate(names)}
    return {
        name: PictureSet(
            part.files,
            part.where,
            None if part.labels is None else np.array([indices[label] for label in part.labels], np.int64),
        )
        for name, part in parts.items()
    }
