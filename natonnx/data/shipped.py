"""What comes with the package (see ``builtin/NOTICE.md``): data sets, each with one fixed split, and a model of one."""

import zlib
from pathlib import Path

import numpy as np

from natonnx.data.batches import Array
from natonnx.data.npz import Archive
from natonnx.errors import InputError

__all__ = ["BUILTIN", "MODEL", "read_builtin"]

_FOLDER = Path(__file__).parent / "builtin"

BUILTIN: tuple[str, ...] = ("fashion-mnist",)

MODEL = _FOLDER / "resnet14-fashion.onnx"
"""A small classifier of `fashion-mnist`, which its metadata names: that of `natonnx demo`."""

TRAIN_PER_CLASS = 800


def read_builtin(name: str, classes: int | None) -> dict[str, Array]:
    """Read a built-in set.

    The split of its training images into training and validation never changes, whatever the seed: the models in
    ``models/`` were trained on exactly these training images.

    Args:
        name: One of `BUILTIN`.
        classes: Number of classes that the model tells apart; None for any use of the images.

    Returns:
        The six arrays ``x_train`` … ``y_test``: 8,000, 4,000 and 10,000 images, uint8 ``[n, 28, 28]``.

    Raises:
        InputError: The model has another number of classes.
    """
    arrays = dict(Archive(_FOLDER / f"{name}.npz"))
    images, labels = arrays["x_train"], arrays["y_train"]
    if classes not in (None, len(np.unique(labels))):
        raise InputError(f"{name}: has {len(np.unique(labels))} classes, but the model's output has {classes}")
    chosen = _first_of_each_class(images, labels)
    return {
        **arrays,
        "x_train": images[chosen],
        "y_train": labels[chosen],
        "x_val": images[~chosen],
        "y_val": labels[~chosen],
    }


def _first_of_each_class(images: Array, labels: Array) -> Array:
    """Mark `TRAIN_PER_CLASS` images a class, shuffled by checksum: the same with every version of every library."""
    order = np.argsort([zlib.crc32(image.tobytes()) for image in images], kind="stable")
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        chosen[order[labels[order] == label][:TRAIN_PER_CLASS]] = True
    return chosen
