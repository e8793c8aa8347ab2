"""Turn values into arrays, and arrays into those of an element type, never with a loss."""

from numbers import Number
from typing import Any

import numpy as np

from natonnx.data.batches import Array
from natonnx.errors import InputError, first_line

__all__ = ["cast", "check_numbers", "first_samples", "is_castable", "kind_name", "to_array"]

_TEXT = "OSU"
_PLAIN = (Number, str, bytes, range)
_ARRAY_LIKE = ("__array__", "__array_interface__", "detach")


def to_array(value: Any, what: str) -> Array:
    """Make an array of what numpy, torch (on any device) or Pillow made, or of numbers in lists.

    Raises:
        InputError: If it is none.
    """
    if not _is_readable(value):
        raise InputError(f"{what} cannot be read as an array of numbers (it has a {_leaf_type(value)} in it)")
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.float() if "bfloat16" in str(value.dtype) else value  # which numpy lacks
        if np.ma.is_masked(value):
            raise InputError(f"{what} has masked values, which no model takes: fill them, or leave the samples out")
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} cannot be read as an array of numbers ({first_line(error)})") from None


def _is_readable(value: Any) -> bool:
    """Return whether numpy reads a value as an array, rather than as an object, or in a loop that may never end."""
    if isinstance(value, list | tuple):
        return all(map(_is_readable, value))
    return isinstance(value, _PLAIN) or any(hasattr(value, name) for name in _ARRAY_LIKE)


def _leaf_type(value: Any) -> str:
    if isinstance(value, list | tuple):
        return next(_leaf_type(one) for one in value if not _is_readable(one))
    return type(value).__name__


def is_castable(array: Array, dtype: np.dtype[np.generic]) -> bool:
    """Return whether an array is of the kind that an element type is of: numbers, or text."""
    return array.dtype.kind in (_TEXT if dtype.kind in _TEXT else "buif") or array.dtype == dtype


def kind_name(dtype: np.dtype[np.generic]) -> str:
    """Return what kind an element type is of, in a word."""
    return "text" if dtype.kind in _TEXT else "numbers"


def first_samples(array: Array, axis: int | None, size: float) -> Array:
    """Return an array, or as many of its samples, along an axis, as take so many bytes; at least one."""
    if axis is None or array.nbytes <= size or array.ndim <= axis:
        return array
    most = max(1, int(size * array.shape[axis] // array.nbytes))
    return array[(slice(None),) * axis + (slice(most),)]


def check_numbers(array: Array, axis: int | None, what: str, *, masks: bool = False) -> None:
    """Refuse what is no number.

    Args:
        array: Of any type.
        axis: The axis that counts samples; None where there is none.
        what: What it is, for messages.
        masks: Whether −∞ is legal, which masks out.

    Raises:
        InputError: If there is any, naming the first sample that has one.
    """
    if array.dtype.kind != "f":
        return
    bad = np.isnan(array) | np.isposinf(array) if masks else ~np.isfinite(array)
    if bad.any():
        nan = np.isnan(array[bad])
        kind = "NaN" if nan.all() else "NaN and infinite values" if nan.any() else "infinite values"
        where = ""
        if axis is not None and axis < bad.ndim:
            rows = np.flatnonzero(bad.any(tuple(i for i in range(bad.ndim) if i != axis)))
            more = "" if len(rows) == 1 else f" and {len(rows) - 1:,} more"
            where = f", in sample {rows[0]:,}{more} of {bad.shape[axis]:,} (the first is 0)"
        raise InputError(f"{what} holds {kind}{where}: remove those samples, or mend them")


def cast(array: Array, dtype: np.dtype[np.generic], what: str) -> Array:
    """Give an array, which `is_castable`, the element type of a model's input.

    Whole numbers and booleans stay what they are; floating-point numbers may lose precision, but no magnitude.

    Raises:
        InputError: If it cannot be done, or there is a NaN.
    """
    if dtype.kind in _TEXT:
        return array.astype(object)
    if dtype.kind in "bui":
        return _cast_whole(array, dtype, what)
    with np.errstate(over="ignore", invalid="ignore"):
        made = array.astype(dtype)
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise InputError(f"{what} holds NaN: remove those samples, or mend them")
    if dtype.kind == "f" and (np.isinf(made) != np.isinf(array)).any():
        raise InputError(f"{what} holds values too large for {dtype}, which the model takes: scale them")
    return made


def _cast_whole(array: Array, dtype: np.dtype[np.generic], what: str) -> Array:
    if array.dtype.kind == "f":
        raise InputError(f"{what} is an array of {array.dtype}, but the model takes {dtype}: give whole numbers")
    made = array.astype(dtype)
    if (made.astype(array.dtype) != array).any() or ((made < 0) != (array < 0)).any():
        raise InputError(
            f"{what} runs from {array.min()} to {array.max()}, but the model takes {dtype}: give values it can hold"
        )
    return made
