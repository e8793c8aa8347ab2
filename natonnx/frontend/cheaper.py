"""Give edges the cheaper operations of NAT++ that their convolutions may become.

They are nodes like the file's own, behind these in a copy of the model (`Network.extended`): an edge that makes such a
transition runs them in the place of its own, and nothing else reads what they make. So the supernet trains them, a
refit sets their weights and the rewriter writes them as it does with all nodes.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper

from natonnx.architecture import Choice, Operation, Shape, State
from natonnx.frontend.batch_axes import BatchAxes
from natonnx.frontend.constants import add_initializer
from natonnx.frontend.convolutions import Convolution, Layer, cheaper
from natonnx.frontend.draft import Draft, fresh
from natonnx.frontend.network import EdgeBinding
from natonnx.frontend.operation import describe
from natonnx.frontend.view import GraphView
from natonnx.frontend.vocabulary import AFFINE, COMPUTE, DEFAULT_DOMAIN

__all__ = ["add_cheaper"]

_LEAST_RANK = 3
"""Of a weight: outputs, inputs, and one spatial axis at least."""


def add_cheaper(
    draft: Draft, view: GraphView, shapes: dict[str, Shape], dtypes: dict[str, int], axes: BatchAxes
) -> GraphView:
    """Give edges cheaper operations where they may change and their weights are tensors of the file.

    Args:
        draft: Its edges and their bindings get them.
        view: The graph.
        shapes: Of its tensors; those of the new ones are added.
        dtypes: Likewise.
        axes: The model's.

    Returns:
        The extended graph; the same where nothing was added.
    """
    extension = _Extension(view, shapes, dtypes)
    for name, edge in draft.edges.items():
        if edge.operation is not None and edge.operation.kind == "Conv" and not edge.fixed:
            binding = draft.edge_bindings[name]
            draft.edge_bindings[name] = replace(binding, cheaper=extension.alternatives(name, binding.nodes))
    if not extension.nodes:
        return view
    extended = GraphView(extension.model(), shapes, dtypes, view.folder, axes)
    for name, binding in draft.edge_bindings.items():
        edge = draft.edges[name]
        if binding.cheaper and edge.operation is not None:
            found = {
                state: describe(extended, own.nodes, edge.operation.inputs) for state, own in binding.cheaper.items()
            }
            choices = [Choice(state, own, _successors(state, found)) for state, own in found.items()]
            draft.edges[name] = replace(edge, cheaper=tuple(choices))
    return extended


def _successors(state: State, operations: dict[State, Operation]) -> tuple[State, ...]:
    """What an operation may become: what takes less, and whatever the file's own may."""
    own = operations[state]
    less = [
        other for other, one in operations.items() if one.params < own.params and (one.madds or 0) <= (own.madds or 0)
    ]
    return (State.S, State.N, *less)


class _Extension:
    """What is added to a model."""

    def __init__(self, view: GraphView, shapes: dict[str, Shape], dtypes: dict[str, int]) -> None:
        self._view, self._shapes, self._dtypes = view, shapes, dtypes
        self._protos = view.model.graph.node
        self._tensors = {name for node in view.nodes for name in (*node.input, *node.output)} | set(shapes)
        self._names = {node.name for node in view.nodes}
        self._weights: dict[str, np.ndarray] = {}
        self.nodes: list[onnx.NodeProto] = []

    def model(self) -> onnx.ModelProto:
        """The extended model."""
        made = onnx.ModelProto()
        made.CopyFrom(self._view.model)
        made.graph.node.extend(self.nodes)
        for name, value in self._weights.items():
            add_initializer(made, name, value)
        return made

    def alternatives(self, edge: str, nodes: Sequence[int]) -> dict[State, EdgeBinding]:
        """Add what an edge of some nodes may become; say where that is, by state."""
        view = self._view
        compute = [i for i in nodes if view.kind(i) in COMPUTE]
        wide = [i for i in compute if view.kind(i) == "Conv" and set(view.shape(view.nodes[i].input[1])[2:]) != {1}]
        if len(wide) != 1 or any(view.kind(i) != "Conv" for i in compute):
            return {}
        node, at = wide[0], nodes.index(wide[0])
        behind, weight = nodes[at + 1 :], view.constant(view.nodes[node].input[1])
        copied = all(map(self._can_copy, (node, *behind)))
        if weight is None or weight.ndim < _LEAST_RANK or weight.dtype.kind not in "fV" or not copied:
            return {}
        made: dict[State, EdgeBinding] = {}
        for name, layers in cheaper(_geometry(view, node, weight), weight).items():
            if len(compute) > 1 and (len(layers) > 1 or layers[0].weight is None):
                continue  # it is one half of a separable convolution already
            state, first = State(name if len(compute) == 1 else f"sep_{name}"), self._count
            tensor = self._add(edge, state, node, layers)
            if layers[-1].weight is not None:  # poolings keep the scale of what they read
                for one in behind:
                    tensor = self._copy(edge, state, one, tensor)
            made[state] = EdgeBinding((*nodes[:at], *range(first, self._count)), tensor)
        return made

    @property
    def _count(self) -> int:
        """How many nodes there are by now, the file's own among them."""
        return len(self._protos) + len(self.nodes)

    def _can_copy(self, node: int) -> bool:
        """Whether a node is ONNX's own, and its weights are tensors of the file."""
        view, proto = self._view, self._protos[node]
        readable = all(view.constant(name) is not None for name in proto.input if self._is_weight(node, name))
        return readable and proto.domain in DEFAULT_DOMAIN and len(view.reads(node)) == sum(map(bool, proto.input))

    def _is_weight(self, node: int, name: str) -> bool:
        """Whether a node reads a constant that each operation has of its own: a weight, a bias, a statistic."""
        view = self._view
        least = 2 if view.kind(node) in AFFINE else 1  # a single number of Mul is no weight
        return name in view.constants and view.is_float(name) and view.size(name) >= least

    def _add(self, edge: str, state: State, node: int, layers: Sequence[Layer]) -> str:
        """Add the nodes in the place of a convolution; return what the last one makes."""
        own = self._protos[node]
        tensor, made = own.input[0], own.output[0]
        for layer in layers:
            part = f"{state}/{layer.part}" if layer.part else str(state)
            inputs, shape = [tensor], self._shapes.get(made, ())
            if layer.weight is not None:
                inputs.append(self._weight(own.input[1], part, layer.weight))
                shape = (*shape[:1], layer.weight.shape[0], *shape[2:])
                if layer is layers[-1] and len(own.input) > 2 and own.input[2]:
                    inputs.append(self._copied(own.input[2], part))
            tensor = self._tensor(f"{edge}/{part}/output", made, shape)
            self._append(helper.make_node(layer.kind, inputs, [tensor], f"{edge}/{part}", **layer.attributes))
        return tensor

    def _copy(self, edge: str, state: State, node: int, read: str) -> str:
        """Add a copy of a node with weights of its own that reads another tensor; return what it makes."""
        own, fresh_node = self._protos[node], onnx.NodeProto()
        fresh_node.CopyFrom(own)
        fresh_node.name = f"{edge}/{state}/{own.op_type}"
        del fresh_node.input[:], fresh_node.output[:]
        for name in own.input:
            kept = not name or name in self._view.constants
            copied = self._copied(name, str(state)) if self._is_weight(node, name) else name
            fresh_node.input.append(copied if kept else read)
        for name in own.output:
            output = self._tensor(f"{edge}/{state}/{own.op_type}/output", name, self._shapes.get(name)) if name else ""
            fresh_node.output.append(output)
        self._append(fresh_node)
        return fresh_node.output[0]

    def _append(self, node: onnx.NodeProto) -> None:
        node.name = fresh(node.name, self._names)
        self._names.add(node.name)
        self.nodes.append(node)

    def _tensor(self, name: str, like: str, shape: Shape | None) -> str:
        """A new tensor of the type of another one."""
        name = fresh(name, self._tensors)
        self._tensors.add(name)
        if shape is not None:
            self._shapes[name] = shape
        if like in self._dtypes:
            self._dtypes[name] = self._dtypes[like]
        return name

    def _copied(self, name: str, part: str) -> str:
        """A copy of a constant."""
        value = self._view.constant(name)
        assert value is not None
        return self._weight(name, part, value)

    def _weight(self, name: str, part: str, value: np.ndarray) -> str:
        """A new constant in the place of another: of "conv.weight", "conv.conv_1x1.weight"."""
        head, dot, tail = name.rpartition(".")
        made = f"{head}.{part.replace('/', '.')}.{tail}" if dot else f"{name}/{part}"
        made = self._tensor(made, name, value.shape)
        self._weights[made] = value
        return made


def _geometry(view: GraphView, node: int, weight: np.ndarray) -> Convolution:
    """Read what a Conv says of itself."""
    kernel = weight.shape[2:]
    ones, auto, groups = (
        (1,) * len(kernel),
        view.attribute(node, "auto_pad", b"NOTSET"),
        view.attribute(node, "group", 1),
    )
    assert isinstance(auto, bytes)
    assert isinstance(groups, int)
    return Convolution(
        kernel=kernel,
        strides=view.ints(node, "strides", ones),
        dilations=view.ints(node, "dilations", ones),
        pads=view.ints(node, "pads", (0,) * 2 * len(kernel)),
        auto_pad=auto.decode() or "NOTSET",
        groups=groups,
    )
