"""Cut channels out of a rewritten model: its constants, its grouped convolutions, and the shapes that it notes."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from natonnx.architecture import Cut
from natonnx.frontend import Trim
from natonnx.frontend.constants import constant_values, drop_unread
from natonnx.frontend.view import reads
from natonnx.tensors import read_tensor, with_values

__all__ = ["trim_constants", "trim_group", "trim_shapes"]


def trim_group(node: onnx.NodeProto, trim: Trim) -> None:
    """Let the attribute `group` of a node count the channels that are left."""
    for attribute in node.attribute:
        if trim.group is not None and attribute.name == "group":
            attribute.i = trim.group


def trim_constants(model: onnx.ModelProto, trims: Iterable[tuple[onnx.NodeProto, Trim]], folder: Path | None) -> None:
    """Take the lost channels' entries out of constant operands, which keep their names.

    A constant that other constants make becomes a Constant node.

    Args:
        model: Changed in place.
        trims: Nodes as in the source, and what changes in each. A constant that loses entries has no other reader.
        folder: Where the model's external data is.
    """
    kept = {
        node.input[position]: (axis, list(entries)) for node, trim in trims for position, axis, entries in trim.slices
    }
    if not kept:
        return
    for info in (*model.graph.input, *model.graph.value_info):  # of an overridable default, or a note
        if info.name in kept:
            axis, entries = kept[info.name]
            info.type.tensor_type.shape.dim[axis].dim_value = len(entries)
    for tensor in model.graph.initializer:
        if tensor.name in kept:
            axis, entries = kept.pop(tensor.name)
            tensor.CopyFrom(with_values(tensor, np.take(read_tensor(tensor, folder), entries, axis)))
    values = constant_values(model, kept, folder)
    dropped: list[str] = []
    for node in list(model.graph.node):
        for name in [name for name in node.output if name in kept]:
            axis, entries = kept.pop(name)
            value = np.take(values[name], entries, axis)
            if sum(map(bool, node.output)) == 1:
                dropped += _become_constant(node, value)
            else:  # one of several that the node makes
                _read_instead(model, name, value)
                dropped.append(name)
    assert not kept, "a constant is an initializer, or a node makes it"
    drop_unread(model, dropped)


def _read_instead(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    """Let what reads a tensor read a new Constant node instead."""
    fresh = f"{name}/natonnx_kept"
    for node in model.graph.node:
        node.input[:] = [fresh if one == name else one for one in node.input]
    constant = onnx.helper.make_node("Constant", [], [fresh], fresh, value=numpy_helper.from_array(value, fresh))
    model.graph.node.insert(0, constant)


def _become_constant(node: onnx.NodeProto, value: np.ndarray) -> list[str]:
    """Turn a node that makes a constant into a Constant node; return what it no longer reads."""
    if node.op_type == "Constant" and node.attribute[0].name == "value":
        node.attribute[0].t.CopyFrom(with_values(node.attribute[0].t, value))
        return []
    dropped = list(reads(node))
    del node.input[:], node.attribute[:]
    node.op_type, node.domain = "Constant", ""
    node.attribute.append(onnx.helper.make_attribute("value", numpy_helper.from_array(value, node.output[0])))
    return dropped


def trim_shapes(model: onnx.ModelProto, cut: Mapping[str, Cut]) -> None:
    """Let the shapes that a model notes for its tensors say how many channels are left."""
    for info in model.graph.value_info:
        own = cut.get(info.name)
        dims = info.type.tensor_type.shape.dim
        if own is not None and own.axis < len(dims) and dims[own.axis].HasField("dim_value"):
            dims[own.axis].dim_value = int(own.kept.sum())
