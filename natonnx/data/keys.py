"""What the names of arrays say: which part of a data set each belongs to, and which input."""

from collections.abc import Iterable

__all__ = ["IMAGES", "LABELS", "group", "part_of"]

_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}

IMAGES = "images"
"""What the samples of a model's only input may be called, whatever the input's name."""

LABELS = ("labels", "label")

_XY = {"x": IMAGES, "y": "labels"}


def part_of(name: str) -> str | None:
    """Return the part that a user means by a name, in capitals or not: train, validation or test; None if none."""
    return _PARTS.get(name.lower())


def group(keys: Iterable[str]) -> dict[str, dict[str, str]]:
    """Sort names of arrays by part.

    ``x_train`` is the images of the part ``train``, ``y_val`` the labels of ``validation``; ``test/NAME`` is ``NAME``
    of the part ``test``; any other name is that of an array for all parts. Of two that say the same, such as
    ``x_train`` and ``X_train``, the second one is an array for all parts, too.

    Returns:
        For each part, and for ``all`` parts, the arrays: names within the part, and those they have in the source.
    """
    found: dict[str, dict[str, str]] = {}
    for key in keys:
        head, _, name = key.partition("/")
        kind, _, part = key.partition("_")
        where, said = part_of(head), name
        if not (where and name):
            where, said = part_of(part), _XY.get(kind.lower(), "")
        if where and said and said not in found.get(where, ()):
            found.setdefault(where, {})[said] = key
        else:
            found.setdefault("all", {})[key] = key
    return found
