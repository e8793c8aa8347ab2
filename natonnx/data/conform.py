"""Make the arrays of a source those that a model takes: layout, element type, preprocessing."""

import numpy as np

from natonnx.data.batches import Array, ArrayBatches
from natonnx.data.convert import cast
from natonnx.data.dataset import Preprocessing
from natonnx.data.layout import fit, matches, text
from natonnx.data.preprocess import preprocess
from natonnx.data.signature import InputSpec, Signature
from natonnx.errors import InputError

__all__ = ["check_preprocessing", "conform", "preprocessed_input", "scaling"]

PLAIN = Preprocessing()

_LOOKED_AT = 256
"""Samples of which is told whether they are whole numbers."""


def preprocessed_input(signature: Signature) -> InputSpec | None:
    """Return the input that preprocessing is for: the only one of a floating-point type that has a batch axis."""
    found = [spec for spec in signature.inputs if spec.dtype.kind == "f" and spec.batch_axis is not None]
    return found[0] if len(found) == 1 else None


def check_preprocessing(signature: Signature, preprocessing: Preprocessing, where: str) -> None:
    """Refuse means, stds and scales that are for no input, or for one of several.

    Raises:
        InputError: If so.
    """
    named = [name for name in ("mean", "std", "scale") if getattr(preprocessing, name) is not None]
    if named and preprocessed_input(signature) is None:
        count = sum(spec.dtype.kind == "f" and spec.batch_axis is not None for spec in signature.inputs)
        raise InputError(
            f"{where}: {', '.join(named)} given, but the model has {count or 'no'} inputs of floating-point samples: "
            "preprocess the data yourself"
        )


def scaling(raw: ArrayBatches, signature: Signature, preprocessing: Preprocessing) -> str | None:
    """Return a note on what is made of the range of samples where the user said nothing of it; None of others.

    uint8 is scaled; other whole numbers, or floating-point numbers that are whole ones of 8 bits, are not.
    """
    chosen = preprocessed_input(signature)
    notes = (
        _scaling(raw.inputs[spec.name], preprocessing if spec is chosen else PLAIN, spec, alone=spec is chosen)
        for spec in signature.inputs
        if spec.dtype.kind == "f" and spec.batch_axis is not None
    )
    return next(filter(None, notes), None)


def _scaling(array: Array, preprocessing: Preprocessing, spec: InputSpec, *, alone: bool) -> str | None:
    if preprocessing.scale is not None or array.ndim < 3 or not array.size or array.dtype == bool:
        return None
    low, high = array.min(), array.max()
    what = f"{array.dtype} {'images' if alone else spec.name} of {low:,.6g} to {high:,.6g}"
    if array.dtype == np.uint8:
        is_known = preprocessing.is_given and high > 1
        remedy = "--scale" if alone else str(spec.dtype)
        return None if is_known else f"{what} scaled by 1/255 ({remedy} says otherwise)"
    is_byte = low >= 0 and 1 < high <= 255 and not preprocessing.is_given  # what pictures become by astype(float)
    is_cast = is_byte and bool((array[:_LOOKED_AT] == np.rint(array[:_LOOKED_AT])).all())
    if array.dtype.kind == "f" and not is_cast:
        return None
    return f"{what} are taken as they are{'; --scale 1 says so' * alone} (uint8 is scaled by 1/255)"


def conform(
    raw: ArrayBatches, signature: Signature, preprocessing: Preprocessing, where: str, *, own_layout: bool
) -> ArrayBatches:
    """Fit samples to a model.

    The array of a floating-point input, and the one of a model's only input, may have its channels elsewhere than the
    model has them. uint8 is scaled by 1/255 for a floating-point input that has a batch axis.

    Args:
        raw: Arrays of all inputs, as a source gives them.
        signature: What the model takes.
        preprocessing: See `preprocessed_input`.
        where: The source, for messages.
        own_layout: Whether arrays that fit as they are, are in the model's layout; else the shapes have to prove it.

    Raises:
        InputError: If something does not fit, or is not finite.
    """
    chosen = preprocessed_input(signature)
    inputs: dict[str, Array] = {}
    is_only = len(signature.inputs) == 1
    for spec in signature.inputs:
        what = where if len(signature.inputs) == 1 else f"{where}: {spec.name!r}"
        array = _shaped(raw.inputs[spec.name], spec, preprocessing, what, own_layout, len(signature.inputs) == 1)
        if spec is chosen and array.dtype.kind in "buif" and (is_only or preprocessing.is_given):
            inputs[spec.name] = preprocess(array, preprocessing, what, spec.dtype)
        elif spec.dtype.kind == "f" and spec.batch_axis is not None and array.dtype == "uint8":
            inputs[spec.name] = preprocess(array, PLAIN, what, spec.dtype)
        else:
            inputs[spec.name] = cast(array, spec.dtype, what)
    return ArrayBatches(inputs, raw.axes, raw.targets, raw.positions)


def _shaped(
    array: Array, spec: InputSpec, preprocessing: Preprocessing, what: str, own_layout: bool, alone: bool
) -> Array:
    is_own = array.ndim == len(spec.shape) and matches(_sample_sizes(array, spec), spec.sample_shape)
    is_batched = spec.batch_axis is not None
    is_image = spec.batch_axis == 0 and (spec.dtype.kind == "f" or alone)
    is_certain = spec.dtype.kind != "f" or (own_layout and preprocessing.layout is None)
    if is_image and not (is_own and is_certain):
        return fit(array, spec.sample_shape, preprocessing.layout, what)
    if not is_own:
        have, want = (_sample_sizes(array, spec), spec.sample_shape) if is_batched else (array.shape, spec.shape)
        raise InputError(
            f"{what}: {'samples are' if is_batched else 'is'} {text(have)}, but the model's input is {text(want)}: "
            "give it in the model's own layout"
        )
    return array


def _sample_sizes(array: Array, spec: InputSpec) -> tuple[int, ...]:
    return tuple(size for axis, size in enumerate(array.shape) if axis != spec.batch_axis)
