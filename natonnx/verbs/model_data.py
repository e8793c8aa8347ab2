"""Data that fits a model: what its file says of itself, and what the user says instead."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from natonnx import data
from natonnx.errors import InputError
from natonnx.frontend import Network, Source, parse_with
from natonnx.notices import NOTICE

__all__ = ["LOADING", "Targets", "choose_data", "load_parts", "shapes_of", "signature_of", "sized", "tell_notes"]

_log = logging.getLogger(__name__)

Targets = Literal["labels", "any", "none"]

LOADING = data.LoadOptions()

_VALUES = ("natonnx.mean", "natonnx.std", "natonnx.scale")
_UNREAD = (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING)


def load_parts(
    source: Source,
    chosen: data.Data,
    preprocessing: data.Preprocessing,
    *,
    classes: int | None,
    targets: Targets = "labels",
    seed: int = 0,
    class_names: Path | Mapping[str, int] | None = None,
    loading: data.LoadOptions = LOADING,
) -> data.Parts:
    """Load data for a model; see `natonnx.data.load`.

    Args:
        source: The model.
        chosen: The data; see `choose_data`.
        preprocessing: How raw values become inputs.
        classes: Number of classes that its scores tell apart; None where no output is class scores.
        targets: What is made of labels.
        seed: Of the division into parts.
        class_names: Which output each class folder is.
        loading: How it is read.

    Raises:
        InputError: If the data is bad, or does not fit the model.
    """
    signature = signature_of(source, classes)
    return data.load(
        chosen,
        signature,
        preprocessing=preprocessing,
        seed=seed,
        targets=targets,
        classes=class_names,
        workers=loading.workers,
        cache=loading.cache,
        memory=loading.memory,
    )


def tell_notes(parts: data.Parts) -> None:
    """Say what was done to data: to whoever listens, and once on a command's stderr."""
    for note in parts.notes:
        _log.log(NOTICE, "data %s: %s", parts.name, note)


def choose_data(
    source: Source, given: data.Data | None, overrides: Mapping[str, Any], like: Source | None = None
) -> tuple[data.Data, data.Preprocessing]:
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
    """Read what a model's metadata says of its data."""
    keys = {"natonnx.data", *_VALUES, "natonnx.layout", "natonnx.augment"}
    return {prop.key: prop.value for prop in source.network.model.metadata_props if prop.key in keys}


def signature_of(source: Source, classes: int | None = None) -> data.Signature:
    """Describe what a model takes.

    Args:
        source: The model.
        classes: Number of classes that its scores tell apart; None where no output is class scores.

    Raises:
        InputError: If an input is no tensor of numbers, or has no shape.
    """
    network = source.network
    infos = {info.name: info for info in network.model.graph.input}
    specs = []
    for name in network.inputs:
        code = infos[name].type.tensor_type.elem_type
        if code in _UNREAD:
            raise InputError(f"{source.path}: its input {name!r} is no tensor of numbers; natonnx has no data for it")
        if name not in network.shapes:
            raise InputError(
                f"{source.path}: its input {name!r} has no shape in the file; give --input-shape {name}:1,..."
            )
        shape = tuple(size if isinstance(size, int) else None for size in network.shapes[name])
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))
        specs.append(data.InputSpec(name, shape, dtype, network.batch_axes.inputs.get(name)))
    return data.Signature(tuple(specs), classes, network.batch_axes.size)


def sized(source: Source, parts: data.Parts) -> Source:
    """Read a model anew with the sizes that its data has, where the file leaves sizes open beside the batch's."""
    shapes = shapes_of(source, parts)
    if shapes == source.network.options.input_shapes:
        return source
    options = replace(source.network.options, input_shapes=shapes)
    return replace(source, network=parse_with(source.network.model, options, source.network.folder))


def shapes_of(source: Source, parts: data.Parts) -> dict[str, Sequence[int]]:
    """Return the sizes that were given for inputs, and those that data has where sizes are open beside the batch's."""
    shapes = {**source.network.options.input_shapes}
    open_inputs = [name for name in source.network.inputs if _is_open(source.network, name)]
    if not open_inputs:
        return shapes
    first = next(iter(parts.validation.sample(1).batches(1)))
    for name in open_inputs:
        sizes = list(first.inputs[name].shape)
        axis = source.network.batch_axes.inputs.get(name)
        if axis is not None and source.network.batch_axes.size is not None:
            sizes[axis] = source.network.batch_axes.size
        shapes.setdefault(name, tuple(sizes))
    return shapes


def _is_open(network: Network, name: str) -> bool:
    axis = network.batch_axes.inputs.get(name)
    sizes = network.shapes.get(name, ())
    return any(not isinstance(size, int) for position, size in enumerate(sizes) if position != axis)
