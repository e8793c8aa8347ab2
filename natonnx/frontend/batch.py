"""Free a batch of 1 that an exporter baked into a model, where that is provably all it did.

The batch axis of every input that has one becomes symbolic, and each Reshape whose constant target has a 1 where its
input has the batch copies that axis instead. Shape inference must then lead the symbolic axis to every output, and
onnxruntime must give for a batch what it gives for its samples one by one.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import onnx

from natonnx.architecture import Shape
from natonnx.errors import InputError
from natonnx.frontend.batch_axes import UNNAMED, find_input_axes
from natonnx.frontend.constants import add_initializer, drop_unread
from natonnx.frontend.example_inputs import example_inputs
from natonnx.frontend.load import check, is_shapeless, true_inputs
from natonnx.frontend.shapes import infer_shapes
from natonnx.frontend.symbols import declared_size
from natonnx.frontend.view import GraphView
from natonnx.session import run, session

__all__ = ["free_batch"]

_BATCH = "batch"
_TOLERANCE = 1e-4
_SAMPLES = 2

_Axes = Mapping[str, int | None]


def free_batch(model: onnx.ModelProto, folder: Path | None = None) -> onnx.ModelProto:
    """Make the batch axis of a model symbolic.

    Args:
        model: The model; not changed.
        folder: Where its external data is.

    Returns:
        A copy; the model itself where nothing was baked in.

    Raises:
        InputError: If the batch is no 1, or cannot be proved to be free.
    """
    axes, _ = find_input_axes(model, folder)
    candidates = _reshapes(model, folder)
    copied = {(i, 0) for i, target in candidates.items() if target[0] == 1}
    freed = _freed(model, axes, candidates, copied)
    if freed.graph.input == model.graph.input and not copied:
        return model
    wrong: set[tuple[int, int]] = set()
    while True:
        shapes, _ = infer_shapes(freed, None, folder)
        symbols = _symbols(freed, axes, shapes)
        fitting = {
            (i, axis)
            for i, target in candidates.items()
            for axis, size in enumerate(shapes.get(model.graph.node[i].input[0], ()))
            if size in symbols and axis < len(target) and target[axis] == 1
        }
        if fitting - wrong == copied:
            break
        wrong |= copied - fitting  # those reshape something else
        copied = fitting - wrong
        freed = _freed(model, axes, candidates, copied)
    outputs = {info.name: _output_axis(info.name, shapes.get(info.name), symbols) for info in model.graph.output}
    for info, declared in zip(freed.graph.output, model.graph.output, strict=True):
        info.CopyFrom(declared)
        axis = outputs[info.name]
        dims = info.type.tensor_type.shape.dim
        if axis < len(dims) and dims[axis].HasField("dim_value"):
            symbol = shapes[info.name][axis]
            dims[axis].Clear() if symbol == UNNAMED else setattr(dims[axis], "dim_param", symbol)
    drop_unread(freed, [name for i in {i for i, _ in copied} for name in model.graph.node[i].input[1:]])
    _prove(model, freed, axes, outputs, folder)
    reason = check(freed, folder)
    if reason and not check(model, folder):
        raise InputError(f"the batch cannot be freed: {reason}; leave --free-batch out")
    return freed


def _freed(
    model: onnx.ModelProto, axes: _Axes, targets: Mapping[int, np.ndarray], copied: Collection[tuple[int, int]]
) -> onnx.ModelProto:
    """A copy with symbolic batch axes, in which Reshape nodes copy axes from their inputs.

    The sizes of 1 that it declares for its outputs are open: which of them is the batch is still to be found.

    Args:
        model: The model.
        axes: The batch axis of each input.
        targets: Constant targets, by position of the Reshape node.
        copied: Node and axis of what is copied.

    Raises:
        InputError: If a batch is fixed at another size than 1.
    """
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    del freed.graph.value_info[:]
    inputs = [
        (info, axis) for info in true_inputs(freed) if (axis := axes[info.name]) is not None and not is_shapeless(info)
    ]
    names = [declared_size(info.type.tensor_type.shape.dim[axis]) for info, axis in inputs]
    symbol = next((name for name in names if isinstance(name, str)), _BATCH)
    for (info, axis), size in zip(inputs, names, strict=True):
        if isinstance(size, int) and size != 1:
            where = "first axis" if axis == 0 else f"batch axis ({axis})"
            raise InputError(
                f"the batch cannot be freed: the {where} of {info.name!r} is {size}, not 1; leave --free-batch out"
            )
        if size == 1:
            info.type.tensor_type.shape.dim[axis].dim_param = symbol
    for info in freed.graph.output:
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_value == 1:
                dim.Clear()
    for position in sorted({i for i, _ in copied}):
        node = freed.graph.node[position]
        target = targets[position].copy()
        target[[axis for i, axis in copied if i == position]] = 0
        for own in node.attribute:
            if own.name == "shape":  # below opset 5
                own.ints[:] = target.tolist()
        if len(node.input) < 2:
            continue
        node.input[1] = f"{node.output[0]}/natonnx_shape"
        add_initializer(freed, node.input[1], target)
    return freed


def _symbols(freed: onnx.ModelProto, axes: _Axes, shapes: Mapping[str, Shape]) -> frozenset[str]:
    """What the batch is called on the inputs."""
    known = (info.name for info in true_inputs(freed) if info.name in shapes)
    sizes = [shapes[name][axis] for name in known if (axis := axes[name]) is not None]
    return frozenset(size for size in sizes if isinstance(size, str))


def _output_axis(name: str, shape: Shape | None, symbols: Collection[str]) -> int:
    """The batch axis of an output."""
    axis = next((axis for axis, size in enumerate(shape or ()) if size in symbols), None)
    if axis is None:
        sizes = "?" if shape is None else "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
        raise InputError(
            f"the batch cannot be freed: no axis of output {name!r} would be the batch, its shape is {sizes}; "
            "leave --free-batch out"
        )
    return axis


def _reshapes(model: onnx.ModelProto, folder: Path | None) -> dict[int, np.ndarray]:
    """Constant targets that have a 1, of Reshape nodes by position."""
    view = GraphView(model, {}, {}, folder)
    found: dict[int, np.ndarray] = {}
    for i in range(len(view.nodes)):
        if view.kind(i) != "Reshape" or view.attribute(i, "allowzero", 0):
            continue
        target = view.integers(i, "shape", 1)
        if target is not None and 1 in target:
            found[i] = np.array(target, np.int64)
    return found


def _prove(
    model: onnx.ModelProto, freed: onnx.ModelProto, axes: _Axes, outputs: Mapping[str, int], folder: Path | None
) -> None:
    """Compare a batch with its samples one by one, at a made-up size of what is open beside the batch."""
    declared = {info.name: tuple(map(declared_size, info.type.tensor_type.shape.dim)) for info in true_inputs(freed)}
    batch = example_inputs(freed, declared, axes, _SAMPLES)
    try:
        together = run(session(freed, folder=folder), batch)
        runtime = session(model, folder=folder)
        singles = [run(runtime, _sample(batch, axes, i)) for i in range(_SAMPLES)]
    except InputError as error:
        raise InputError(f"the batch cannot be freed: {error}; leave --free-batch out") from None
    for name, value in together.items():
        alone = np.concatenate([single[name] for single in singles], outputs[name])
        scale = float(np.max(np.abs(alone), initial=0)) or 1.0
        if alone.shape != value.shape or not np.max(np.abs(value - alone), initial=0) <= _TOLERANCE * scale:
            raise InputError(
                f"the batch cannot be freed: output {name!r} of a sample depends on the others beside it; leave "
                "--free-batch out"
            )


def _sample(batch: Mapping[str, np.ndarray], axes: _Axes, i: int) -> dict[str, np.ndarray]:
    """One sample of a batch, as a batch of 1."""
    return {name: value if (axis := axes[name]) is None else value.take([i], axis) for name, value in batch.items()}
