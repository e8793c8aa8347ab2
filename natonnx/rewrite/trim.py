"""Cut channels out of a rewritten model: its constants, its grouped convolutions, and the shapes that it notes."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from natonnx.architecture import Cut
from natonnx.frontend import Trim
from natonnx.frontend.constants import add_initializer, constant_values, drop_unread
from natonnx.frontend.view import reads
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN
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
            if trim.group is not None and attribute.name in {"group", "num_groups"}:
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
        makers = {name: node for node in graph.node for name in node.output if name in self.constants}
        for name in [*reversed(makers), *(tensor.name for tensor in graph.initializer)]:
            for part, reading in self.wanted.get(name, {}).items():
                if len(reading) == readers[name] and self._cut(name, makers.get(name), part):
                    continue
                self._copy(name, part, reading)
                readers[name] -= len(reading)
                if name in makers and not any(readers[one] for one in makers[name].output):  # it goes
                    readers.subtract(reads(makers[name]))
        drop_unread(self.model, self.dropped)

    def _cut(self, name: str, maker: onnx.NodeProto | None, part: _Part) -> bool:
        """Cut a constant in place, or what it is made of; say whether that was possible."""
        if maker is None:
            tensor = next(one for one in self.model.graph.initializer if one.name == name)
        elif maker.op_type == "Constant" and [attribute.name for attribute in maker.attribute] == ["value"]:
            tensor = maker.attribute[0].t
        else:
            wanted = self._sources(maker, name, part)
            for position, own in wanted.items():
                self.wanted.setdefault(maker.input[position], {}).setdefault(own, []).append((maker, position))
            if wanted:
                self._note(name, part)
            return bool(wanted)
        tensor.CopyFrom(with_values(tensor, np.take(read_tensor(tensor, self.folder), part.entries, part.axis)))
        self._note(name, part)
        return True

    def _sources(self, maker: onnx.NodeProto, name: str, part: _Part) -> dict[int, _Part]:
        """The parts of its inputs that a node makes a part of its output of; none where that is not known."""
        kind = maker.op_type if maker.domain in DEFAULT_DOMAIN else ""
        if kind in {"Identity", "Cast"}:
            return {0: part}
        if kind not in {"DequantizeLinear", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}:
            return {}
        values = constant_values(self.model, [name, *(one for one in maker.input if one)], self.folder)
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in maker.attribute}
        shape, made = values[maker.input[0]].shape, values[name].shape
        if kind == "DequantizeLinear":
            along = attributes.get("axis", 1) % max(1, len(shape)) == part.axis
            many = [i for i, one in enumerate(maker.input) if i and one and values[one].size > 1]
            blocked = attributes.get("block_size", 0) or any(values[maker.input[i]].ndim != 1 for i in many)
            return {} if blocked else {0: part, **{i: part._replace(axis=0) for i in many if along}}
        if kind == "Transpose":
            return {0: part._replace(axis=attributes.get("perm", tuple(reversed(range(len(shape)))))[part.axis])}
        before = prod(made[: part.axis])
        same = [i for i, size in enumerate(shape) if prod(shape[:i]) == before and size == made[part.axis] > 1]
        if not same:
            return {}
        if kind == "Reshape" and (len(maker.input) < 2 or values[maker.input[1]][part.axis] > 0):
            if len(maker.input) < 2:
                return {}
            self._resize(maker, 1, part.axis, len(part.entries))
        return {0: part._replace(axis=same[0])}

    def _copy(self, name: str, part: _Part, reading: Sequence[tuple[onnx.NodeProto, int]]) -> None:
        """Let nodes read a new constant, a part of another."""
        whole = constant_values(self.model, [name], self.folder)[name]
        fresh = self._add(f"{name}/natonnx_part", np.take(whole, part.entries, part.axis))
        for node, position in reading:
            node.input[position] = fresh
        self.dropped.append(name)

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
