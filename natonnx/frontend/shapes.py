"""Infer the shapes of a model's tensors.

onnx's own inference comes first. Where it gives up, as at a Reshape whose target is computed from a symbolic batch,
onnxruntime's symbolic inference goes on; it takes seconds to load, so only then.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from natonnx.architecture import Shape
from natonnx.errors import InputError
from natonnx.frontend.declared import contradictions, corrected, dimension
from natonnx.tensors import light_copy

__all__ = ["OTHER_TYPE", "infer_shapes"]

OTHER_TYPE = -1
"""Stands in the place of an element type where a value is a sequence, a map, optional or sparse."""


def infer_shapes(
    model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]] | None = None, folder: Path | None = None
) -> tuple[dict[str, tuple[int | str | None, ...]], dict[str, int]]:
    """Infer the shape and element type of every tensor of the main graph.

    Args:
        model: The model; not changed.
        input_shapes: Sizes to assume for named inputs, batch included, where the file leaves them open. The batch size
            given there serves other axes only: a symbolic batch stays symbolic.
        folder: Where the model's external data is.

    Returns:
        Shapes by tensor name (a string is a symbolic size, None an unknown one), and onnx.TensorProto element types,
        `OTHER_TYPE` for what is no plain tensor.

    Raises:
        InputError: If a named input does not exist or contradicts the file.
    """
    model = light_copy(model, folder)
    if input_shapes:
        model = _with_input_shapes(model, input_shapes)
    model = _with_named_axes(model)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError:  # believe the nodes where an output's declared shape contradicts them
        model = corrected(model, contradictions(model))
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes, dtypes = _noted(inferred.graph)
    made = [name for node in model.graph.node for name in node.output if name and dtypes.get(name) != OTHER_TYPE]
    if any(None in shapes.get(name, (None,)) for name in made):
        further, types = _noted(_symbolically(model, shapes))
        dtypes = {**types, **dtypes}
        shapes.update((name, shape) for name, shape in further.items() if None in shapes.get(name, (None,)))
    return shapes, dtypes


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
            shapes[info.name] = tuple(map(dimension, info.type.tensor_type.shape.dim))
    for tensor in graph.initializer:
        shapes[tensor.name] = tuple(tensor.dims)
        dtypes[tensor.name] = tensor.data_type
    return shapes, dtypes


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
        inference._preprocess(model)  # noqa: SLF001
        while inference.run_:
            inference._infer_impl()  # noqa: SLF001
        inference._update_output_from_vi()  # noqa: SLF001
        graph: onnx.GraphProto = inference.out_mp_.graph
    except Exception:  # whatever an odd model makes its arithmetic raise
        return onnx.GraphProto()
    return graph


def _with_input_shapes(model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    inputs = {info.name: info for info in copy.graph.input}
    for name, shape in input_shapes.items():
        if name not in inputs:
            raise InputError(f"--input-shape: the model has no input {name!r}; its inputs are {', '.join(inputs)}")
        dims = inputs[name].type.tensor_type.shape.dim
        if len(dims) != len(shape):
            raise InputError(
                f"--input-shape: input {name!r} has {len(dims)} axes, {len(shape)} sizes were given; give one an axis"
            )
        for axis, (dim, size) in enumerate(zip(dims, shape, strict=True)):
            fixed = dimension(dim)
            if isinstance(fixed, int) and fixed != size:
                raise InputError(
                    f"--input-shape: axis {axis} of input {name!r} is {fixed} in the file, not {size}; choose "
                    "open sizes only"
                )
            if axis > 0:
                dim.dim_value = size
    del copy.graph.value_info[:]
    return copy


def _with_named_axes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the first axis of all inputs that have neither size nor name there one name, so that shapes can be compared.

    What some exporters write for a name says that there is none: two axes called "?" need not be of one size.
    """
    defaults = {tensor.name for tensor in model.graph.initializer}
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for info in copy.graph.input:
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            if info.name not in defaults and dimension(dim) is None:
                dim.Clear()
                if axis == 0:
                    dim.dim_param = "natonnx_batch"
    return copy
