"""Infer the shapes of a model's tensors.

onnx's own inference comes first. Where it gives up, as at a Reshape whose target is computed from a symbolic batch, it
goes on with numbers in the place of symbols (`natonnx.frontend.numeric_shapes`), and where that does not tell either,
onnxruntime's symbolic inference does; it takes seconds to load, so only then.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from natonnx.architecture import Shape
from natonnx.errors import InputError
from natonnx.frontend.batch_axes import UNNAMED, find_input_axes
from natonnx.frontend.declared import contradictions, corrected
from natonnx.frontend.load import true_inputs
from natonnx.frontend.numeric_shapes import infer_numerically
from natonnx.frontend.symbols import assignments, declared_size, evaluate, product_form
from natonnx.harmless import is_harmless
from natonnx.inference import infer_shapes as onnx_shapes
from natonnx.limits import LimitError, limited
from natonnx.tensors import light_copy

__all__ = ["OTHER_TYPE", "infer_shapes"]

_log = logging.getLogger(__name__)

_IMPORTS = 2_000_000
"""Bytes of a model that take as long as loading onnxruntime's inference, which takes seconds."""

OTHER_TYPE = -1
"""Stands in the place of an element type where a value is a sequence, a map, optional or sparse."""


def infer_shapes(
    model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]] | None = None, folder: Path | None = None
) -> tuple[dict[str, tuple[int | str | None, ...]], dict[str, int]]:
    """Infer the shape and element type of every tensor of the main graph.

    Args:
        model: The model; not changed.
        input_shapes: Sizes to assume for named inputs, batch included, where the file leaves them open, such as those
            of a batch of data. A symbolic batch stays symbolic, wherever it stands and whatever size is given for it.
            An axis of the same name on another input gets the same size.
        folder: Where the model's external data is.

    Returns:
        Shapes by tensor name (a string is a symbol, or a product such as `20*N`; None is an unknown size), and
        onnx.TensorProto element types, `OTHER_TYPE` for what is no plain tensor.

    Raises:
        InputError: If a named input does not exist or contradicts the file.
    """
    model = light_copy(model, folder)
    axes, _ = find_input_axes(model)
    if input_shapes:
        model = _with_input_shapes(model, input_shapes, axes)
    model = _with_named_axes(model, axes)
    try:
        try:
            inferred = onnx_shapes(model, strict_mode=True)
        except onnx.shape_inference.InferenceError:  # believe the nodes where a declared output contradicts them
            model = corrected(model, contradictions(model))
            inferred = onnx_shapes(model)
    except (LimitError, onnx.shape_inference.InferenceError) as error:
        _log.warning("%s: shapes are known as far as the file declares them", error)
        return _noted(model.graph)
    shapes, dtypes = _noted(inferred.graph)
    inputs = {info.name: shapes[info.name] for info in true_inputs(model) if info.name in shapes}
    symbols = dict.fromkeys(size for shape in inputs.values() for size in shape if isinstance(size, str))
    batch = {shape[axis] for name, shape in inputs.items() if (axis := axes[name]) is not None} & symbols.keys()
    made = [name for node in model.graph.node for name in node.output if name and dtypes.get(name) != OTHER_TYPE]
    if symbols and any(_is_open(size, symbols) for name in made for size in shapes.get(name, (None,))):
        for name, shape in infer_numerically(model, symbols, [size for size in batch if isinstance(size, str)]).items():
            shapes[name] = _merged(shapes.get(name), shape, symbols)
    if any(None in shapes.get(name, (None,)) for name in made):
        further, types = _noted(_symbolically_within_limits(model, shapes))
        dtypes = {**types, **dtypes}
        for name, shape in further.items():
            if any(_is_open(size, symbols) for size in shapes.get(name, (None,))):
                shapes[name] = _merged(shapes.get(name), shape, symbols)
    return {name: tuple(_simplified(size, symbols) for size in shape) for name, shape in shapes.items()}, dtypes


def _is_open(size: int | str | None, symbols: Collection[str]) -> bool:
    """Whether a size is unknown, or has a name that no input tells anything of."""
    return not isinstance(size, int) and size not in symbols


def _merged(known: Shape | None, further: Shape, symbols: Collection[str]) -> Shape:
    """One shape from two inferences; the first counts where it is settled."""
    if known is None or len(known) != len(further):
        return further
    pairs = zip(known, further, strict=True)
    return tuple(two if two is not None and _is_open(one, symbols) else one for one, two in pairs)


def _simplified(size: int | str | None, symbols: Collection[str]) -> int | str | None:
    """A size as a constant, a symbol or a product of them where it is one, as `floor(1.0*N)` is `N`."""
    if not isinstance(size, str) or size in symbols:
        return size
    first, second = assignments(symbols)
    one, two = evaluate(size, first), evaluate(size, second)
    form = None if one is None or two is None else product_form(one, two, first, second)
    return size if form is None else form


def _noted(graph: onnx.GraphProto) -> tuple[dict[str, Shape], dict[str, int]]:
    """What a graph says of its tensors."""
    shapes: dict[str, Shape] = {}
    dtypes: dict[str, int] = {}
    for info in [*graph.value_info, *graph.input, *graph.output]:
        if not info.type.HasField("tensor_type"):
            if info.type.WhichOneof("value"):
                dtypes[info.name] = OTHER_TYPE
            continue
        if info.type.tensor_type.elem_type:
            dtypes[info.name] = info.type.tensor_type.elem_type
        if info.type.tensor_type.HasField("shape"):
            shapes[info.name] = tuple(map(declared_size, info.type.tensor_type.shape.dim))
    for tensor in graph.initializer:
        shapes[tensor.name] = tuple(tensor.dims)
        dtypes[tensor.name] = tensor.data_type
    return shapes, dtypes


def _symbolically_within_limits(model: onnx.ModelProto, known: Mapping[str, Shape]) -> onnx.GraphProto:
    """Let onnxruntime infer shapes in the worker, but over a harmless model here."""
    if is_harmless(model):
        return _symbolically(model, known)
    data, what = model.SerializeToString(), "onnxruntime's symbolic shape inference"
    try:
        made = limited(f"{__name__}:_symbolic_bytes", data, dict(known), size=len(data) + _IMPORTS, what=what)
    except LimitError as error:
        _log.warning("%s: shapes stay unknown", error)
        return onnx.GraphProto()
    return onnx.GraphProto.FromString(made)


def _symbolic_bytes(model: bytes, known: Mapping[str, Shape]) -> bytes:
    return _symbolically(onnx.ModelProto.FromString(model), known).SerializeToString()


def _symbolically(model: onnx.ModelProto, known: Mapping[str, Shape]) -> onnx.GraphProto:
    """Let onnxruntime infer shapes, as far as it gets; an empty graph where it does not.

    Its public entry throws away what it found where that is not complete, and leaves a file in the working folder.

    Args:
        model: A private copy.
        known: Shapes that are known already; its rule for Concat needs an axis that is not negative.
    """
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Concat" and attribute.name == "axis" and attribute.i < 0:
                attribute.i += len(known.get(node.output[0], ()))
    try:
        from onnxruntime.tools import symbolic_shape_infer

        logging.getLogger(symbolic_shape_infer.__name__).setLevel(logging.CRITICAL)
        inference = symbolic_shape_infer.SymbolicShapeInference(2**31 - 1, False, False, 0)
        value_of = inference._try_get_value  # noqa: SLF001
        inference._try_get_value = lambda node, position: _whole(value_of(node, position))  # noqa: SLF001
        inference._preprocess(model)  # noqa: SLF001
        while inference.run_:
            inference._infer_impl()  # noqa: SLF001
        inference._update_output_from_vi()  # noqa: SLF001
        graph: onnx.GraphProto = inference.out_mp_.graph
    except Exception:  # whatever an odd model makes its arithmetic raise
        return onnx.GraphProto()
    return graph


def _whole(value: Any) -> Any:
    """Scales of a Resize with whole numbers as integers: times 1.0, a symbol is no longer the same to sympy."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim != 1:
        return value
    return [int(one) if one.is_integer() else one for one in value.tolist()]


def _with_input_shapes(
    model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]], axes: Mapping[str, int | None]
) -> onnx.ModelProto:
    """Set the sizes of open axes that do not count samples."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    inputs = {info.name: info for info in copy.graph.input}
    named: dict[str, int] = {}
    for name, shape in input_shapes.items():
        if name not in inputs:
            raise InputError(f"--input-shape: the model has no input {name!r}; its inputs are {', '.join(inputs)}")
        dims = inputs[name].type.tensor_type.shape.dim
        if len(dims) != len(shape):
            raise InputError(
                f"--input-shape: input {name!r} has {len(dims)} axes, {len(shape)} sizes were given; give one an axis"
            )
        for axis, (dim, size) in enumerate(zip(dims, shape, strict=True)):
            fixed = declared_size(dim)
            if isinstance(fixed, int) and fixed != size:
                raise InputError(
                    f"--input-shape: axis {axis} of input {name!r} is {fixed} in the file, not {size}; choose "
                    "open sizes only"
                )
            if axis != axes.get(name):
                dim.dim_value = size
                if isinstance(fixed, str):
                    named.setdefault(fixed, size)
    for name, info in inputs.items():
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            if axis != axes.get(name) and dim.dim_param in named:
                dim.dim_value = named[dim.dim_param]
    del copy.graph.value_info[:]
    return copy


def _with_named_axes(model: onnx.ModelProto, axes: Mapping[str, int | None]) -> onnx.ModelProto:
    """Give the batch axis of all inputs that have neither size nor name there one name, so that shapes can be compared.

    What some exporters write for a name says that there is none: two axes called "?" need not be of one size.
    """
    defaults = {tensor.name for tensor in model.graph.initializer}
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for info in copy.graph.input:
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            if info.name not in defaults and declared_size(dim) is None:
                dim.Clear()
                if axis == axes[info.name]:
                    dim.dim_param = UNNAMED
    return copy
