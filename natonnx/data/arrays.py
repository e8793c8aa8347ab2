"""Raw arrays by name, as an archive or a function gives them, checked and divided into parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from natonnx.errors import InputError

__all__ = ["KEYS", "Array", "Arrays", "Part", "partition"]

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

KEYS = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "images", "labels")
HELD_OUT = 0.2


@dataclass(frozen=True, eq=False)
class Part:
    """Raw images ``[n, ...]`` and their labels ``[n]``, int64."""

    images: Array
    labels: npt.NDArray[np.int64]

    def take(self, indices: Array) -> "Part":
        """Chooses samples by index."""
        return Part(self.images[indices], self.labels[indices])


def partition(arrays: Arrays, *, classes: int, seed: int, limit: int | None, where: str) -> dict[str, Part]:
    """Divides raw arrays into the parts ``train``, ``validation`` and, if there is one, ``test``.

    ``images`` and ``labels`` alone are divided 60/20/20; without ``x_val``, 20 % of the training samples become the
    validation part. Both divisions are random by the seed and stratified: every part has the classes in like shares.

    Args:
        arrays: Arrays named as in `KEYS`.
        classes: Labels must lie in 0 … classes - 1.
        seed: Of the division.
        limit: The most samples of a part, stratified as well; None is all of them.
        where: The source, for messages.

    Returns:
        The parts by name, each with at least one sample.

    Raises:
        InputError: A key is missing, arrays do not belong together, labels are no class indices, or a part is empty.
    """
    rng = np.random.default_rng(seed)
    if "x_train" in arrays:
        parts = {"train": _part(arrays, "x_train", "y_train", classes, where)}
        if "x_test" in arrays:
            parts["test"] = _part(arrays, "x_test", "y_test", classes, where)
        if "x_val" in arrays:
            parts["validation"] = _part(arrays, "x_val", "y_val", classes, where)
        else:
            parts["validation"], parts["train"] = _divide(parts["train"], HELD_OUT, rng)
    elif "images" in arrays:
        whole = _part(arrays, "images", "labels", classes, where)
        parts = {}
        parts["test"], rest = _divide(whole, HELD_OUT, rng)
        parts["validation"], parts["train"] = _divide(rest, HELD_OUT / (1 - HELD_OUT), rng)
    else:
        raise InputError(
            f"{where}: has neither x_train, y_train, x_test, y_test nor images, labels: name the arrays so"
        )
    for name, part in parts.items():
        if not len(part.labels):
            raise InputError(f"{where}: too few samples to give the {name} part any: add more, about 5 a class or more")
    if limit is not None:
        parts = {name: _divide(part, min(1.0, limit / len(part.labels)), rng)[0] for name, part in parts.items()}
    return parts


def _part(arrays: Arrays, x: str, y: str, classes: int, where: str) -> Part:
    if y not in arrays:
        raise InputError(f"{where}: has {x} but no {y}: add the labels")
    images, labels = np.asarray(arrays[x]), np.asarray(arrays[y])
    for name, array in ((x, images), (y, labels)):
        if array.dtype.kind not in "buif":
            raise InputError(f"{where}: {name} is an array of {array.dtype}, not of numbers: save a plain array")
    if images.ndim == 0 or not images.size:
        raise InputError(f"{where}: {x} is empty: give at least a few samples a class")
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise InputError(
            f"{where}: {y} is {labels.dtype} {labels.shape}: labels must be one integer class index a sample"
        )
    if len(images) != len(labels):
        raise InputError(f"{where}: {x} has {len(images)} samples but {y} has {len(labels)}: give each its label")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"{where}: {y} runs from {labels.min()} to {labels.max()}, but the model's output has {classes} classes: "
            f"labels must lie in 0…{classes - 1}"
        )
    return Part(images, labels.astype(np.int64))


def _divide(part: Part, share: float, rng: np.random.Generator) -> tuple[Part, Part]:
    """Draws the share of every class, rounded so that the total is right too; returns the drawn and the rest."""
    order = rng.permutation(len(part.labels))
    by_class = order[np.argsort(part.labels[order], kind="stable")]
    drawn = np.zeros(len(order), dtype=bool)
    steps = np.floor(np.arange(len(order) + 1) * share + 0.5)
    drawn[by_class[np.diff(steps) > 0]] = True
    return part.take(np.flatnonzero(drawn)), part.take(np.flatnonzero(~drawn))
