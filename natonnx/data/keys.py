"""What the names of arrays say: which part of a data set each belongs to, and which input."""

from collections.abc import Iterable

__all__ = ["IMAGES", "LABELS", "PARTS", "group"]

PARTS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
"""Names of parts, as users write them and as we do."""

IMAGES = "images"
"""What the samples of a model's only input may be called, whatever the input's name."""

LABELS = ("labels", "label")

_XY = {"x": IMAGES, "y": "labels"}


def group(keys: Iterable[str]) -> dict[str, dict[str, str]]:
    """Sort names of arrays by part.

    ``x_train`` is the images of the part ``train``, ``y_val`` the labels of ``validation``; ``test/NAME`` is ``NAME``
    of the part ``test``; any other name is that of an array for all parts.

    Returns:
        For each part, and for ``all`` parts, the arrays: names within the part, and those they have in the source.
    """
    found: dict[str, dict[str, str]] = {}
    for key in keys:
        head, slash, name = key.partition("/")
        kind, score, part = key.partition("_")
        if slash and head in PARTS and name:
            found.setdefault(PARTS[head], {})[name] = key
        elif score and kind in _XY and part in ("train", "val", "test"):
            found.setdefault(PARTS[part], {})[_XY[kind]] = key
        else:
            found.setdefault("all", {})[key] = key
    return found
