"""Edit a model's graph with ONNX GraphSurgeon, by the instructions of an architecture."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.logger import G_LOGGER

from natonnx.frontend import Instruction, RunConcat, RunNode, RunSelect, RunSkip, RunSum, default_opset
from natonnx.frontend.draft import fresh
from natonnx.frontend.view import reads

__all__ = ["EditedGraph", "edit_graph"]

G_LOGGER.severity = G_LOGGER.CRITICAL  # it logs to stdout, which belongs to --json


@dataclass(frozen=True)
class EditedGraph:
    """What graph-surgeon made.

    Attributes:
        nodes: The graph's nodes, in a valid order.
        sources: Per node: its position in the source graph, None for a new one.
    """

    nodes: Sequence[onnx.NodeProto]
    sources: Sequence[int | None]


def edit_graph(model: onnx.ModelProto, instructions: Sequence[Instruction], fixed: frozenset[int]) -> EditedGraph:
    """Rebuild a graph's node list by instructions.

    Args:
        model: The source, extended by what its edges may become; not changed.
        instructions: What to run.
        fixed: Positions of nodes that stay although no instruction names them (constants, dead code).

    Returns:
        The new node list. Nodes that stay keep their position in relation to each other.
    """
    return _Surgery(gs.import_onnx(_skeleton(model)), model).run(instructions, fixed)


def _skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """What graph-surgeon gets to see: which nodes there are, and which tensors they read and make.

    It shares messages with the model that it imports, edits them on export, and crashes on attributes, types and
    values of some kinds; what stays is the source's message anyway.
    """
    skeleton = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    skeleton.graph.name = model.graph.name
    for node in model.graph.node:
        bare = skeleton.graph.node.add(op_type=node.op_type, domain=node.domain, name=node.name)
        bare.input.extend(node.input)
        bare.output.extend(node.output)
    for infos, bare_infos in (
        (model.graph.input, skeleton.graph.input),
        (model.graph.output, skeleton.graph.output),
    ):
        for info in infos:
            bare_infos.add(name=info.name).type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return skeleton


class _Surgery:
    def __init__(self, graph: gs.Graph, model: onnx.ModelProto) -> None:
        self.graph = graph
        self.source = list(graph.nodes)  # one to one with the file's nodes, in order
        self.protos = model.graph.node
        self.tensors: dict[str, gs.Tensor] = dict(graph.tensors())
        self.opset = default_opset(model) or 1
        self.keys: list[tuple[float, gs.Node, int | None]] = []
        self.names: set[str] = set()

    def run(self, instructions: Sequence[Instruction], fixed: frozenset[int]) -> EditedGraph:
        kept = {i.node for i in instructions if isinstance(i, RunNode)} | fixed
        self.names.update(self.protos[position].name for position in kept)
        for position, node in enumerate(self.source):
            if position not in kept:
                node.inputs.clear()
                node.outputs.clear()
        for position in sorted(fixed):
            self.keys.append((position, self.source[position], position))
        for instruction in instructions:
            if isinstance(instruction, RunNode):
                own = self.source[instruction.node]
                if instruction.output is not None:
                    own.outputs = [self._tensor(instruction.output), *own.outputs[1:]]
                self.keys.append((instruction.node, own, instruction.node))
            else:
                self.keys.extend((instruction.place + 0.5, node, None) for node in self._new(instruction))
        self.graph.nodes.clear()
        order = _topological(self.keys, self.protos)
        self.graph.nodes.extend(node for _, node, _ in order)
        exported = gs.export_onnx(self.graph, do_type_check=False)
        return EditedGraph(list(exported.graph.node), [position for _, _, position in order])

    def _tensor(self, name: str) -> gs.Tensor:
        if name not in self.tensors:
            self.tensors[name] = gs.Variable(name)
        return self.tensors[name]

    def _fresh(self, name: str) -> gs.Tensor:
        """A tensor that the source does not have."""
        return self._tensor(fresh(name, self.tensors))

    def _node(
        self, kind: str, name: str, inputs: Sequence[gs.Tensor], output: gs.Tensor, attrs: dict[str, Any] | None = None
    ) -> gs.Node:
        """A new node of that name, or with a number behind it where one that stays has it already."""
        name = fresh(name, self.names) if name else name
        self.names.add(name)
        return gs.Node(kind, name, attrs, inputs=list(inputs), outputs=[output])

    def _new(self, instruction: RunSkip | RunSum | RunConcat | RunSelect) -> list[gs.Node]:
        if isinstance(instruction, RunSkip):
            return self._skip(instruction)
        if isinstance(instruction, RunSelect):
            return self._select(instruction)
        return self._sum(instruction) if isinstance(instruction, RunSum) else self._concat(instruction)

    def _skip(self, skip: RunSkip) -> list[gs.Node]:
        source, output = self._tensor(skip.source), self._tensor(skip.output)
        if skip.skip.is_identity:
            return [self._node("Identity", skip.edge, [source], output)]
        nodes: list[gs.Node] = []
        if skip.skip.pool:
            pooled = self._fresh(f"{skip.edge}/natonnx_pooled") if skip.skip.pad_channels else output
            attrs = {"kernel_shape": list(skip.skip.pool), "strides": list(skip.skip.pool)}
            nodes.append(self._node("AveragePool", skip.edge, [source], pooled, attrs))
            source = pooled
        if skip.skip.pad_channels:
            name = f"{skip.edge}/natonnx_pad" if nodes else skip.edge
            nodes.extend(self._pad(name, source, output, skip))
        return nodes

    def _pad(self, name: str, source: gs.Tensor, output: gs.Tensor, skip: RunSkip) -> list[gs.Node]:
        pads = [0] * (2 * skip.skip.rank)
        pads[skip.skip.rank + 1] = skip.skip.pad_channels
        if self.opset < 11:
            attrs = {"pads": pads, "mode": "constant", "value": 0.0}
            return [self._node("Pad", name, [source], output, attrs)]
        constant, amounts = self._constant(name, "amounts", pads)
        return [constant, self._node("Pad", name, [source, amounts], output, {"mode": "constant"})]

    def _constant(self, name: str, what: str, values: Sequence[int]) -> tuple[gs.Node, gs.Tensor]:
        """A Constant node, not an initializer: below IR 4 an initializer would have to be a model input too."""
        made = self._fresh(f"{name}/{what}")
        value = gs.Constant(f"{name}/{what}_value", np.array(values, np.int64))
        return self._node("Constant", f"{name}/natonnx_{what}", [], made, {"value": value}), made

    def _select(self, select: RunSelect) -> list[gs.Node]:
        source, output = self._tensor(select.source), self._tensor(select.output)
        own = self.source[select.node]
        name = own.name if own.name and len(self.protos[select.node].output) == 1 else f"{select.output}/natonnx_select"
        constant, indices = self._constant(f"{select.output}/natonnx_select", "indices", select.indices)
        return [constant, self._node("Gather", name, [source, indices], output, {"axis": select.axis})]

    def _sum(self, total: RunSum) -> list[gs.Node]:
        own = self.source[total.node].name if total.node is not None else ""
        name = own or f"{total.fmap}/natonnx_sum"
        kind = "Add" if len(total.inputs) == 2 and self.opset >= 7 else "Sum"  # onnxruntime has no older Add
        inputs = [self._tensor(tensor) for tensor in total.inputs]
        return [self._node(kind, name, inputs, self._tensor(total.output))]

    def _concat(self, joined: RunConcat) -> list[gs.Node]:
        inputs = [self._tensor(tensor) for tensor in joined.inputs]
        output, name = self._tensor(joined.output), self.source[joined.node].name
        return [self._node("Concat", name, inputs, output, {"axis": joined.axis})]


def _topological(
    keys: Sequence[tuple[float, gs.Node, int | None]], protos: Sequence[onnx.NodeProto]
) -> list[tuple[float, gs.Node, int | None]]:
    """Order nodes so that each follows those it reads, lowest key first wherever that leaves a choice."""
    made = ((tensor.name, i) for i, (_, node, _) in enumerate(keys) for tensor in node.outputs)
    maker: Mapping[str, int] = {name: i for name, i in made if name}  # optional outputs may have none
    waiting = [0] * len(keys)
    readers: list[list[int]] = [[] for _ in keys]
    for i, (_, node, position) in enumerate(keys):
        for name in {*(tensor.name for tensor in node.inputs), *(() if position is None else reads(protos[position]))}:
            if name in maker:
                waiting[i] += 1
                readers[maker[name]].append(i)
    ready = [(keys[i][0], i) for i, count in enumerate(waiting) if count == 0]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, i = heapq.heappop(ready)
        order.append(i)
        for reader in readers[i]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, (keys[reader][0], reader))
    assert len(order) == len(keys), "an architecture is acyclic"
    return [keys[i] for i in order]
