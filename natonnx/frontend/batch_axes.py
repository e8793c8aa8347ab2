"""Find the axis of each input and output of a model that counts samples.

The symbols of the inputs' shapes decide: a symbol with a conventional name, one that stands on many inputs, reaches
the outputs and leads. Where a file names no axis, the leading one is taken. Where it fixes all sizes, the batch is the
size that all leading axes share, or a 1 that every input has, as a recurrent state [2, 1, 128] beside a chunk [1, 512].
An output whose shape does not tell is looked at in onnxruntime, at batches of 1 and 2; where that fails, its leading
axis is taken.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from natonnx.architecture import Shape
from natonnx.errors import InputError
from natonnx.frontend.example_inputs import example_inputs, runnable_size
from natonnx.frontend.forms import ANY
from natonnx.frontend.load import is_shapeless, true_inputs
from natonnx.frontend.numeric_shapes import infer_numerically
from natonnx.frontend.recurrent import find_counted, recurrent_inputs
from natonnx.frontend.symbols import declared_size, evaluate
from natonnx.harmless import is_harmless
from natonnx.session import run, session

__all__ = ["UNNAMED", "BatchAxes", "find_batch_axes", "find_input_axes"]

UNNAMED = "natonnx_batch"
"""Symbol of a batch axis that has no name in the file."""

_CONVENTIONAL = {"n", "b", "bs", "bsz", "nbatch", "p2o.DynamicDimension.0"}
_OTHER = re.compile(
    r"seq|len|time|frame|step|width|height|token|point|box|past|query|audio|row|col|num_|^[thwl]$", re.IGNORECASE
)
"""What an axis that counts something else than samples is called."""


@dataclass(frozen=True)
class BatchAxes:
    """The axis that counts samples, by tensor.

    Attributes:
        inputs: By name of the input; None where it has none (a scalar, or a tensor that all samples share).
        outputs: By name of the output, likewise.
        size: The batch size where the file fixes it; None where it is free, or no input has a batch axis.
    """

    inputs: Mapping[str, int | None] = field(default_factory=dict)
    outputs: Mapping[str, int | None] = field(default_factory=dict)
    size: int | None = None

    def symbols(self, shapes: Mapping[str, Shape]) -> frozenset[str]:
        """The symbols that count samples in the shapes of the inputs."""
        sizes = [shapes[name][axis] for name, axis in self.inputs.items() if axis is not None and name in shapes]
        return frozenset(size for size in sizes if isinstance(size, str))

    def count(self, inputs: Mapping[str, Any]) -> int:
        """Number of samples in a batch: arrays by input name. 1 where no input counts samples."""
        axes = ((name, axis) for name, axis in self.inputs.items() if axis is not None and name in inputs)
        return next((int(inputs[name].shape[axis]) for name, axis in axes if axis < len(inputs[name].shape)), 1)


def find_input_axes(model: onnx.ModelProto, folder: Path | None = None) -> tuple[dict[str, int | None], int | None]:
    """Find the batch axis of every input from what the file declares, and from what its recurrent layers read.

    Args:
        model: The model.
        folder: Where its external data is.

    Returns:
        Axes by input, None for an input without a batch axis; and the batch size, None where it is free.
    """
    inputs = {info.name: (None,) if is_shapeless(info) else _declared(info) for info in true_inputs(model)}
    leads = any(shape and not isinstance(shape[0], int) for shape in inputs.values())
    named = {name: _named(shape, leads) for name, shape in inputs.items()}
    outputs = [_declared(info) for info in model.graph.output]
    symbol = _choose(list(named.values()), outputs)
    if symbol in (None, UNNAMED) or not _strength(symbol):
        told = _told_by_recurrent_layers(model, folder)
        if told is not None:
            return told
    if symbol is None:
        return _fixed(named, recurrent_inputs(model))
    return {name: _axis(shape, symbol) for name, shape in named.items()}, None


def find_batch_axes(model: onnx.ModelProto, shapes: Mapping[str, Shape], folder: Path | None = None) -> BatchAxes:
    """Find the batch axis of every input and output.

    Args:
        model: The model.
        shapes: Inferred shapes of its tensors.
        folder: Where its external data is.
    """
    inputs, size = find_input_axes(model, folder)
    axes = BatchAxes(inputs, {}, size)
    names = [info.name for info in model.graph.output]
    if size is not None:
        return BatchAxes(inputs, {name: _output_of_fixed(model, axes, name, shapes) for name in names}, size)
    if all(axis is None for axis in inputs.values()):
        return BatchAxes(inputs, dict.fromkeys(names), None)
    symbols = axes.symbols(shapes)
    known = dict.fromkeys((s for name in inputs for s in shapes.get(name, ()) if isinstance(s, str)), ANY)
    outputs: dict[str, int | None] = {}
    undecided: list[str] = []
    for name in names:
        shape = shapes.get(name)
        leading = next((axis for axis, size in enumerate(shape or ()) if size in symbols), None)
        if leading is None and (shape is None or any(evaluate(size, known) is None for size in shape)):
            undecided.append(name)
        outputs[name] = leading
    if undecided:
        outputs.update(_run(model, axes, shapes, undecided, folder))
    return BatchAxes(inputs, outputs, None)


def _declared(info: onnx.ValueInfoProto) -> Shape:
    return tuple(map(declared_size, info.type.tensor_type.shape.dim))


def _named(shape: Shape, leads: bool) -> Shape:
    """Name the batch axis of an input that has no name there.

    Args:
        shape: As declared.
        leads: Whether any input has an open leading axis.
    """
    axis = None
    if shape and shape[0] is None:
        axis = 0
    elif leads and len(shape) >= 3 and isinstance(shape[0], int) and shape.count(None) == 1:
        axis = shape.index(None)  # a recurrent state
    elif _is_behind(shape, None):
        axis = 1
    return tuple(UNNAMED if i == axis else size for i, size in enumerate(shape))


def _strength(symbol: str) -> int:
    """How clearly a symbol's name says that it counts samples."""
    return 2 if "batch" in symbol.lower() else int(symbol in _CONVENTIONAL or symbol.lower() in _CONVENTIONAL)


def _choose(inputs: Sequence[Shape], outputs: Sequence[Shape]) -> str | None:
    """The symbol that counts samples; None where none does."""
    symbols = dict.fromkeys(size for shape in inputs for size in shape if isinstance(size, str))
    plausible = [symbol for symbol in symbols if _is_plausible(symbol, [*inputs, *outputs])]
    if not plausible and not any(isinstance(size, int) for shape in inputs for size in shape[:1]):
        one = all(1 in shape for shape in inputs if shape)  # "time" leads, and the batch is a fixed 1
        plausible = [] if one else [symbol for symbol in symbols if any(shape[:1] == (symbol,) for shape in inputs)]
    return max(
        plausible,
        key=lambda symbol: (
            _strength(symbol) - (_strength(symbol) == 1 and _follows(symbol, plausible, inputs)),
            sum(symbol in shape for shape in inputs),
            sum(symbol in shape for shape in outputs),
            sum(shape[:1] == (symbol,) for shape in inputs),
        ),
        default=None,
    )


def _follows(symbol: str, others: Sequence[str], inputs: Sequence[Shape]) -> bool:
    """Whether another symbol that may count samples stands before a symbol: the N of [B, N, 3] need not."""
    return any(other in shape[: shape.index(symbol)] for shape in inputs if symbol in shape for other in others)


def _is_plausible(symbol: str, shapes: Sequence[Shape]) -> bool:
    """Whether a symbol may count samples, by its name or by where it stands."""
    if _strength(symbol):
        return True
    return any(_leads(shape, symbol) for shape in shapes)


def _leads(shape: Shape, symbol: str) -> bool:
    """Whether a symbol stands first, or is all that is open behind a fixed number of layers, as in [2, N, 128]."""
    if _OTHER.search(symbol):
        return False
    return shape[:1] == (symbol,) or _is_behind(shape, symbol)


def _is_behind(shape: Shape, size: str | None) -> bool:
    """Whether an open size is all that is open behind a fixed number of layers or steps."""
    return (
        len(shape) >= 3
        and isinstance(shape[0], int)
        and shape[0] > 1
        and shape[1] == size
        and all(isinstance(one, int) for one in shape[2:])
    )


def _axis(shape: Shape, symbol: str) -> int | None:
    """The batch axis of an input, which an exporter may have given a symbol of its own."""
    if symbol in shape:
        return shape.index(symbol)
    for axis, size in enumerate(shape):
        if isinstance(size, str) and (_strength(size) == 2 or _leads(shape, size)):
            return axis
    return None


def _fixed(inputs: Mapping[str, Shape], recurrent: Collection[str]) -> tuple[dict[str, int | None], int | None]:
    """Batch axes where no symbol counts samples; the second one of what recurrent layers read."""
    second = {inputs[name][1] for name in recurrent if len(inputs.get(name, ())) == 3}
    if len(second) == 1 and isinstance(size := next(iter(second)), int):
        return {name: 1 if name in recurrent else _place(shape, size) for name, shape in inputs.items()}, size
    shapes = [shape for shape in inputs.values() if shape]
    leading = list(dict.fromkeys(shape[0] for shape in shapes))
    size = next(iter(leading), None)
    if len(leading) > 1 or isinstance(size, str):
        shared = [one for one in (1, *leading) if all(_place(shape, one) is not None for shape in shapes)]
        size = next(iter(shared), size)
    if not isinstance(size, int) or size < 1:  # no sample at all
        return dict.fromkeys(inputs), None
    return {name: _place(shape, size) for name, shape in inputs.items()}, size


def _told_by_recurrent_layers(
    model: onnx.ModelProto, folder: Path | None
) -> tuple[dict[str, int | None], int | None] | None:
    """Batch axes by what recurrent layers read; None where that does not tell."""
    inputs, counted = find_counted(model, folder)
    read = recurrent_inputs(model)
    if isinstance(counted, int):
        axes = {name: 1 if name in read else _place(shape, counted) for name, shape in inputs.items()}
        return (axes, counted) if any(axis is not None for axis in axes.values()) else None
    if counted is None or not any(counted in shape for shape in inputs.values()):
        return None
    return {name: 1 if name in read else _axis(shape, counted) for name, shape in inputs.items()}, None


def _place(shape: Shape, size: int | str | None) -> int | None:
    """Where a fixed batch stands: in front, or as in [layers, N, width]; a 1 may stand anywhere."""
    if size == 1:
        return shape.index(1) if 1 in shape else None
    return 0 if shape[:1] == (size,) else 1 if len(shape) >= 3 and shape[1] == size else None


def _output_of_fixed(model: onnx.ModelProto, axes: BatchAxes, name: str, shapes: Mapping[str, Shape]) -> int | None:
    """The batch axis of an output where the batch is fixed: the first of that size, unless freeing it tells better."""
    shape = shapes.get(name)
    if shape is None:
        return 0
    fitting = [axis for axis, size in enumerate(shape) if size == axes.size]
    if fitting == [0]:
        return 0
    if not fitting:
        return next((axis for axis, size in enumerate(shape) if size is None), None)
    if len(fitting) > 1:
        freed = _freed_shape(model, axes, name)
        if UNNAMED in freed and freed.index(UNNAMED) in fitting:
            return freed.index(UNNAMED)
    return fitting[0]


def _freed_shape(model: onnx.ModelProto, axes: BatchAxes, name: str) -> Shape:
    """The shape that an output would have if the batch were free; () where inference does not tell."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for info in true_inputs(copy):
        axis = axes.inputs[info.name]
        if axis is not None and not is_shapeless(info):
            info.type.tensor_type.shape.dim[axis].dim_param = UNNAMED
    for info in copy.graph.output:
        info.type.tensor_type.ClearField("shape")
    named = {str(size) for info in true_inputs(copy) for size in _declared(info) if isinstance(size, str)}
    shapes, _ = infer_numerically(copy, sorted(named), [UNNAMED], harmless=is_harmless(copy))
    return shapes.get(name, ())


def _run(
    model: onnx.ModelProto, axes: BatchAxes, shapes: Mapping[str, Shape], names: Sequence[str], folder: Path | None
) -> dict[str, int | None]:
    """Find batch axes of outputs by running the model at batches of 1 and 2."""
    try:
        runtime = session(model, folder=folder)
        size = runnable_size(runtime, model, shapes, axes.inputs)
        one, two = (run(runtime, example_inputs(model, shapes, axes.inputs, batch, size)) for batch in (1, 2))
    except InputError:
        one = two = {}
    found: dict[str, int | None] = {}
    for name in names:
        before, after = (getattr(made.get(name), "shape", ()) for made in (one, two))
        if before and len(before) == len(after):
            pairs = zip(before, after, strict=True)
            found[name] = next((axis for axis, pair in enumerate(pairs) if pair == (1, 2)), None)
        else:
            open_axes = (axis for axis, size in enumerate(shapes.get(name, (None,))) if not isinstance(size, int))
            found[name] = next(open_axes, None)
    return found
