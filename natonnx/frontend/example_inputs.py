"""Make up inputs that a model takes, at any batch size."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from natonnx.architecture import Shape
from natonnx.errors import InputError
from natonnx.frontend.load import true_inputs
from natonnx.limits import LimitError
from natonnx.session import run, session
from natonnx.tensors import MOST_AXES

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["OPEN_SIZES", "example_inputs", "open_size", "runnable_size"]

OPEN_SIZES = (32, 64, 16, 8, 224, 1024)
"""Sizes that are tried, in this order, for axes that the file leaves open and that do not count samples."""


_MOST = 1 << 26
"""Numbers in an input that is made up."""


def example_inputs(
    model: onnx.ModelProto,
    shapes: Mapping[str, Shape],
    axes: Mapping[str, int | None],
    batch: int,
    open_size: int = OPEN_SIZES[0],
    integer: int = 0,
    generator: "np.random.Generator | None" = None,
) -> dict[str, np.ndarray]:
    """Standard normal numbers, and one number for all integers and truth values.

    Args:
        model: The model.
        shapes: Shapes of its inputs; an input without one is taken for a scalar.
        axes: The batch axis of each input.
        batch: Size of the batch axes that are open.
        open_size: Size of the other open axes.
        integer: Of integer and boolean inputs; 0 may be any index or mask.
        generator: Of the numbers; a fresh one of seed 0 where None.

    Returns:
        Arrays by input; nothing where an input is no tensor of numbers.

    Raises:
        InputError: If one would be too large.
    """
    generator = generator or np.random.default_rng(0)
    made: dict[str, np.ndarray] = {}
    for info in true_inputs(model):
        code = info.type.tensor_type.elem_type
        if code in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
            return {}
        sizes = [
            size if isinstance(size, int) else batch if axis == axes.get(info.name) else open_size
            for axis, size in enumerate(shapes.get(info.name, ()))
        ]
        if len(sizes) > MOST_AXES:
            raise InputError(f"input {info.name!r} has {len(sizes)} axes, and numpy takes {MOST_AXES}")
        if (count := math.prod(sizes)) > _MOST:
            raise InputError(
                f"input {info.name!r} would have {count:,} numbers, in a batch of {batch}: too many to try it out; "
                f"give --input-shape {info.name}:1,... where sizes are open"
            )
        dtype = onnx.helper.tensor_dtype_to_np_dtype(code)
        floating = np.issubdtype(dtype, np.floating)
        values = generator.standard_normal(sizes) if floating else np.full(sizes, integer)
        made[info.name] = np.asarray(values, dtype)
    return made


def open_size(
    model: onnx.ModelProto, shapes: Mapping[str, Shape], axes: Mapping[str, int | None], folder: Path | None = None
) -> int:
    """Find a size of the open axes at which onnxruntime runs a sample; any where it does not load the model at all.

    Raises:
        InputError: See `runnable_size`.
    """
    if _open_input(model, shapes, axes) is None:
        return OPEN_SIZES[0]
    try:
        runtime = session(model, folder=folder)
    except LimitError:
        raise
    except InputError:
        return OPEN_SIZES[0]
    return runnable_size(runtime, model, shapes, axes)


def _open_input(model: onnx.ModelProto, shapes: Mapping[str, Shape], axes: Mapping[str, int | None]) -> str | None:
    """The first input of which an axis other than the batch axis is open."""
    return next(
        (
            info.name
            for info in true_inputs(model)
            for axis, size in enumerate(shapes.get(info.name, ()))
            if not isinstance(size, int) and axis != axes.get(info.name)
        ),
        None,
    )


def runnable_size(
    runtime: "InferenceSession", model: onnx.ModelProto, shapes: Mapping[str, Shape], axes: Mapping[str, int | None]
) -> int:
    """Find a size of the open axes at which onnxruntime runs a sample.

    Args:
        runtime: A session of the model.
        model: The model.
        shapes: Shapes of its inputs.
        axes: The batch axis of each input.

    Raises:
        InputError: If it runs at none of `OPEN_SIZES`.
    """
    open_input = _open_input(model, shapes, axes)
    if open_input is None:
        return OPEN_SIZES[0]
    for size in OPEN_SIZES:
        for integer in (0, 1):
            try:
                run(runtime, example_inputs(model, shapes, axes, 1, size, integer))
            except LimitError:
                raise
            except InputError:
                continue
            return size
    raise InputError(
        f"input {open_input!r} has open sizes, and onnxruntime runs the model with none of "
        f"{', '.join(map(str, OPEN_SIZES))} there: give --input-shape {open_input}:1,..."
    )
