"""Values of a model's constants: initializers, and what nodes make of them without the model's input."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from natonnx.frontend.view import reads
from natonnx.session import run, session
from natonnx.tensors import read_tensor

__all__ = ["add_initializer", "ancestors", "constant_values", "drop_unread"]

_FIRST_WITHOUT_INPUTS = 4
"""The IR version from which an initializer need not be an input of the graph as well."""


def constant_values(model: onnx.ModelProto, names: Collection[str], folder: Path | None) -> dict[str, np.ndarray]:
    """Values of tensors that do not depend on the model's input; onnxruntime computes those that nodes make.

    Args:
        model: The model.
        names: The tensors.
        folder: Where the model's external data is.

    Raises:
        InputError: If one cannot be computed.
    """
    held = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name in names}
    values = {name: read_tensor(tensor, folder) for name, tensor in held.items()}
    made = [name for name in names if name not in held]
    return {**values, **run(session(ancestors(model, made), folder=folder), {})} if made else values


def ancestors(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Cut out the part of a model that some of its tensors depend on, with these as the outputs.

    Args:
        model: The model; not changed.
        names: Tensors of its main graph.
    """
    graph = model.graph
    makers = {output: i for i, node in enumerate(graph.node) for output in node.output if output}
    needed: set[int] = set()
    read = set(names)
    pending = list(read)
    while pending:
        tensor = pending.pop()
        if tensor in makers and makers[tensor] not in needed:
            needed.add(makers[tensor])
            more = set(reads(graph.node[makers[tensor]])) - read
            read |= more
            pending.extend(more)
    part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    part.graph.name = graph.name
    part.graph.node.extend(graph.node[i] for i in sorted(needed))
    part.graph.initializer.extend(tensor for tensor in graph.initializer if tensor.name in read)
    part.graph.sparse_initializer.extend(one for one in graph.sparse_initializer if one.values.name in read)
    part.graph.input.extend(info for info in graph.input if info.name in read)
    part.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    return part


def add_initializer(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    """Add a constant of any type at any opset, as a Constant node is not.

    Args:
        model: Changed in place.
        name: Of the constant; no tensor of the model may have it.
        value: Its value.
    """
    tensor = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
    model.graph.initializer.append(tensor)
    if model.ir_version < _FIRST_WITHOUT_INPUTS:
        model.graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))


def drop_unread(model: onnx.ModelProto, names: Iterable[str]) -> None:
    """Remove constants that nothing reads any more, and what only they were made of.

    Args:
        model: Changed in place.
        names: Tensors that have lost a reader.
    """
    graph = model.graph
    dropped = set(names)
    while dropped:
        read = {name for node in graph.node for name in reads(node)} | {info.name for info in graph.output}
        unread = dropped - read
        dead = [i for i, node in enumerate(graph.node) if unread and unread.issuperset(filter(None, node.output))]
        dropped = {name for i in dead for name in reads(graph.node[i])}
        for i in reversed([i for i, tensor in enumerate(graph.initializer) if tensor.name in unread]):
            del graph.initializer[i]
        for infos in (graph.input, graph.value_info):
            for i in reversed([i for i, info in enumerate(infos) if info.name in unread]):
                del infos[i]
        for i in reversed(dead):
            del graph.node[i]
