"""Checks a data set that a function of the user made ready itself."""

from typing import get_args

import numpy as np

from natonnx.data.dataset import Augment, Dataset, Split
from natonnx.data.layout import Shape, matches, text
from natonnx.errors import InputError

__all__ = ["check_ready"]


def check_ready(dataset: Dataset, *, shape: Shape, classes: int, where: str) -> Dataset:
    """Passes a finished data set on if it keeps the promises of `Dataset` and fits the model.

    Args:
        dataset: From a function of the user.
        shape: The model's input shape without the batch axis.
        classes: Size of the model's output axis.
        where: The source, for messages.

    Returns:
        The same data set.

    Raises:
        InputError: Something is amiss with a part of it.
    """
    if dataset.classes != classes:
        raise InputError(
            f"{where}: has {dataset.classes} classes, but the model's output has {classes}: they must agree"
        )
    if dataset.augment not in get_args(Augment):
        raise InputError(f"{where}: augment is {dataset.augment!r}: choose one of {', '.join(get_args(Augment))}")
    for name in ("train", "validation", "test"):
        split = getattr(dataset, name)
        if split is not None or name != "test":
            _check_split(split, shape, classes, f"{where}: the {name} part")
    return dataset


def _check_split(split: object, shape: Shape, classes: int, where: str) -> None:
    if not (isinstance(split, Split) and isinstance(split.inputs, np.ndarray) and isinstance(split.labels, np.ndarray)):
        raise InputError(f"{where} is no Split of two numpy arrays: build it with natonnx.data.Split")
    inputs, labels = split.inputs, split.labels
    if inputs.dtype != np.float32 or labels.dtype != np.int64 or labels.ndim != 1:
        raise InputError(
            f"{where} has {inputs.dtype} inputs and {labels.dtype} labels: they must be float32 and int64 [n]"
        )
    if not len(labels) or len(inputs) != len(labels):
        raise InputError(
            f"{where} has {len(inputs)} inputs and {len(labels)} labels: give as many of each, at least one"
        )
    if not matches(inputs.shape[1:], shape):
        raise InputError(f"{where} has inputs of {text(inputs.shape[1:])}, but the model's input is {text(shape)}")
    if not np.isfinite(inputs).all():
        raise InputError(f"{where} holds NaN or infinite values: remove those samples, or mend them")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"{where} has labels {labels.min()} to {labels.max()}: they must lie in 0…{classes - 1}")
