"""Check what the outputs should be."""

from typing import Any, Literal, TypeAlias

import numpy as np

from natonnx.data.batches import Array
from natonnx.data.convert import to_array
from natonnx.errors import InputError

__all__ = ["Targets", "check_labels"]

Targets: TypeAlias = Literal["labels", "any", "none"]
"""What labels are for: class indices, whatever the user's objective takes, or nothing."""


def check_labels(labels: Any, targets: Targets, classes: int | None, what: str) -> Array | None:
    """Take labels if they are what they should be.

    Args:
        labels: One entry a sample.
        targets: ``labels`` wants integers in 0 … classes - 1, ``[n]`` or, for a class at each of several positions,
            ``[n, ...]``; axes of length 1 are dropped. ``any`` wants numbers. ``none`` refuses nothing: labels serve to
            divide a set in the classes' shares then, whether it is to be scored by them or not.
        classes: How many classes there are; not checked where None.
        what: What holds the labels, for messages.

    Returns:
        int64 where they are class indices; None where they are of no use.

    Raises:
        InputError: If they are not what they should be.
    """
    try:
        array = to_array(labels, what)
        return _checked(array, targets, classes, what)
    except InputError:
        if targets == "none":
            return None
        raise


def _checked(array: Array, targets: Targets, classes: int | None, what: str) -> Array:
    if array.dtype.kind not in "buif":
        remedy = "give class indices" if array.dtype.kind in "US" and targets == "labels" else "save a plain array"
        raise InputError(f"{what} is an array of {array.dtype}, not of numbers: {remedy}")
    if array.ndim == 0:
        raise InputError(f"{what} is a single number: give one label a sample")
    if targets == "any":
        if array.dtype.kind == "f" and array.size and not np.isfinite(array).any():
            raise InputError(f"{what} holds no number, but NaN or infinite values alone: nothing can be scored by them")
        return array
    if array.dtype.kind not in "ui":
        is_one_hot = array.ndim > 1 and array.shape[-1] == classes
        raise InputError(
            f"{what} is {array.dtype} {array.shape}: labels must be integer class indices, usually one a sample"
            f"{', the argmax of one-hot labels' if is_one_hot else '; other targets take an --objective of your own'}"
        )
    array = array.reshape(len(array), *(size for size in array.shape[1:] if size != 1))
    if targets == "labels" and classes is not None and array.size and (array.min() < 0 or array.max() >= classes):
        raise InputError(
            f"{what} runs from {array.min()} to {array.max()}, but the model's output has {classes} classes: "
            f"labels must lie in 0…{classes - 1}"
        )
    if targets == "labels" and array.size and array.min() < 0:
        raise InputError(f"{what} runs from {array.min()}: class indices start at 0")
    return array.astype(np.int64)
