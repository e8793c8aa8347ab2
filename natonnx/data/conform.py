"""Make the arrays of a source those that a model takes: layout, element type, preprocessing."""

from natonnx.data.batches import Array, ArrayBatches
from natonnx.data.convert import cast
from natonnx.data.dataset import Preprocessing
from natonnx.data.layout import fit, matches, text
from natonnx.data.preprocess import preprocess
from natonnx.data.signature import InputSpec, Signature
from natonnx.errors import InputError

__all__ = ["check_preprocessing", "conform", "preprocessed_input", "unscaled"]

PLAIN = Preprocessing()

_DEEP = {"uint16", "int16", "uint32", "int32"}


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


def unscaled(raw: ArrayBatches, signature: Signature, preprocessing: Preprocessing) -> str | None:
    """Return a note on images of 16 or 32 bits, which are not scaled as those of 8 bits are; None of others."""
    spec = preprocessed_input(signature)
    array = None if spec is None else raw.inputs[spec.name]
    if array is None or preprocessing.scale is not None or array.ndim < 3 or not array.size:
        return None
    if array.dtype.name not in _DEEP:
        return None
    ends = f"{array.min():,} to {array.max():,}"
    return f"{array.dtype} images of {ends} are taken as they are; --scale 1 says so (uint8 is scaled by 1/255)"


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
