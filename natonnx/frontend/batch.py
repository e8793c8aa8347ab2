"""Free a batch of 1 that an exporter baked into a model, where that is provably all it did.

The first axis of every input and output becomes symbolic, and each Reshape whose constant target starts with 1 copies
that axis from its input instead. Shape inference must then lead the symbolic axis to every output, and onnxruntime
must give for a batch what it gives for its samples one by one.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from natonnx.architecture import Shape
from natonnx.errors import InputError
from natonnx.frontend.constants import drop_unread
from natonnx.frontend.load import true_inputs
from natonnx.frontend.shapes import infer_shapes
from natonnx.frontend.view import GraphView
from natonnx.session import run, session

__all__ = ["free_batch"]

_BATCH = "batch"
_TOLERANCE = 1e-4


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
    targets = _reshapes(model, folder)
    freed = _freed(model, targets)
    if freed.graph.input == model.graph.input and not targets:
        return model
    shapes, _ = infer_shapes(freed, None, folder)
    while wrong := {i for i in targets if not _has_batch(shapes, model.graph.node[i].input[0])}:
        targets = {i: target for i, target in targets.items() if i not in wrong}  # those reshape something else
        freed = _freed(model, targets)
        shapes, _ = infer_shapes(freed, None, folder)
    symbols = {dim.dim_param for dim in _first_axes(true_inputs(freed))}
    for info in freed.graph.output:
        first = (shapes.get(info.name) or (None,))[0]
        if first not in symbols:
            raise InputError(
                f"the batch cannot be freed: the first axis of output {info.name!r} is {first}; leave --free-batch out"
            )
    drop_unread(freed, [model.graph.node[i].input[1] for i in targets])
    _prove(model, freed, folder)
    return freed


def _freed(model: onnx.ModelProto, targets: Mapping[int, np.ndarray]) -> onnx.ModelProto:
    """A copy with symbolic first axes, in which some Reshape nodes have targets of their own, by position."""
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    del freed.graph.value_info[:]
    inputs = true_inputs(freed)
    _open(inputs, _BATCH)
    _open(freed.graph.output, next((dim.dim_param for dim in _first_axes(inputs) if dim.dim_param), _BATCH))
    for position in sorted(targets, reverse=True):
        node = freed.graph.node[position]
        name = f"{node.output[0]}/natonnx_shape"
        value = numpy_helper.from_array(targets[position], name)
        node.input[1] = name
        freed.graph.node.insert(position, onnx.helper.make_node("Constant", [], [name], name, value=value))
    return freed


def _first_axes(infos: Iterable[onnx.ValueInfoProto]) -> list[onnx.TensorShapeProto.Dimension]:
    return [info.type.tensor_type.shape.dim[0] for info in infos if info.type.tensor_type.shape.dim]


def _has_batch(shapes: Mapping[str, Shape], tensor: str) -> bool:
    """Whether the first axis of a tensor is symbolic."""
    return isinstance((shapes.get(tensor) or (None,))[0], str)


def _open(infos: Iterable[onnx.ValueInfoProto], symbol: str) -> None:
    """Give first axes that are 1 a symbolic size."""
    for info in infos:
        dims = info.type.tensor_type.shape.dim
        if dims and dims[0].HasField("dim_value"):
            if dims[0].dim_value != 1:
                raise InputError(
                    f"the batch cannot be freed: the first axis of {info.name!r} is {dims[0].dim_value}, not 1;"
                    " leave --free-batch out"
                )
            dims[0].dim_param = symbol


def _reshapes(model: onnx.ModelProto, folder: Path | None) -> dict[int, np.ndarray]:
    """The Reshape nodes whose constant target starts with 1, by position, with the target that copies that axis."""
    view = GraphView(model, {}, {}, folder)
    found: dict[int, np.ndarray] = {}
    for i, node in enumerate(view.nodes):
        if view.kind(i) != "Reshape" or len(node.input) < 2 or view.attribute(i, "allowzero", 0):
            continue
        target = view.constant(node.input[1])
        if target is not None and target.size and target[0] == 1:
            found[i] = np.array([0, *target[1:]], np.int64)
    return found


def _prove(model: onnx.ModelProto, freed: onnx.ModelProto, folder: Path | None) -> None:
    """Compare a batch of two with its samples one by one, where the sizes of the inputs are known."""
    generator = np.random.default_rng(0)
    batch: dict[str, np.ndarray] = {}
    for info in true_inputs(freed):
        tensor = info.type.tensor_type
        sizes = [dim.dim_value for dim in tensor.shape.dim][1:]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        values = generator.standard_normal([2, *(size or 32 for size in sizes)])
        batch[info.name] = np.asarray(values if dtype.kind == "f" else values > 0, dtype)
    together = run(session(freed, folder=folder), batch)
    runtime = session(model, folder=folder)
    singles = [run(runtime, {name: value[i : i + 1] for name, value in batch.items()}) for i in range(2)]
    for name, value in together.items():
        alone = np.concatenate([single[name] for single in singles])
        scale = float(np.max(np.abs(alone), initial=0)) or 1.0
        if alone.shape != value.shape or not np.max(np.abs(value - alone), initial=0) <= _TOLERANCE * scale:
            raise InputError(
                f"the batch cannot be freed: output {name!r} of a sample depends on the others beside it; leave "
                "--free-batch out"
            )
