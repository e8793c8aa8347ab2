"""Infer the shapes of a model's tensors.

onnx's own inference comes first, without what the file declares of tensors that its nodes make, as that may be wrong or
of a batch that was fixed once. Where it gives up, as at a Reshape whose target is computed from a symbolic batch, it
goes on with numbers in the place of symbols (`natonnx.frontend.numeric_shapes`); where that does not tell either,
onnxruntime's symbolic inference does (`natonnx.frontend.symbolic_shapes`), and at last the file's declaration. What one
of them found stays, whatever becomes of the others.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from natonnx.architecture import Shape
from natonnx.errors import InputError
from natonnx.frontend.batch_axes import UNNAMED, find_input_axes
from natonnx.frontend.declared import Inferences, contradictions, corrected, infer, undeclared
from natonnx.frontend.foreign import ask_onnxruntime, foreign_outputs, use_stand_ins
from natonnx.frontend.forms import ANY, Assignment, Forms
from natonnx.frontend.load import true_inputs
from natonnx.frontend.loop_shapes import loop_states
from natonnx.frontend.numeric_shapes import infer_numerically
from natonnx.frontend.old_opsets import with_shape_inputs
from natonnx.frontend.sparse import with_dense_shapes
from natonnx.frontend.symbolic_shapes import infer_symbolically
from natonnx.frontend.symbols import declared_size, evaluate

__all__ = ["OTHER_TYPE", "infer_shapes"]

OTHER_TYPE = -1
"""Stands in the place of an element type where a value is a sequence, a map, optional or sparse."""


def infer_shapes(
    model: onnx.ModelProto,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    folder: Path | None = None,
    inferences: Inferences | None = None,
) -> tuple[dict[str, tuple[int | str | None, ...]], dict[str, int]]:
    """Infer the shape and element type of every tensor of the main graph.

    Args:
        model: The model; not changed.
        input_shapes: Sizes to assume for named inputs, batch included, where the file leaves them open, such as those
            of a batch of data. A symbolic batch stays symbolic, wherever it stands and whatever size is given for it.
            An axis of the same name on another input gets the same size.
        folder: Where the model's external data is.
        inferences: What was inferred before.

    Returns:
        Shapes by tensor name (a string is a symbol, or arithmetic over symbols such as `20*N`, with one text for equal
        sizes; None is an unknown size), and onnx.TensorProto element types, `OTHER_TYPE` for what is no plain tensor.

    Raises:
        InputError: If a named input does not exist or contradicts the file.
    """
    inferences = inferences or Inferences()
    source, model = model, with_shape_inputs(with_dense_shapes(inferences.light(model, folder)))
    axes, _ = find_input_axes(source, folder)
    if input_shapes:
        model = _with_input_shapes(model, input_shapes, axes)
    model = _with_named_axes(model, axes)
    bare = undeclared(model)
    use_stand_ins(bare)
    declared, _ = _noted(bare.graph)
    inputs = {info.name: declared[info.name] for info in true_inputs(model) if info.name in declared}
    if unknown := [name for name in foreign_outputs(bare) if name not in declared]:
        bare.graph.value_info.extend(ask_onnxruntime(source, unknown, inputs, folder))
    inferred, harmless = inferences.of(bare)
    shapes, dtypes = _noted((inferred or bare).graph)
    for _ in model.graph.node:
        if not (states := loop_states(bare, shapes, dtypes)):
            break
        bare.graph.value_info.extend(states)
        further, types = _noted((infer(bare) or bare).graph)
        shapes, dtypes = {**shapes, **further}, {**dtypes, **types}
    symbols = _independent([size for shape in inputs.values() for size in shape if isinstance(size, str)])
    batch = {shape[axis] for name, shape in inputs.items() if (axis := axes.get(name)) is not None} & symbols.keys()
    made = [name for node in model.graph.node for name in node.output if name and dtypes.get(name) != OTHER_TYPE]
    forms = Forms([symbols])

    def is_unknown() -> bool:
        different = {shapes.get(name, (None,)) for name in made}
        return any(_is_open(size, symbols) for shape in different for size in shape)

    if is_unknown():
        found, forms = infer_numerically(
            bare, symbols, [size for size in batch if isinstance(size, str)], harmless=harmless
        )
        _add(shapes, found, symbols)
    if is_unknown():
        further, types = _noted(onnx.GraphProto(value_info=infer_symbolically(bare, shapes, dtypes)))
        dtypes = {**types, **dtypes}
        _add(shapes, further, symbols)
    if is_unknown() and (whole := infer(corrected(model, contradictions(model)))):
        _add(shapes, _noted(whole.graph)[0], symbols)
    if len(forms.rows) > 1:
        shapes = {name: tuple(_written(size, forms) for size in shape) for name, shape in shapes.items()}
    return shapes, dtypes


def _independent(names: Sequence[str]) -> dict[str, int]:
    """Those of the symbols that the others do not tell, as they tell `past + 1`; with a number for each."""
    numbers = dict.fromkeys(names, ANY)
    return {name: ANY for name in numbers if evaluate(name, {other: ANY for other in numbers if other != name}) is None}


def _is_open(size: int | str | None, symbols: Assignment) -> bool:
    """Whether a size is unknown, or written with a name that no input tells anything of."""
    return not isinstance(size, int) and size not in symbols and evaluate(size, symbols) is None


def _add(shapes: dict[str, Shape], further: Mapping[str, Shape], symbols: Assignment) -> None:
    """Take over from another inference what is not known yet."""
    for name, shape in further.items():
        known = shapes.get(name)
        if known is None:
            shapes[name] = shape
        elif len(known) == len(shape):
            pairs = zip(known, shape, strict=True)
            shapes[name] = tuple(two if two is not None and _is_open(one, symbols) else one for one, two in pairs)


def _written(size: int | str | None, forms: Forms) -> int | str | None:
    """A size in the one text that all equal sizes have."""
    if not isinstance(size, str):
        return size
    return forms.write([evaluate(size, row) for row in forms.rows], size)


def _noted(graph: onnx.GraphProto) -> tuple[dict[str, Shape], dict[str, int]]:
    """What a graph says of its tensors."""
    shapes: dict[str, Shape] = {}
    dtypes: dict[str, int] = {}
    for info in [*graph.value_info, *graph.input, *graph.output]:
        name, kind = info.name, info.type
        if not kind.HasField("tensor_type"):
            if kind.WhichOneof("value"):
                dtypes[name] = OTHER_TYPE
            continue
        tensor = kind.tensor_type
        if code := tensor.elem_type:
            dtypes[name] = code
        if tensor.HasField("shape"):
            shapes[name] = tuple(map(declared_size, tensor.shape.dim))
    for held in graph.initializer:
        shapes[held.name] = tuple(held.dims)
        dtypes[held.name] = held.data_type
    return shapes, dtypes


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
        tensor = inputs[name].type.tensor_type
        if not tensor.HasField("shape"):
            open_sizes = [None] * len(shape)
            tensor.CopyFrom(onnx.helper.make_tensor_type_proto(tensor.elem_type, open_sizes).tensor_type)
        dims = tensor.shape.dim
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
    """Name the axes of inputs that have neither size nor name: one name for the batch, another for each other axis.

    What some exporters write for a name says that there is none: two axes called "?" need not be of one size.
    """
    defaults = {tensor.name for tensor in model.graph.initializer}
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for position, info in enumerate(copy.graph.input):
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            if info.name not in defaults and declared_size(dim) is None:
                dim.dim_param = UNNAMED if axis == axes[info.name] else f"input{position}.{axis}"
    return copy
