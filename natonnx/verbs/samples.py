"""Labelled data that fits a model: what its file says of itself, and what the user says instead."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import onnx

from natonnx import data
from natonnx.errors import InputError
from natonnx.frontend import Source

__all__ = ["classifier", "data_options", "load_classified", "load_data"]

_VALUES = ("natonnx.mean", "natonnx.std", "natonnx.scale")


def load_data(source: Source, given: data.Data | None, overrides: Mapping[str, Any], seed: int) -> data.Dataset:
    """Load data to train a model with.

    Args:
        source: The model.
        given: See `natonnx.data.load`; what the model's metadata names where None.
        overrides: Fields of `natonnx.data.Preprocessing`; None is no override.
        seed: See `natonnx.data.load`.

    Raises:
        InputError: If the model is no classifier that can be trained, or the data is bad.
    """
    shape, classes = classifier(source)
    chosen, preprocessing = data_options(source, given, overrides)
    return load_classified(source, chosen, shape, classes, preprocessing, seed)


def load_classified(
    source: Source,
    chosen: data.Data,
    shape: tuple[int | None, ...],
    classes: int,
    preprocessing: data.Preprocessing,
    seed: int,
) -> data.Dataset:
    """Load labelled data for a classifier of one float32 input into memory.

    Raises:
        InputError: If the data is bad, or has no labels.
    """
    name = source.network.inputs[0]
    spec = data.InputSpec(name, (None, *shape), np.dtype(np.float32))
    parts = data.load(chosen, data.Signature((spec,), classes), preprocessing=preprocessing, seed=seed)

    def split(part: data.Batches) -> data.Split:
        held = part.sample(sys.maxsize)
        labels = held.targets
        if labels is None:
            raise InputError(f"{parts.name}: has no labels: add them")
        return data.Split(held.inputs[name], labels)

    test = None if parts.test is None else split(parts.test)
    return data.Dataset(parts.name, split(parts.train), split(parts.validation), test, classes, parts.augment)


def data_options(
    source: Source, given: data.Data | None, overrides: Mapping[str, Any], like: Source | None = None
) -> tuple[str | data.Dataset | data.Held, data.Preprocessing]:
    """Choose data and preprocessing for a model.

    Args:
        source: The model.
        given: The user's data; what the metadata names where None. What a model's metadata says of mean, std and scale
            is for raw data: floating-point numbers from a torch data set or loader had transforms of their own.
        overrides: The user's preprocessing, by field; None is no override.
        like: A model whose metadata is asked where the model's own says nothing of data.

    Raises:
        InputError: If nothing names any data, or the metadata is bad.
    """
    metadata = _metadata(source)
    if like is not None and not metadata:
        metadata = _metadata(like)
    held = None if given is None else data.hold(given)
    if held is not None:
        metadata.pop("natonnx.data", None)
    if isinstance(held, data.Held) and held.is_prepared:
        metadata = {key: value for key, value in metadata.items() if key not in _VALUES}
    named, preprocessing = data.metadata_options(metadata)
    chosen = held if held is not None else named
    if chosen is None:
        raise InputError(f"{source.path}: names no data of its own; give --data (a built-in name, .npz, folder, ...)")
    fields = asdict(preprocessing)
    for key, value in overrides.items():
        if key not in fields:
            raise InputError(f"unknown preprocessing {key!r}: choose of {', '.join(fields)}")
        if value is not None:
            fields[key] = (value,) if key in ("mean", "std") and isinstance(value, int | float) else value
    return chosen, data.Preprocessing(**fields)


def _metadata(source: Source) -> dict[str, str]:
    """What a model's metadata says of its data."""
    keys = {"natonnx.data", *_VALUES, "natonnx.layout", "natonnx.augment"}
    return {prop.key: prop.value for prop in source.network.model.metadata_props if prop.key in keys}


def classifier(source: Source, *, use: str = "trained", any_batch: bool = False) -> tuple[tuple[int | None, ...], int]:
    """Input shape without the batch, and number of classes, of a model that this version can handle.

    Args:
        source: The model.
        use: What is to be done with it, for messages.
        any_batch: Whether its batch size may be fixed.

    Raises:
        InputError: If the model is no classifier of one float32 input.
    """
    network = source.network
    if len(network.inputs) != 1:
        raise InputError(f"{source.path}: has {len(network.inputs)} inputs; a model is {use} so far if it has one")
    if len(network.outputs) != 1:
        raise InputError(f"{source.path}: has {len(network.outputs)} outputs; a model is {use} so far if it has one")
    types = {info.name: info.type.tensor_type.elem_type for info in network.model.graph.input}
    if types[network.inputs[0]] != onnx.TensorProto.FLOAT:
        raise InputError(f"{source.path}: its input is not float32; a model is {use} so far if it is")
    shape = network.shapes.get(network.inputs[0], ())
    if not shape or (isinstance(shape[0], int) and not any_batch):
        size = shape[0] if shape else "unknown"
        raise InputError(
            f"{source.path}: its batch size is fixed ({size}); give --free-batch or export it with a dynamic one"
        )
    if any(not isinstance(size, int) for size in shape[1:]):
        raise InputError(f"{source.path}: its input {network.inputs[0]!r} has open sizes; give --input-shape")
    output = network.shapes.get(network.outputs[0], ())
    sizes = [size for size in output[1:] if size != 1]
    if len(sizes) != 1 or not isinstance(sizes[0], int):
        raise InputError(
            f"{source.path}: output {network.outputs[0]!r} of shape {output} is not one score a class; only a "
            f"classifier is {use} so far"
        )
    return tuple(size if isinstance(size, int) else None for size in shape[1:]), sizes[0]
