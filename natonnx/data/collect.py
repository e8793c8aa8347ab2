"""Bind what a source yields to the inputs of a model, and put it together."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from natonnx.data.batches import Array, ArrayBatches
from natonnx.data.convert import check_numbers, first_samples, is_castable, kind_name, to_array
from natonnx.data.items import Items, Renamed, is_structure
from natonnx.data.keys import IMAGES, LABELS
from natonnx.data.labels import Targets, check_labels
from natonnx.data.signature import InputSpec, Signature
from natonnx.errors import InputError

__all__ = ["Collected", "collect"]


@dataclass(frozen=True, eq=False)
class Collected:
    """Items in memory, put together.

    Attributes:
        arrays: Inputs as the source has them, the samples along the model's batch axes, and labels.
        own_layout: Whether the source has named the model's inputs, and so means the model's layout.
        unused: Names that the source has besides.
        names: What messages call each input.
    """

    arrays: ArrayBatches
    own_layout: bool
    unused: tuple[str, ...]
    names: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class _Bound:
    inputs: Mapping[str, Any]
    names: Mapping[str, str]  # what messages call them
    labels: Any = None
    labels_name: str = "labels"
    own_layout: bool = False
    unused: tuple[str, ...] = ()


def collect(
    items: Iterable[Any], source: Items, signature: Signature, targets: Targets, checked: float = math.inf
) -> Collected:
    """Bind items to a model's inputs, and put them together.

    Args:
        items: Some items of the source.
        source: What they are.
        signature: The model's inputs.
        targets: What labels are for.
        checked: Bytes of an array beyond which only its first samples are looked at for what is no number.

    Raises:
        InputError: If there are none, an input is missing, they differ in shape or number, or labels are bad.
    """
    where = source.where
    bound = [_bind(item, signature, where) for item in items]
    if not bound:
        raise InputError(f"{where}: yields no samples: give at least a few a class")
    first = bound[0]
    inputs: dict[str, Array] = {}
    for spec in signature.inputs:
        what = f"{where}: {first.names[spec.name]}"
        arrays = [to_array(one.inputs[spec.name], what) for one in bound]
        types = sorted({array.dtype.name for array in arrays})
        if len(types) > 1 and "uint8" in types and spec.dtype.kind == "f":
            raise InputError(f"{what} are partly uint8, which is scaled by 1/255, partly {types[0]}: give one type")
        wrong = next((array.dtype for array in arrays if not is_castable(array, spec.dtype)), None)
        if wrong is not None:
            raise InputError(f"{what} is an array of {wrong}, not of {kind_name(spec.dtype)}: save a plain array")
        inputs[spec.name] = _join(arrays, spec, source, what)
        what = f"{what}, a batch of them," if source.is_stream else what
        first_ones = first_samples(inputs[spec.name], spec.batch_axis, checked)
        check_numbers(first_ones, spec.batch_axis, what, masks=len(signature.inputs) > 1)
    counts = _counts(inputs, first, signature, where)
    labels = _labels(bound, source, signature, targets)
    if labels is not None and targets == "none" and len(labels) not in counts.values():
        labels = None
    if labels is not None:
        counts[first.labels_name] = len(labels)
    _check_counts(counts, where)
    unused = (*first.unused, *((first.labels_name,) if labels is None and first.labels is not None else ()))
    return Collected(ArrayBatches(inputs, signature.axes, labels), first.own_layout, unused, first.names)


def _bind(item: Any, signature: Signature, where: str) -> _Bound:
    names = signature.names
    if isinstance(item, Mapping):
        return _bind_mapping(item, names, where)
    if not is_structure(item):
        return _bind_sequence([item], names, where)
    if len(item) == 2 and is_structure(item[0]):
        inner = _bind(item[0], signature, where)
        if inner.labels is not None:
            raise InputError(f"{where}: yields labels both beside the inputs and among them: give them once")
        return replace(inner, labels=item[1])
    return _bind_sequence(item, names, where)


def _bind_mapping(item: Mapping[str, Any], names: Sequence[str], where: str) -> _Bound:
    told = item.keys_by_name if isinstance(item, Renamed) else {key: key for key in item}
    labels = next((key for key in LABELS if key in item and key not in names), None)
    is_generic = len(names) == 1 and IMAGES in item
    keys = {names[0]: IMAGES} if is_generic else {name: name for name in names}
    missing = [name for name in names if keys[name] not in item]
    if missing:
        found = ", ".join(repr(str(told[key])) for key in item) or "nothing"
        also = " (or images, or x_train, x_val, x_test)" if len(names) == 1 else ""
        raise InputError(
            f"{where}: has nothing for the model's input{'s' * (len(missing) > 1)} "
            f"{', '.join(map(repr, missing))}, but {found}: name the arrays after the model's inputs{also}, and labels"
        )
    used = {*keys.values(), labels}
    return _Bound(
        {name: item[key] for name, key in keys.items()},
        {name: str(told[key]) for name, key in keys.items()},
        None if labels is None else item[labels],
        "labels" if labels is None else str(told[labels]),
        not is_generic,
        tuple(str(told[key]) for key in item if key not in used),
    )


def _bind_sequence(item: Sequence[Any], names: Sequence[str], where: str) -> _Bound:
    if len(item) not in (len(names), len(names) + 1):
        raise InputError(
            f"{where}: yields {len(item)} {'array' if len(item) == 1 else 'values'}, but the model has {len(names)} "
            f"input{'s' * (len(names) > 1)} ({', '.join(names)}): give the inputs so, and labels last if there "
            "are any, or a mapping by input name"
        )
    labels = item[len(names)] if len(item) > len(names) else None
    said = {name: name if len(names) > 1 else "inputs" for name in names}
    return _Bound(dict(zip(names, item, strict=False)), said, labels, own_layout=len(names) > 1)


def _join(arrays: list[Array], spec: InputSpec, source: Items, what: str) -> Array:
    axis = spec.batch_axis
    if axis is None:
        return _only_value(arrays, spec, source, what)
    if not source.batched:
        if min(array.ndim for array in arrays) < axis:
            raise InputError(f"{what}: samples have {arrays[0].ndim} axes, too few for the model: give whole samples")
        return _together(np.stack, arrays, axis, what)
    along = 0 if source.in_front else axis
    if any(array.ndim <= axis for array in arrays):
        raise InputError(f"{what}: yields single samples where a batch is wanted: give it a batch axis or a batch size")
    if len(arrays) == 1 and not source.in_front:
        return arrays[0]
    return np.moveaxis(_together(np.concatenate, arrays, along, what), along, axis)


def _only_value(arrays: list[Array], spec: InputSpec, source: Items, what: str) -> Array:
    """Return the value of an input that has no batch axis, which must be the same for all samples."""
    values = [
        row for array in arrays for row in (array if source.in_front and array.ndim > len(spec.shape) else [array])
    ]
    if not values or any(not np.array_equal(value, values[0]) for value in values):
        raise InputError(
            f"{what}: differs from sample to sample, but the model takes one value for all: give data of one value each"
        )
    return np.asarray(values[0])


def _together(join: Callable[..., Any], arrays: list[Array], axis: int, what: str) -> Array:
    try:
        return np.asarray(join(arrays, axis=axis))
    except ValueError:
        shapes = sorted({array.shape for array in arrays})
        raise InputError(f"{what} differ in shape, from {shapes[0]} to {shapes[-1]}: make them of one size") from None


def _labels(bound: list[_Bound], source: Items, signature: Signature, targets: Targets) -> Array | None:
    given = [one.labels for one in bound if one.labels is not None]
    what = f"{source.where}: {bound[0].labels_name}"
    if not given:
        return None
    try:
        if len(given) != len(bound):
            raise InputError(f"{source.where}: yields labels with some samples only: give all labels, or none")
        if len(given) == 1 and source.batched:
            joined: Any = given[0]
        else:
            arrays = [to_array(label, what) for label in given]
            if source.batched and any(array.ndim == 0 for array in arrays):
                raise InputError(f"{source.where}: yields single samples: give the loader a batch size")
            joined = _together(np.concatenate if source.batched else np.stack, arrays, 0, what)
    except InputError:
        if targets == "none":
            return None
        raise
    return check_labels(joined, targets, signature.classes, what)


def _counts(inputs: Mapping[str, Array], bound: _Bound, signature: Signature, where: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for spec in signature.inputs:
        if spec.batch_axis is not None:
            name, array = bound.names[spec.name], inputs[spec.name]
            if not array.size:
                raise InputError(f"{where}: {name} is empty: give at least a few samples a class")
            counts[name] = array.shape[spec.batch_axis]
    return counts


def _check_counts(counts: Mapping[str, int], where: str) -> None:
    if not counts:
        raise InputError(
            f"{where}: no input of the model has a batch axis, so that nothing says how many samples it has"
        )
    first, *others = counts
    for other in others:
        if counts[first] != counts[other]:
            raise InputError(
                f"{where}: {first} has {counts[first]} samples but {other} has {counts[other]}: give as many of each, "
                "in the same order"
            )
