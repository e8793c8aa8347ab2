"""Build the ONNX model of an architecture: the source file with the difference that graph-surgeon made.

graph-surgeon loses or corrupts much of what it carries (docs/design/rewrite.md#graph-surgeon), so its export is not the
result. The result is a copy of the source in which only the node list is replaced, unchanged nodes by their own source
messages, and the tensors that nothing reads any more are left out. What is not edited cannot be lost.
"""

import logging
from collections.abc import Mapping, MutableSequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from natonnx.architecture import Architecture
from natonnx.errors import VerificationError
from natonnx.frontend import Network, Program, RunConcat, RunNode, RunSum, lower
from natonnx.frontend.constants import constant_values, drop_unread
from natonnx.frontend.view import reads
from natonnx.rewrite.surgeon import EditedGraph, edit_graph
from natonnx.rewrite.training import drop_training
from natonnx.rewrite.trim import trim_nodes, trim_shapes
from natonnx.tensors import is_external, with_values

__all__ = ["build"]

_log = logging.getLogger(__name__)

_LARGE = 1024
"""Bytes."""


def build(
    network: Network, architecture: Architecture, weights: Mapping[str, np.ndarray] | None = None
) -> onnx.ModelProto:
    """Build the ONNX model of an architecture.

    Args:
        network: The parsed source model.
        architecture: β of that model, or an α derived from it.
        weights: New values of trainable tensors, by ONNX name, in the file's shapes; the file's own otherwise.

    Returns:
        A new model: same opset, IR version, inputs, outputs, names and metadata. With no edits and no weights, a copy.
        What was external data refers to the source's, still, or is pending (see `natonnx.tensors`).

    Raises:
        InputError: If the architecture is broken.
        VerificationError: If a weight does not fit the tensor that it replaces.
    """
    edited = architecture.states != network.architecture.states
    model = onnx.ModelProto()
    model.CopyFrom(network.extended if edited else network.model)
    added = {tensor.name for tensor in network.extended.graph.initializer[len(network.model.graph.initializer) :]}
    given = {name: value for name, value in (weights or {}).items() if edited or name not in added}
    unread = _replace_weights(model, given, network.folder) if given else []
    if edited:
        program = lower(network, architecture)
        _log.debug("plan: %d instructions, %d cuts", len(program.instructions), len(program.cut))
        trims = {i.node: i.trim for i in program.instructions if isinstance(i, RunNode) and i.trim is not None}
        placed = _replace_nodes(model, _edit(network, program))
        constants = {name for i in network.constant_nodes for name in network.model.graph.node[i].output}
        constants.update(tensor.name for tensor in network.extended.graph.initializer)
        trim_nodes(model, {i: (placed[i], trim) for i, trim in trims.items()}, constants, network.folder)
        trim_shapes(model, program.cut)
        for tensor in model.graph.initializer:
            if tensor.name in added:
                _lie_beside(tensor, model)
    drop_unread(model, unread)
    drop_training(network.model, model)
    return model


def _edit(network: Network, program: Program) -> EditedGraph:
    instructions = program.instructions
    before = lower(network, network.architecture).instructions
    was_running = {i.node for i in before if isinstance(i, RunNode)}
    was_running |= {i.node for i in before if isinstance(i, RunSum | RunConcat) and i.node is not None}
    nodes = network.extended.graph.node
    was_running.update(network.added)  # of operations that an edge may become, those that run are kept
    running = {i.node for i in instructions if isinstance(i, RunNode)}
    # Constants, and code that was dead in the file already: they stay while what they read exists.
    idle = set(range(len(nodes))) - was_running - set(network.constant_nodes)
    lost = {name for i in was_running - running for name in nodes[i].output}
    renamed = {i.node: i.output for i in instructions if isinstance(i, RunNode) and i.output is not None}
    lost.update(nodes[i].output[0] for i in renamed)
    lost -= {*renamed.values(), *(i.output for i in instructions if not isinstance(i, RunNode))}
    lost.update(program.cut)  # dead code was written for whole tensors
    for i in sorted(idle):
        if lost.intersection(reads(nodes[i])):
            idle.remove(i)
            lost.update(nodes[i].output)
    kept = idle | running
    wanted = {name for i in kept for name in reads(nodes[i])} | set(network.outputs)
    wanted.update(name for i in instructions if isinstance(i, RunSum) for name in i.inputs)
    gone = {name for i in set(range(len(nodes))) - kept - set(network.constant_nodes) for name in reads(nodes[i])}
    constants: set[int] = set()
    for i in sorted(network.constant_nodes, reverse=True):
        if wanted.intersection(nodes[i].output) or not gone.intersection(nodes[i].output):
            constants.add(i)
            wanted.update(reads(nodes[i]))
        else:
            gone.update(reads(nodes[i]))
    return edit_graph(network.extended, instructions, frozenset(idle | constants))


def _replace_nodes(model: onnx.ModelProto, edited: EditedGraph) -> dict[int, onnx.NodeProto]:
    """Replace the node list, and leave out what nothing reads any more; return nodes by position in the source."""
    graph = model.graph
    source = [onnx.NodeProto() for _ in graph.node]
    for copy, node in zip(source, graph.node, strict=True):
        copy.CopyFrom(node)
    defaults = {tensor.name for tensor in graph.initializer}
    used_before = {name for node in source for name in reads(node)}
    del graph.node[:]
    placed: dict[int, onnx.NodeProto] = {}
    for node, position in zip(edited.nodes, edited.sources, strict=True):
        if position is None:
            graph.node.add().CopyFrom(node)
        else:
            kept = graph.node.add()
            kept.CopyFrom(source[position])
            kept.output[:1] = node.output[:1]  # the one that another tensor's name may have been given to
            placed[position] = kept
    used = {name for node in graph.node for name in reads(node)} | {info.name for info in graph.output}
    dropped = used_before - used
    _keep(graph.initializer, [tensor.name not in dropped for tensor in graph.initializer])
    _keep(graph.sparse_initializer, [tensor.values.name not in dropped for tensor in graph.sparse_initializer])
    # An input that only lends a default to a weight goes with the weight; a true input stays in any case.
    _keep(graph.input, [info.name not in dropped & defaults for info in graph.input])
    present = used | {name for node in graph.node for name in node.output} | {info.name for info in graph.input}
    gone = (used_before | {name for node in source for name in node.output}) - present
    _keep(graph.value_info, [info.name not in gone for info in graph.value_info])
    _keep(graph.quantization_annotation, [note.tensor_name not in gone for note in graph.quantization_annotation])
    return placed


def _keep(messages: MutableSequence[Any], flags: list[bool]) -> None:
    """Delete from a repeated protobuf field, in place, the messages whose flag is not set."""
    for position in reversed(range(len(flags))):
        if not flags[position]:
            del messages[position]


def _replace_weights(model: onnx.ModelProto, weights: Mapping[str, np.ndarray], folder: Path | None) -> list[str]:
    """Give tensors new values, in place; return what nodes made them of that are constants themselves now."""
    remaining = dict(weights)
    for tensor in model.graph.initializer:
        if tensor.name in remaining:
            _replace_tensor(tensor, remaining.pop(tensor.name), tensor.name)
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output[0] in remaining:
            for attribute in node.attribute:
                if attribute.name == "value":
                    _replace_tensor(attribute.t, remaining.pop(node.output[0]), node.output[0])
                elif attribute.name == "value_floats":
                    value = remaining.pop(node.output[0])
                    _require_shape(value, (len(attribute.floats),), node.output[0])
                    attribute.floats[:] = value.tolist()
    unread: list[str] = []
    made = constant_values(model, remaining, folder)
    for node in model.graph.node:
        for name in filter(made.__contains__, node.output):
            _require_shape(remaining[name], made[name].shape, name)
            if not np.array_equal(remaining[name], made[name], equal_nan=True):
                unread += reads(node)
                _become_constant(node, numpy_helper.from_array(remaining[name].astype(made[name].dtype), name))
                _lie_beside(node.attribute[0].t, model)
    return unread


def _become_constant(node: onnx.NodeProto, value: onnx.TensorProto) -> None:
    del node.input[:], node.attribute[:]
    node.op_type, node.domain = "Constant", ""
    node.attribute.append(onnx.helper.make_attribute("value", value))


def _lie_beside(tensor: onnx.TensorProto, model: onnx.ModelProto) -> None:
    """Let a new tensor lie in a data file too where the large ones of its model do."""
    other = next(filter(is_external, model.graph.initializer), None)
    if other is not None and len(tensor.raw_data) >= _LARGE:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.extend(entry for entry in other.external_data if entry.key in {"location", "offset"})


def _replace_tensor(tensor: onnx.TensorProto, value: np.ndarray, name: str) -> None:
    _require_shape(value, tuple(tensor.dims), name)
    tensor.CopyFrom(with_values(tensor, value))


def _require_shape(value: np.ndarray, shape: tuple[int, ...], name: str) -> None:
    if value.shape != shape:
        raise VerificationError(f"weight {name!r} has shape {value.shape}, the file's has {shape}")
