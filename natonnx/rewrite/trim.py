"""Cut channels out of a rewritten model: its constants, its grouped convolutions, and the shapes that it notes."""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from natonnx.architecture import Cut
from natonnx.frontend import Trim
from natonnx.frontend.constants import add_initializer, constant_values, drop_unread
from natonnx.frontend.view import reads
from natonnx.tensors import read_tensor, with_values

__all__ = ["trim_nodes", "trim_shapes"]


class _Part(NamedTuple):
    """Entries of a tensor along an axis."""

    axis: int
    entries: tuple[int, ...]


def trim_nodes(
    model: onnx.ModelProto,
    trims: Mapping[int, tuple[onnx.NodeProto, Trim]],
    constants: Collection[str],
    folder: Path | None,
) -> None:
    """Carry out what changes in nodes that read tensors which have lost channels.

    Args:
        model: Changed in place.
        trims: By position of the node in the source: the node in the model, and what changes in it.
        constants: The tensors that do not depend on the model's input.
        folder: Where the model's external data is.
    """
    trimming = _Trimming(model, constants, folder)
    for node, trim in trims.values():
        trimming.take(node, trim)
    trimming.finish()


class _Trimming:
    def __init__(self, model: onnx.ModelProto, constants: Collection[str], folder: Path | None) -> None:
        self.model = model
        self.constants = constants
        self.folder = folder
        graph = model.graph
        self.names = {name for node in graph.node for name in (*reads(node), *node.output)}
        self.names.update(info.name for info in (*graph.input, *graph.output))
        self.names.update(tensor.name for tensor in graph.initializer)
        self.wanted: dict[str, dict[_Part, list[tuple[onnx.NodeProto, int]]]] = {}  # by constant: who reads which part
        self.dropped: list[str] = []

    def take(self, node: onnx.NodeProto, trim: Trim) -> None:
        """Change a node, and note which parts of constants it will read."""
        for attribute in node.attribute:
            if trim.group is not None and attribute.name == "group":
                attribute.i = trim.group
        if trim.size is not None:
            position, element, size = trim.size
            self._resize(node, position, element, size)
        for position, axis, entries in trim.slices:
            name, part = node.input[position], _Part(axis, entries)
            if name in self.constants:
                self.wanted.setdefault(name, {}).setdefault(part, []).append((node, position))
            else:
                self._read_part(node, position, part)

    def _resize(self, node: onnx.NodeProto, position: int, element: int, size: int) -> None:
        """Give a node a new list of sizes; the old one may have other readers."""
        old = node.input[position]
        sizes = constant_values(self.model, [old], self.folder)[old].copy()
        sizes[element] = size
        self.dropped.append(old)
        node.input[position] = self._add(f"{node.output[0]}/natonnx_sizes", sizes)

    def _read_part(self, node: onnx.NodeProto, position: int, part: _Part) -> None:
        """Let a node read a part of a tensor that is whole."""
        entries = self._add(f"{node.output[0]}/natonnx_kept", np.array(part.entries, np.int64))
        name = self._unused(f"{node.output[0]}/natonnx_part")
        gather = onnx.helper.make_node("Gather", [node.input[position], entries], [name], name, axis=part.axis)
        at = next(i for i, one in enumerate(self.model.graph.node) if one.output[:] == node.output[:])
        self.model.graph.node.insert(at, gather)
        node.input[position] = name

    def finish(self) -> None:
        """Cut the constants: those that all their readers want the same part of, in place; copies of the others."""
        if not self.wanted and not self.dropped:
            return
        graph = self.model.graph
        readers = Counter(name for node in graph.node for name in reads(node))
        readers.update(info.name for info in graph.output)
        held = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and [attribute.name for attribute in node.attribute] == ["value"]:
                held[node.output[0]] = node.attribute[0].t
        values = constant_values(self.model, [name for name in self.wanted if name not in held], self.folder)
        for name, parts in self.wanted.items():
            whole = values[name] if name in values else read_tensor(held[name], self.folder)
            for part, reading in parts.items():
                left = np.take(whole, part.entries, part.axis)
                if name in held and len(reading) == readers[name]:
                    self._note(name, part)
                    held[name].CopyFrom(with_values(held[name], left))
                    continue
                fresh = self._add(f"{name}/natonnx_part", left)
                for node, position in reading:
                    node.input[position] = fresh
                self.dropped.append(name)
        drop_unread(self.model, self.dropped)

    def _note(self, name: str, part: _Part) -> None:
        """Let an overridable default, or a note of a shape, say what is left."""
        for info in (*self.model.graph.input, *self.model.graph.value_info):
            dims = info.type.tensor_type.shape.dim
            if info.name == name and part.axis < len(dims):
                dims[part.axis].dim_value = len(part.entries)

    def _add(self, name: str, value: np.ndarray) -> str:
        """Add a constant; return its name."""
        fresh = self._unused(name)
        add_initializer(self.model, fresh, value)
        return fresh

    def _unused(self, name: str) -> str:
        """A name of no tensor yet: this one, or with a number behind it."""
        candidate, count = name, 1
        while candidate in self.names:
            count += 1
            candidate = f"{name}#{count}"
        self.names.add(candidate)
        return candidate


def trim_shapes(model: onnx.ModelProto, cut: Mapping[str, Cut]) -> None:
    """Let the shapes that a model notes for its tensors say how many channels are left."""
    for info in model.graph.value_info:
        own = cut.get(info.name)
        dims = info.type.tensor_type.shape.dim
        if own is not None and 0 <= own.axis < len(dims) and dims[own.axis].HasField("dim_value"):
            dims[own.axis].dim_value = int(own.kept.sum())
