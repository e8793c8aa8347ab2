"""Group an ONNX graph into feature maps and the edges between them.

Nodes are visited in file order, which is topological. Each one is taken up by the first rule that fits:

1. an Add or Sum of several variable tensors of one shape is a *sum* join, whatever constants it adds besides;
2. a Concat of several variable tensors is a *concat* join;
3. an Identity, a sum or concat of a single tensor, or a pooling and channel padding that is exactly the parameter-free
   skip, is an S edge;
4. a compute operator with constant weights is an O edge, with the normalisation and bias behind it that it alone
   feeds, and the elementwise nodes and paddings before it that only compute operators read (a pre-activation);
5. an elementwise node of a tensor that other nodes read too is an O edge; so is a bias or a gate that depends on the
   input, which it reads besides its source;
6. anything else makes *opaque* maps, one an output, that keep it as it is.

An edge ends in the sum that alone reads it, else in a *single* map of its own. Elementwise nodes that alone read a
join are its activation and belong to the map, so that they survive a skip; an activation may be spelled out in several
nodes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import onnx

from natonnx.architecture import Edge, FeatureMap, Join, Operation, Skip, State
from natonnx.frontend import vocabulary
from natonnx.frontend.batch_axes import find_batch_axes
from natonnx.frontend.cheaper import add_cheaper
from natonnx.frontend.declared import Inferences
from natonnx.frontend.domains import guard_domains
from natonnx.frontend.draft import Draft
from natonnx.frontend.elementwise import Elementwise
from natonnx.frontend.granularity import merge_branches
from natonnx.frontend.network import (
    WINDOW,
    EdgeBinding,
    Granularity,
    MapBinding,
    Network,
    OpaqueNode,
    ParseOptions,
    Transitions,
)
from natonnx.frontend.opaque import why_opaque
from natonnx.frontend.operation import describe, prepares_input
from natonnx.frontend.selection import keep_dead_code, select
from natonnx.frontend.shapes import infer_shapes
from natonnx.frontend.shortcuts import add_shortcuts
from natonnx.frontend.skips import find_skip, skip_run
from natonnx.frontend.trace import trace_cuts
from natonnx.frontend.view import GraphView

__all__ = ["parse", "parse_with"]

_MOST_CHANNELS = 1 << 17
"""Of a concat that may be cut: each is followed."""

_SUFFIX = vocabulary.AFFINE | vocabulary.NORMALISATIONS | vocabulary.DROPOUT


def parse(
    model: onnx.ModelProto,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    window: int = WINDOW,
    granularity: Granularity | str = Granularity.LAYER,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    freeze_outputs_of: Sequence[str] = (),
    transitions: Transitions | str = Transitions.NAT,
    folder: Path | None = None,
) -> Network:
    """Parse a model into its NAT DAG.

    Args:
        model: A valid model; not changed, and must not change afterwards.
        input_shapes: See `ParseOptions`, as for the others.
        window: How many feature maps back an N edge may start.
        granularity: `layer`, `branch` or `auto`.
        include: Patterns of node names.
        exclude: Patterns of node names.
        freeze_outputs_of: Patterns of node names.
        transitions: `nat` or `nat++`.
        folder: Where the model's external data is, if it has any.

    Raises:
        InputError: If `input_shapes` does not fit the model, or a pattern matches no node.
    """
    options = ParseOptions(
        input_shapes=dict(input_shapes or {}),
        window=window,
        granularity=Granularity(granularity),
        include=tuple(include),
        exclude=tuple(exclude),
        freeze_outputs_of=tuple(freeze_outputs_of),
        transitions=Transitions(transitions),
    )
    return parse_with(model, options, folder)


def parse_with(
    model: onnx.ModelProto, options: ParseOptions, folder: Path | None = None, inferences: Inferences | None = None
) -> Network:
    """Parse a model with options: see `parse`; of `inferences`, `infer_shapes`."""
    shapes, dtypes = infer_shapes(model, options.input_shapes, folder, inferences)
    axes = find_batch_axes(model, shapes, folder)
    view = GraphView(model, shapes, dtypes, folder, axes)
    draft, constant = _Parser(view).run()
    if options.granularity is not Granularity.LAYER:
        merge_branches(draft, view, options.granularity)
    add_shortcuts(draft, view, options.window)
    guard_domains(draft, view)
    frozen = select(draft, view, options)
    extended = view
    if options.transitions is Transitions.NATPP:
        extended = add_cheaper(draft, view, shapes, dtypes, axes)
    cut_rules = trace_cuts(draft, extended)
    return Network(
        model=model,
        extended=extended.model,
        architecture=keep_dead_code(draft.architecture()),
        maps=draft.map_bindings,
        edges=draft.edge_bindings,
        opaque=tuple(draft.opaque.values()),
        constant_nodes=constant,
        computed=view.computed,
        inputs=view.inputs,
        outputs=view.outputs,
        shapes=shapes,
        dtypes=dtypes,
        cut_rules=cut_rules,
        frozen=frozen,
        options=options,
        batch_axes=axes,
        folder=folder,
    )


def _is_free(operation: Operation) -> bool:
    """Whether an operation is an elementwise function of its source, for which no price is paid."""
    elementwise = operation.kind in vocabulary.ACTIVATIONS | vocabulary.AFFINE
    return elementwise and not (operation.inputs or operation.weights or operation.madds)


class _Origin(NamedTuple):
    """Where an edge starts: its source, the nodes up to its operator, and what these read besides."""

    source: str
    nodes: tuple[int, ...] = ()
    further: tuple[str, ...] = ()


class _Parser:
    """State of one parse."""

    def __init__(self, view: GraphView) -> None:
        self.view = view
        self.draft = Draft()
        self.owner: dict[str, str] = {}  # value tensor -> feature map
        self.prefix: dict[str, _Origin] = {}  # by pre-activated tensor
        self.pending: dict[str, tuple[str, str, tuple[int, ...], Operation | None]] = {}  # edge tensor -> its edge
        self.given: set[str] = set()  # maps that fixed nodes make of the model's inputs: masks, sizes
        self.taken: set[int] = set()
        self.sums: dict[int, bool] = {}  # remembered, for every member asks
        self.elementwise = Elementwise(view)
        self.feeds_compute = self._find_feeding()
        self.preactivating = self._find_preactivating()

    def run(self) -> tuple[Draft, tuple[int, ...]]:
        """Group all nodes; also return the positions of those that do not depend on the model's input."""
        view = self.view
        for name in view.inputs:
            self.given.add(self._add_map(name, Join.INPUT))
        constant = tuple(i for i, node in enumerate(view.nodes) if all(o in view.constants for o in node.output if o))
        self.taken.update(constant)
        for i in range(len(view.nodes)):
            if i not in self.taken:
                self._visit(i)
        self.draft.outputs = tuple(dict.fromkeys(self.owner[name] for name in view.outputs if name in self.owner))
        return self.draft, constant

    # The rules

    def _visit(self, i: int) -> None:
        if self._is_sum(i):
            self._visit_sum(i)
        elif self._is_concat(i):
            self._visit_concat(i)
        elif skip := self._skip_nodes(i):
            self._take_edge(skip, self.owner[self.view.nodes[i].input[0]], None)
        elif self._is_operation(i):
            source, before, further = self._origin(i)
            nodes = (*before, i, *self._suffix(i))
            self._take_edge(nodes, source, describe(self.view, nodes, further))
        elif run := self._preactivation(i):
            source, before, further = self._origin(i)
            read = self.view.variable_inputs(i)[1:] if self._is_padding(i) else ()
            amounts = tuple(name for name in dict.fromkeys(read) if name not in further)
            self.prefix[self.view.nodes[run[-1]].output[0]] = _Origin(source, (*before, *run), (*further, *amounts))
            self.taken.update(run)
        elif operands := self._elementwise_operands(i):
            self._take_edge((i,), operands[0], describe(self.view, (i,), operands[1:]))
        else:
            self._visit_opaque(i)

    def _origin(self, i: int) -> "_Origin":
        """The feature map that a node reads, and the pre-activations on the way."""
        source = self.view.variable_inputs(i)[0]
        return self.prefix.get(source) or _Origin(self.owner[source])

    def _visit_sum(self, i: int) -> None:
        node = self.view.nodes[i]
        members = self.view.variable_inputs(i)
        name = self._add_map(node.output[0], Join.SUM, join_node=i)
        for tensor in members:
            if tensor in self.pending:
                edge, source, nodes, operation = self.pending.pop(tensor)
                self._add_edge(edge, source, name, EdgeBinding(nodes, tensor), operation)
            else:
                source = self.owner[tensor]
                self._add_member(source, name, tensor)

    def _visit_concat(self, i: int) -> None:
        view, node = self.view, self.view.nodes[i]
        rank, axis = len(view.shape(node.output[0])), view.attribute(i, "axis", 1)
        assert isinstance(axis, int)
        name = self._add_map(node.output[0], Join.CONCAT, join_node=i, axis=axis % rank if rank else None)
        for tensor in node.input:
            source = self.owner[tensor]
            self._add_member(source, name, tensor)

    def _add_member(self, source: str, target: str, tensor: str) -> None:
        """Record that a join reads a map as it is."""
        name = self.draft.unique(f"{source}->{target}")
        edge = Edge(name, source, target, None, Skip(len(self.view.shape(source))))
        self.draft.add_edge(edge, State.S, EdgeBinding((), tensor))

    def _visit_opaque(self, i: int) -> None:
        view, node = self.view, self.view.nodes[i]
        self.taken.add(i)
        reason = self._needs_operands(self.elementwise.operands(i)) or why_opaque(view, i)
        self.draft.opaque[i] = OpaqueNode(view.name(i), node.op_type, reason)
        sources = tuple(dict.fromkeys(self.owner[name] for name in view.variable_inputs(i)))
        for position, name in enumerate(filter(None, node.output)):
            weights_of = (i,) if position == 0 and not prepares_input(view, i) else ()
            made = self._add_map(name, Join.OPAQUE, join_node=i, inputs=sources, weights_of=weights_of)
            if self.given.issuperset(sources):
                self.given.add(made)

    # What fits which rule

    def _is_sum(self, i: int) -> bool:
        """Whether a node is a sum of whole tensors; its members may not have been visited yet."""
        if i not in self.sums:
            self.sums[i] = self._is_sum_of_whole_tensors(i)
        return self.sums[i]

    def _is_sum_of_whole_tensors(self, i: int) -> bool:
        view, node = self.view, self.view.nodes[i]
        variable = view.variable_inputs(i)
        if view.kind(i) not in vocabulary.JOINS or len(variable) < 2:
            return False
        made = view.shape(node.output[0])
        return (
            None not in made  # an unknown size may be 1, and be broadcast
            and view.is_float(node.output[0])
            and all(view.shape(name) == made != () for name in variable)
        )

    def _is_concat(self, i: int) -> bool:
        view, node = self.view, self.view.nodes[i]
        return (
            view.kind(i) == "Concat"
            and self._concat_size(i) <= _MOST_CHANNELS
            and len(view.variable_inputs(i)) == len(node.input) > 1
            and view.is_float(node.output[0])
        )

    def _concat_size(self, i: int) -> int:
        """Size of a concat along its axis; 0 where that is unknown."""
        shape, axis = self.view.shape(self.view.nodes[i].output[0]), self.view.attribute(i, "axis", 1)
        size = shape[axis] if isinstance(axis, int) and -len(shape) <= axis < len(shape) else 0
        return size if isinstance(size, int) else 0

    def _skip_nodes(self, i: int) -> tuple[int, ...]:
        source = self.view.nodes[i].input[0] if self.view.nodes[i].input else ""
        return skip_run(self.view, i) if source in self.owner and self.view.is_float(source) else ()

    def _is_operation(self, i: int) -> bool:
        if not self._fits_an_edge(i):
            return False
        source = self.view.variable_inputs(i)[0]
        return source in self.owner or source in self.prefix

    def _fits_an_edge(self, i: int) -> bool:
        view, node, kind = self.view, self.view.nodes[i], self.view.kind(i)
        return (
            kind in vocabulary.COMPUTE
            and (kind != "Einsum" or len(node.input) == 2)
            and len(variable := view.variable_inputs(i)) == 1
            and variable[0] in node.input[: 2 if kind in vocabulary.PRODUCTS else 1]
            and not view.uses_further_outputs(i)
            and view.is_float(node.output[0])
        )

    def _is_padding(self, i: int) -> bool:
        """Whether a node puts a border around a tensor, of a constant amount or one that other nodes compute."""
        view, node = self.view, self.view.nodes[i]
        return view.kind(i) == "Pad" and view.variable_inputs(i)[:1] == [node.input[0]] and view.is_float(node.input[0])

    def _preactivation(self, i: int) -> tuple[int, ...]:
        """The nodes from one on whose function or padding feeds nothing but compute operators; () if there are none.

        There may be more such functions between it and them.
        """
        variable = self.view.variable_inputs(i)
        source = variable[0] if variable else ""
        if source not in self.owner and source not in self.prefix:
            return ()
        if self._is_padding(i) and not self.owner.keys() >= set(variable[1:]):
            return ()
        run = self.elementwise.group(source) or ((i,) if self.elementwise.fits(i) or self._is_padding(i) else ())
        return run if run and run[0] == i and self.feeds_compute[run[-1]] else ()

    def _elementwise_operands(self, i: int) -> tuple[str, ...]:
        """What an elementwise node reads that is an edge of its own: a tensor that other nodes read too.

        Of several tensors, it changes the first by the others: biases or a gate, which may be broadcast, and no mask.
        """
        operands = self.elementwise.operands(i)
        return operands if self.owner.keys() >= set(operands) and not self._needs_operands(operands) else ()

    def _needs_operands(self, operands: Sequence[str]) -> str:
        """Why a node of several tensors that it fits is kept as it is all the same; empty where it is not."""
        if not self.given.isdisjoint(operands[1:]):
            return "one of its operands is an input of the model or made of inputs by fixed nodes alone, as a mask is"
        return ""

    def _find_preactivating(self) -> frozenset[str]:
        """Operators that this model uses as pre-activations.

        A Relu that alone reads a tensor and feeds convolutions may be either's. Where elsewhere in the model something
        reads a tensor in front of such a Relu directly, as a residual or a cell's skip does, it is the convolutions'.
        """
        view = self.view
        found: set[str] = set()
        for readers in view.readers.values():
            if len(readers) > 1:
                kinds = {view.kind(i) for i in readers if self.elementwise.fits(i)}
                direct = any(self._is_sum(i) or self._is_concat(i) or self._fits_an_edge(i) for i in readers)
                found |= kinds if kinds - found and direct else set()
        return frozenset(found - vocabulary.AFFINE)

    def _belongs_to_edges(self, i: int) -> bool:
        """Whether an elementwise node that alone reads a feature map is a pre-activation all the same."""
        return self.view.kind(i) in self.preactivating and self.elementwise.fits(i) and self.feeds_compute[i]

    def _find_feeding(self) -> list[bool]:
        """By node: whether what it makes feeds compute operators alone, through elementwise nodes and paddings."""
        view, feeds = self.view, [False] * len(self.view.nodes)
        for i in reversed(range(len(feeds))):
            tensor = view.nodes[i].output[0] if view.nodes[i].output else ""
            if tensor in view.constants or tensor in view.outputs:
                continue
            if group := self.elementwise.group(tensor):
                feeds[i] = feeds[group[-1]]
                continue
            feeds[i] = all(
                feeds[reader]
                if self.elementwise.fits(reader) or self._is_padding(reader)
                else self._fits_an_edge(reader)
                for reader in view.readers.get(tensor, ())
            )
        return feeds

    # Growing what was found

    def _suffix(self, i: int) -> tuple[int, ...]:
        """Nodes behind a compute operator that belong to it: bias, scale, normalisation, the pointwise half."""
        view, nodes = self.view, []
        tensor, depthwise = view.nodes[i].output[0], self._is_depthwise(i)
        while (reader := view.only_reader(tensor)) is not None:
            node = view.nodes[reader]
            if view.kind(reader) in _SUFFIX and self.elementwise.fits(reader):
                pass
            elif depthwise and view.kind(reader) == "Conv" and view.variable_inputs(reader) == [tensor]:
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
        return view.kind(i) == "Conv" and view.attribute(i, "group", 1) != 1 and view.shape(node.input[1])[1:2] == (1,)

    def _take_edge(self, nodes: tuple[int, ...], source: str, operation: Operation | None) -> None:
        """Record an edge; it ends in the sum that alone reads it, else in a single map of its own."""
        view = self.view
        self.taken.update(nodes)
        compute = [i for i in nodes if view.kind(i) in vocabulary.COMPUTE]
        name = self.draft.unique(view.name(compute[0] if compute else nodes[0]))
        tensor = view.nodes[nodes[-1]].output[0]
        self.pending[tensor] = (name, source, nodes, operation)
        reader = view.only_reader(tensor)
        if reader is None or not self._is_sum(reader):
            del self.pending[tensor]
            target = self._add_map(tensor, Join.SINGLE)
            self._add_edge(name, source, target, EdgeBinding(nodes, tensor), operation)

    def _add_map(
        self,
        tensor: str,
        join: Join,
        *,
        join_node: int | None = None,
        inputs: tuple[str, ...] = (),
        weights_of: tuple[int, ...] = (),
        axis: int | None = None,
    ) -> str:
        view, value = self.view, tensor
        chain: list[int] = []
        while join is not Join.INPUT and (run := self.elementwise.run(value)) and not self._belongs_to_edges(run[0]):
            chain.extend(run)
            value = view.nodes[run[-1]].output[0]
        self.taken.update(chain)
        if join_node is not None:
            self.taken.add(join_node)
        weights = tuple(weight for i in (*weights_of, *chain) for weight in view.weights(i))
        fmap = FeatureMap(value, view.shape(tensor), join, inputs, weights, axis)
        read = () if join_node is None or join is not Join.SUM else view.nodes[join_node].input
        added = [one for one in read if one in view.constants]
        self.draft.add_map(fmap, MapBinding(tensor, value, join_node, tuple(chain), tuple(added)))
        self.owner[value] = value
        return value

    def _add_edge(self, name: str, source: str, target: str, binding: EdgeBinding, operation: Operation | None) -> None:
        skip, reason = find_skip(self.view, source, self.draft.map_bindings[target].join_tensor)
        if operation is None and skip is None:  # an Identity of a tensor whose shape is unknown
            skip, reason = Skip(len(self.view.shape(source))), ""
        if operation is not None and _is_free(operation):
            skip, reason = None, f"a skip would save nothing of what {operation.kind} takes"
        edge = Edge(name, source, target, operation, skip, reason)
        self.draft.add_edge(edge, State.S if operation is None else State.O, binding)
