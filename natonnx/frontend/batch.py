"""Free a batch of 1 that an exporter baked into a model, where that is provably all it did.

The first axis of every input and output becomes symbolic, and each Reshape whose constant target starts with 1 copies
that axis from its input instead. Shape inference must then lead the symbolic axis to every output, and onnxruntime
must give for a batch what it gives for its samples one by one.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from natonnx.errors import InputError
from natonnx.frontend.constants import drop_unread
from natonnx.frontend.shapes import infer_shapes
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN
from natonnx.session import run, session
from natonnx.tensors import read_tensor

__all__ = ["free_batch"]

_BATCH = "batch"
_SUFFIX = "/natonnx_shape"
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
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    defaults = {tensor.name for tensor in freed.graph.initializer}
    inputs = [info for info in freed.graph.input if info.name not in defaults]
    _open(inputs, _BATCH)
    firsts = [info.type.tensor_type.shape.dim[0] for info in inputs if info.type.tensor_type.shape.dim]
    _open(freed.graph.output, next((dim.dim_param for dim in firsts if dim.dim_param), _BATCH))
    del freed.graph.value_info[:]
    targets = _reshapes(freed, folder)
    if freed.graph.input == model.graph.input and not targets:
        return model
    _replace(freed, targets)
    while wrong := _not_batch(freed, folder, targets):  # a Reshape of something that has no batch
        targets = {position: value for position, value in targets.items() if position not in wrong}
        freed.graph.ClearField("node")
        freed.graph.node.extend(model.graph.node)
        _replace(freed, targets)
    shapes, _ = infer_shapes(freed, None, folder)
    symbols = {dim.dim_param for dim in firsts}
    for info in freed.graph.output:
        first = (shapes.get(info.name) or (None,))[0]
        if first not in symbols:
            raise InputError(f"the batch cannot be freed: the first axis of output {info.name!r} is {first}")
    drop_unread(freed, [model.graph.node[position].input[1] for position in targets])
    _prove(model, freed, inputs, folder)
    return freed


def _open(infos: Iterable[onnx.ValueInfoProto], symbol: str) -> None:
    """Give first axes that are 1 a symbolic size."""
    for info in infos:
        dims = info.type.tensor_type.shape.dim
        if dims and dims[0].HasField("dim_value"):
            if dims[0].dim_value != 1:
                raise InputError(
                    f"the batch cannot be freed: the first axis of {info.name!r} is {dims[0].dim_value}, not 1"
                )
            dims[0].dim_param = symbol


def _reshapes(model: onnx.ModelProto, folder: Path | None) -> dict[int, np.ndarray]:
    """The Reshape nodes whose constant target starts with 1, by position, with the target that copies that axis."""
    values = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.INT64}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            values[node.output[0]] = node.attribute[0].t
    found: dict[int, np.ndarray] = {}
    for position, node in enumerate(model.graph.node):
        if node.op_type != "Reshape" or node.domain not in DEFAULT_DOMAIN or len(node.input) < 2:
            continue
        if node.input[1] not in values or any(a.name == "allowzero" and a.i for a in node.attribute):
            continue
        target = read_tensor(values[node.input[1]], folder).copy()
        if target.size and target[0] == 1:
            target[0] = 0
            found[position] = target
    return found


def _replace(model: onnx.ModelProto, targets: dict[int, np.ndarray]) -> None:
    """Give Reshape nodes targets of their own."""
    nodes: list[onnx.NodeProto] = []
    for position, node in enumerate(model.graph.node):
        if position in targets:
            name = f"{node.output[0]}{_SUFFIX}"
            value = numpy_helper.from_array(targets[position], name)
            nodes.append(onnx.helper.make_node("Constant", [], [name], name, value=value))
            fresh = onnx.NodeProto()
            fresh.CopyFrom(node)
            fresh.input[1] = name
            nodes.append(fresh)
        else:
            nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _not_batch(model: onnx.ModelProto, folder: Path | None, targets: dict[int, np.ndarray]) -> set[int]:
    """Positions, in the source, of changed Reshape nodes whose input does not start with the batch."""
    shapes, _ = infer_shapes(model, None, folder)
    changed = [
        node for node in model.graph.node if node.op_type == "Reshape" and node.input[1].endswith("/natonnx_shape")
    ]
    firsts = [(shapes.get(node.input[0]) or (None,))[0] for node in changed]
    return {position for position, first in zip(sorted(targets), firsts, strict=True) if not isinstance(first, str)}


def _prove(
    model: onnx.ModelProto, freed: onnx.ModelProto, inputs: Iterable[onnx.ValueInfoProto], folder: Path | None
) -> None:
    """Compare a batch of two with its samples one by one, where the sizes of the inputs are known."""
    generator = np.random.default_rng(0)
    batch: dict[str, np.ndarray] = {}
    for info in inputs:
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
            raise InputError(f"the batch cannot be freed: output {name!r} of a sample depends on the others beside it")
