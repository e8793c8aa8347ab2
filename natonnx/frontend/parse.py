"""Group an ONNX graph into feature maps and the edges between them, at `layer` granularity.

Nodes are visited in file order, which is topological. Each one is taken up by the first rule that fits:

1. an Add or Sum of several variable tensors of one shape is a *sum* join;
2. an Identity, or a pooling and channel padding that is exactly the parameter-free skip, is an S edge;
3. a compute operator with constant weights is an O edge, with the normalisation and bias behind it that it alone
   feeds, and the elementwise nodes before it that only compute operators read (a pre-activation);
4. anything else makes *opaque* maps, one an output, that keep it as it is.

An edge ends in the sum that alone reads it, else in a *single* map of its own. Elementwise nodes that alone read a
join are its activation and belong to the map, so that they survive a skip.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from natonnx.architecture import Architecture, Edge, FeatureMap, Join, Shape, Skip, State, Topology, match_skip
from natonnx.frontend import vocabulary
from natonnx.frontend.load import infer_shapes
from natonnx.frontend.network import EdgeBinding, MapBinding, Network, OpaqueNode
from natonnx.frontend.operation import describe
from natonnx.frontend.skips import skip_run
from natonnx.frontend.view import GraphView

__all__ = ["WINDOW", "parse"]

WINDOW = 4
"""How many feature maps back a shortcut that does not exist yet (an N edge) may start."""


def parse(
    model: onnx.ModelProto,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    window: int = WINDOW,
    folder: Path | None = None,
) -> Network:
    """Parse a model into its NAT DAG.

    Args:
        model: A valid model; not changed, and must not change afterwards.
        input_shapes: Sizes to assume where the file leaves an input's open, batch included.
        window: How many feature maps back an N edge may start.
        folder: Where the model's external data is, if it has any.

    Raises:
        InputError: If `input_shapes` does not fit the model.
    """
    shapes, dtypes = infer_shapes(model, input_shapes, folder)
    return _Parser(GraphView(model, shapes, dtypes, folder)).run(model, shapes, input_shapes or {}, window, folder)


class _Parser:
    """State of one parse."""

    def __init__(self, view: GraphView) -> None:
        self.view = view
        self.maps: list[FeatureMap] = []
        self.map_bindings: dict[str, MapBinding] = {}
        self.edges: list[tuple[Edge, State]] = []
        self.edge_bindings: dict[str, EdgeBinding] = {}
        self.opaque: list[OpaqueNode] = []
        self.owner: dict[str, str] = {}  # value tensor -> feature map
        self.prefix: dict[str, tuple[str, tuple[int, ...]]] = {}  # pre-activated tensor -> source map, nodes
        self.pending: dict[str, tuple[str, str, tuple[int, ...], bool]] = {}  # edge tensor -> name, source, nodes, is O
        self.taken: set[int] = set()

    def run(
        self,
        model: onnx.ModelProto,
        shapes: Mapping[str, Shape],
        input_shapes: Mapping[str, Sequence[int]],
        window: int,
        folder: Path | None,
    ) -> Network:
        view = self.view
        for name in view.inputs:
            self._add_map(name, Join.INPUT)
        constant = tuple(i for i, node in enumerate(view.nodes) if all(o in view.constants for o in node.output if o))
        self.taken.update(constant)
        for i in range(len(view.nodes)):
            if i not in self.taken:
                self._visit(i)
        outputs = tuple(dict.fromkeys(self.owner[name] for name in view.outputs if name in self.owner))
        self._add_candidates(window)
        edges, states = zip(*self.edges, strict=True) if self.edges else ((), ())
        return Network(
            model=model,
            architecture=Architecture(Topology(tuple(self.maps), edges, outputs), states),
            maps=self.map_bindings,
            edges=self.edge_bindings,
            opaque=tuple(self.opaque),
            constant_nodes=constant,
            inputs=view.inputs,
            outputs=view.outputs,
            shapes=shapes,
            input_shapes=input_shapes,
            window=window,
            folder=folder,
        )

    # The rules

    def _visit(self, i: int) -> None:
        if self._is_sum(i):
            self._visit_sum(i)
        elif skip := self._skip_nodes(i):
            self._take_edge(skip, self.owner[self.view.nodes[i].input[0]], is_operation=False)
        elif self._is_operation(i):
            origin, before = self._origin(i)
            self._take_edge((*before, i, *self._suffix(i)), origin, is_operation=True)
        elif self._is_preactivation(i):
            origin, before = self._origin(i)
            self.prefix[self.view.nodes[i].output[0]] = (origin, (*before, i))
            self.taken.add(i)
        else:
            self._visit_opaque(i)

    def _origin(self, i: int) -> tuple[str, tuple[int, ...]]:
        """The feature map that a node reads, and the pre-activations on the way."""
        source = self.view.nodes[i].input[0]
        return self.prefix.get(source) or (self.owner[source], ())

    def _visit_sum(self, i: int) -> None:
        node = self.view.nodes[i]
        members = list(node.input)
        name = self._add_map(node.output[0], Join.SUM, join_node=i)
        for tensor in members:
            if tensor in self.pending:
                edge, source, nodes, is_operation = self.pending.pop(tensor)
                self._add_edge(edge, source, name, EdgeBinding(nodes, tensor), is_operation=is_operation)
            else:
                source = self.owner[tensor]
                self._add_edge(f"{source}->{name}", source, name, EdgeBinding((), tensor), is_operation=False)

    def _visit_opaque(self, i: int) -> None:
        view, node = self.view, self.view.nodes[i]
        self.taken.add(i)
        self.opaque.append(OpaqueNode(view.name(i), node.op_type, self._why_opaque(i)))
        sources = tuple(dict.fromkeys(self.owner[name] for name in view.variable_inputs(i)))
        # Constants by which a model normalises its own input are preprocessing, not weights.
        prepares_input = node.op_type in vocabulary.AFFINE and set(view.variable_inputs(i)) <= set(view.inputs)
        for position, name in enumerate(filter(None, node.output)):
            weights_of = (i,) if position == 0 and not prepares_input else ()
            self._add_map(name, Join.OPAQUE, join_node=i, inputs=sources, weights_of=weights_of)

    def _why_opaque(self, i: int) -> str:
        node = self.view.nodes[i]
        if node.domain not in vocabulary.DEFAULT_DOMAIN:
            return f"operator of the domain {node.domain}"
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            return "control flow"
        if node.op_type in vocabulary.COMPUTE:
            return "its weights are not constant, or another of its outputs is used"
        if node.op_type in vocabulary.JOINS:
            return "its operands differ in shape, or are not floating point"
        return "no transition rule for this operator"

    # What fits which rule

    def _is_sum(self, i: int) -> bool:
        """Whether a node is a sum of whole tensors; its members may not have been visited yet."""
        view, node = self.view, self.view.nodes[i]
        variable = view.variable_inputs(i)
        return (
            node.op_type in vocabulary.JOINS
            and len(variable) == len(node.input) > 1
            and view.is_float(node.output[0])
            and all(view.shape(name) == view.shape(node.output[0]) != () for name in variable)
        )

    def _skip_nodes(self, i: int) -> tuple[int, ...]:
        source = self.view.nodes[i].input[0] if self.view.nodes[i].input else ""
        return skip_run(self.view, i) if source in self.owner and self.view.is_float(source) else ()

    def _is_operation(self, i: int) -> bool:
        source = self.view.nodes[i].input[0] if self.view.nodes[i].input else ""
        return self._fits_an_edge(i) and (source in self.owner or source in self.prefix)

    def _fits_an_edge(self, i: int) -> bool:
        """Whether an O edge could carry a compute operator, wherever it starts."""
        view, node = self.view, self.view.nodes[i]
        return (
            node.op_type in vocabulary.COMPUTE
            and node.domain in vocabulary.DEFAULT_DOMAIN
            and view.variable_inputs(i) == [node.input[0]]
            and not any(name in view.readers or name in view.outputs for name in node.output[1:])
            and view.is_float(node.output[0])
            and not (node.op_type == "Gemm" and view.attribute(i, "transA", 0))
        )

    def _is_elementwise(self, i: int, kinds: frozenset[str]) -> bool:
        view, node = self.view, self.view.nodes[i]
        return (
            node.op_type in kinds
            and node.domain in vocabulary.DEFAULT_DOMAIN
            and len(view.variable_inputs(i)) == 1
            and node.input[0] not in view.constants
            and not any(name in view.readers or name in view.outputs for name in node.output[1:])
        )

    def _is_preactivation(self, i: int) -> bool:
        """Whether an elementwise node feeds nothing but compute operators, through more of its kind at most."""
        view = self.view
        kinds = vocabulary.ACTIVATIONS | vocabulary.NORMALISATIONS | vocabulary.DROPOUT
        if not self._is_elementwise(i, kinds) or not (
            view.nodes[i].input[0] in self.owner or view.nodes[i].input[0] in self.prefix
        ):
            return False
        stack = [view.nodes[i].output[0]]
        while stack:
            tensor = stack.pop()
            if tensor in view.outputs:
                return False
            for reader in view.readers.get(tensor, []):
                if self._is_elementwise(reader, kinds):
                    stack.append(view.nodes[reader].output[0])
                elif not self._fits_an_edge(reader):
                    return False
        return True

    # Growing what was found

    def _suffix(self, i: int) -> tuple[int, ...]:
        """Nodes behind a compute operator that belong to it: bias, scale, normalisation, the pointwise half."""
        view, nodes = self.view, []
        tensor, depthwise = view.nodes[i].output[0], self._is_depthwise(i)
        while (reader := view.only_reader(tensor)) is not None:
            node = view.nodes[reader]
            if self._is_elementwise(reader, vocabulary.NORMALISATIONS | vocabulary.DROPOUT):
                pass
            elif node.op_type in vocabulary.AFFINE and len(view.variable_inputs(reader)) == 1:
                if view.shape(node.output[0]) != view.shape(tensor):
                    break
            elif depthwise and node.op_type == "Conv" and view.variable_inputs(reader) == [tensor]:
                if any(size != 1 for size in view.shape(node.input[1])[2:]) or view.attribute(reader, "group", 1) != 1:
                    break
                depthwise = False
            else:
                break
            nodes.append(reader)
            tensor = node.output[0]
        return tuple(nodes)

    def _is_depthwise(self, i: int) -> bool:
        view, node = self.view, self.view.nodes[i]
        return node.op_type == "Conv" and view.attribute(i, "group", 1) != 1 and view.shape(node.input[1])[1:2] == (1,)

    def _take_edge(self, nodes: tuple[int, ...], source: str, *, is_operation: bool) -> None:
        """Record an edge; it ends in the sum that alone reads it, else in a single map of its own."""
        view = self.view
        self.taken.update(nodes)
        compute = [i for i in nodes if view.nodes[i].op_type in vocabulary.COMPUTE]
        name = self._unique(view.name(compute[0] if compute else nodes[0]))
        tensor = view.nodes[nodes[-1]].output[0]
        self.pending[tensor] = (name, source, nodes, is_operation)
        reader = view.only_reader(tensor)
        if reader is None or not self._is_sum(reader):
            del self.pending[tensor]
            target = self._add_map(tensor, Join.SINGLE)
            self._add_edge(name, source, target, EdgeBinding(nodes, tensor), is_operation=is_operation)

    def _add_map(
        self,
        tensor: str,
        join: Join,
        *,
        join_node: int | None = None,
        inputs: tuple[str, ...] = (),
        weights_of: tuple[int, ...] = (),
    ) -> str:
        view, chain, value = self.view, [], tensor
        kinds = vocabulary.ACTIVATIONS | vocabulary.NORMALISATIONS | vocabulary.DROPOUT
        while join is not Join.INPUT and (reader := view.only_reader(value)) is not None:
            if not self._is_elementwise(reader, kinds):
                break
            chain.append(reader)
            value = view.nodes[reader].output[0]
        self.taken.update(chain)
        if join_node is not None:
            self.taken.add(join_node)
        weights = tuple(weight for i in (*weights_of, *chain) for weight in view.weights(i))
        self.maps.append(FeatureMap(value, view.shape(tensor), join, inputs, weights))
        self.map_bindings[value] = MapBinding(tensor, value, join_node, tuple(chain))
        self.owner[value] = value
        return value

    def _add_edge(self, name: str, source: str, target: str, binding: EdgeBinding, *, is_operation: bool) -> None:
        name = name if is_operation else self._unique(name)
        operation = describe(self.view, binding.nodes) if is_operation else None
        skip = match_skip(self.view.shape(source), self._shape(target))
        if not is_operation and not isinstance(skip, Skip):  # an identity between maps whose shapes are unknown
            skip = Skip(len(self.view.shape(source)))
        found, reason = (skip, "") if isinstance(skip, Skip) else (None, skip)
        edge = Edge(name, source, target, operation, found, reason)
        self.edges.append((edge, State.O if is_operation else State.S))
        self.edge_bindings[name] = binding

    def _add_candidates(self, window: int) -> None:
        """Add an N edge for each shortcut that could exist and does not."""
        joined = {(edge.source, edge.target) for edge, _ in self.edges}
        usable = [
            (position, fmap)
            for position, fmap in enumerate(self.maps)
            if fmap.join in (Join.SINGLE, Join.SUM) or (fmap.join is Join.INPUT and self.view.is_float(fmap.name))
        ]
        for k, (_, target) in enumerate(usable):
            if target.join is Join.INPUT:
                continue
            for _, source in usable[max(0, k - window) : k]:
                skip = match_skip(self.view.shape(source.name), target.shape)
                if isinstance(skip, Skip) and (source.name, target.name) not in joined:
                    name = self._unique(f"{source.name}->{target.name}")
                    self.edges.append((Edge(name, source.name, target.name, None, skip), State.N))
                    self.edge_bindings[name] = EdgeBinding((), source.name)

    def _shape(self, target: str) -> Shape:
        return self.view.shape(self.map_bindings[target].join_tensor)

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self.edge_bindings or any(candidate == pending[0] for pending in self.pending.values()):
            count += 1
            candidate = f"{name}#{count}"
        return candidate
