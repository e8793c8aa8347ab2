"""Check a data set that the user made ready."""

from collections.abc import Mapping
from typing import get_args

import numpy as np

from natonnx.data.batches import Array, ArrayBatches
from natonnx.data.convert import check_numbers
from natonnx.data.dataset import Augment, Dataset, Parts, Split
from natonnx.data.labels import Targets
from natonnx.data.layout import matches, text
from natonnx.data.signature import InputSpec, Signature
from natonnx.errors import InputError

__all__ = ["check_ready"]


def check_ready(dataset: Dataset, signature: Signature, targets: Targets) -> Parts:
    """Pass a finished data set on if it keeps the promises of `Dataset` and fits the model.

    Args:
        dataset: From the user.
        signature: What the model takes.
        targets: What labels are for.

    Returns:
        The same arrays.

    Raises:
        InputError: Something is amiss with a part of it.
    """
    where = dataset.name
    classes = (dataset.classes, signature.classes)
    if targets == "labels" and None not in classes and classes[0] != classes[1]:
        raise InputError(f"{where}: has {classes[0]} classes, but the model's output has {classes[1]}: they must agree")
    if dataset.augment not in get_args(Augment):
        raise InputError(f"{where}: augment is {dataset.augment!r}: choose one of {', '.join(get_args(Augment))}")
    train, validation = (
        _check_split(split, signature, targets, f"{where}: the {name} part")
        for name, split in (("train", dataset.train), ("validation", dataset.validation))
    )
    test = None if dataset.test is None else _check_split(dataset.test, signature, targets, f"{where}: the test part")
    if len({part.has_targets for part in (train, validation, test) if part is not None}) > 1:
        raise InputError(f"{where}: has labels for some parts only: give all parts labels, or none")
    return Parts(where, train, validation, test, dataset.augment)


def _check_split(split: object, signature: Signature, targets: Targets, where: str) -> ArrayBatches:
    arrays: object = split.inputs if isinstance(split, Split) else None
    labels = split.labels if isinstance(split, Split) else None
    if isinstance(arrays, np.ndarray) and len(signature.inputs) == 1:
        arrays = {signature.names[0]: arrays}
    if not (
        isinstance(arrays, Mapping)
        and all(isinstance(array, np.ndarray) for array in (*arrays.values(), *([] if labels is None else [labels])))
    ):
        raise InputError(f"{where} is no Split of numpy arrays, inputs by name: build it with natonnx.data.Split")
    if arrays.keys() != set(signature.names):
        raise InputError(
            f"{where} has the inputs {', '.join(map(str, arrays))}, but the model has {', '.join(signature.names)}"
        )
    counts = {
        array.shape[spec.batch_axis]
        for spec in signature.inputs
        if (array := _check_input(arrays[spec.name], spec, where)).ndim and spec.batch_axis is not None
    }
    labels = None if targets == "none" else labels
    if labels is not None:
        _check_labels(labels, targets, signature.classes, where)
        counts.add(len(labels))
    if len(counts) != 1 or 0 in counts:
        told = " and ".join(map(str, sorted(counts))) or "no"
        raise InputError(f"{where} has {told} samples in its arrays: give as many inputs as labels, at least one")
    return ArrayBatches({name: arrays[name] for name in signature.names}, signature.axes, labels)


def _check_input(array: Array, spec: InputSpec, where: str) -> Array:
    if array.dtype != spec.dtype:
        raise InputError(f"{where} has {array.dtype} inputs {spec.name}: they must be {spec.dtype}")
    sizes = [size for axis, size in enumerate(array.shape) if axis != spec.batch_axis]
    if array.ndim != len(spec.shape) or not matches(sizes, spec.sample_shape):
        raise InputError(f"{where} has inputs of {text(sizes)}, but the model's input is {text(spec.sample_shape)}")
    check_numbers(array, spec.batch_axis, f"{where}: {spec.name}")
    return array


def _check_labels(labels: Array, targets: Targets, classes: int | None, where: str) -> None:
    if labels.ndim == 0 or (targets == "labels" and labels.dtype != np.int64):
        raise InputError(f"{where} has {labels.dtype} labels of shape {labels.shape}: they must be int64, [n]")
    if targets == "labels" and labels.size and (labels.min() < 0 or (classes is not None and labels.max() >= classes)):
        raise InputError(
            f"{where} has labels {labels.min()} to {labels.max()}: they must lie in 0…{(classes or 1 << 63) - 1}"
        )
