"""Lower an architecture to instructions over named tensors.

The one place that says what an α means in terms of the ONNX file. The supernet interprets the instructions in torch,
the rewriter writes them as ONNX nodes; so the two cannot disagree on it.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

import numpy as np

from natonnx.architecture import Architecture, Cut, Cuts, Join, Liveness, Skip, State, cuts, find_liveness, place
from natonnx.errors import InputError
from natonnx.frontend.draft import fresh
from natonnx.frontend.network import Network
from natonnx.frontend.node_cut_rule import NodeCutRule
from natonnx.frontend.view import reads

__all__ = ["Instruction", "Program", "RunConcat", "RunNode", "RunSelect", "RunSkip", "RunSum", "Trim", "lower"]


@dataclass(frozen=True)
class Trim:
    """What changes in a node that reads a tensor that has lost channels.

    Attributes:
        slices: Operands that lose entries: input position, axis, and the entries that stay. A constant is cut; of a
            tensor that depends on the model's input, the node reads a part.
        size: A constant list of sizes: input position, element, and its new value; None where there is none.
        group: New value of the attribute `group` (`num_groups`); None where it stays.
    """

    slices: tuple[tuple[int, int, tuple[int, ...]], ...] = ()
    size: tuple[int, int, int] | None = None
    group: int | None = None


@dataclass(frozen=True)
class RunNode:
    """Run a node of the file as it is, or trimmed; its only output may go to another tensor than the file says."""

    node: int
    output: str | None = None
    trim: Trim | None = None


@dataclass(frozen=True)
class RunSkip:
    """Run an edge's parameter-free skip, in the place of the node of the file at the position `place`, or behind it."""

    edge: str
    skip: Skip
    source: str
    output: str
    place: int


@dataclass(frozen=True)
class RunSum:
    """Add up two or more tensors; `node` is the Add or Sum node of the file that it stands for, if any."""

    fmap: str
    inputs: tuple[str, ...]
    output: str
    node: int | None
    place: int


@dataclass(frozen=True)
class RunConcat:
    """Join two or more tensors along an axis; `node` is the Concat node of the file that it stands for."""

    fmap: str
    inputs: tuple[str, ...]
    axis: int
    output: str
    node: int

    @property
    def place(self) -> int:
        """Position of the node of the file in whose place it runs."""
        return self.node


@dataclass(frozen=True)
class RunSelect:
    """Choose among the channels that are left of a tensor, in the place of a node that chose among all of them.

    Attributes:
        source: The tensor.
        axis: The axis of its channels.
        indices: Which of them, in order.
        output: The tensor that it makes.
        node: Position of the node of the file.
    """

    source: str
    axis: int
    indices: tuple[int, ...]
    output: str
    node: int

    @property
    def place(self) -> int:
        """Position of the node of the file in whose place it runs."""
        return self.node


Instruction = RunNode | RunSkip | RunSum | RunConcat | RunSelect


@dataclass(frozen=True)
class Program:
    """What an architecture runs.

    Attributes:
        instructions: In order of execution.
        cut: Tensors that have lost channels, by name.
    """

    instructions: tuple[Instruction, ...]
    cut: Mapping[str, Cut]


def lower(network: Network, architecture: Architecture) -> Program:
    """List the instructions that compute the model's outputs by an architecture, in order of execution.

    Nothing dead and nothing unneeded is in the list, nor are nodes that do not depend on the model's input. Every
    tensor that the file names and that is still computed keeps its name.

    Args:
        network: The parsed model.
        architecture: β of that model, or an α derived from it.

    Raises:
        InputError: If the architecture is broken (its output is dead).
    """
    liveness = find_liveness(architecture)
    lost = cuts(architecture, liveness)
    if liveness.broken or lost.broken:
        raise InputError(f"this architecture cannot run: {liveness.broken or lost.broken}; undo one of its edits")
    lowering = _Lowering(network, architecture, liveness, lost)
    instructions = tuple(lowering.run())
    if any(isinstance(one, RunSelect) for one in instructions):
        instructions = _needed(network, instructions)
    return Program(instructions, lowering.cut)


def _needed(network: Network, instructions: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
    """Leave out what nothing reads where channels are chosen from a tensor itself."""
    nodes, wanted = network.extended.graph.node, set(network.outputs)
    kept: list[Instruction] = []
    for one in reversed(instructions):
        made: Iterable[str] = (one.output,) if one.output is not None else nodes[one.node].output
        if wanted.isdisjoint(made):
            continue
        kept.append(one)
        if isinstance(one, RunNode):
            wanted.update(reads(nodes[one.node]))
        else:
            wanted.update((one.source,) if isinstance(one, RunSkip | RunSelect) else one.inputs)
    return tuple(reversed(kept))


class _Lowering:
    def __init__(self, network: Network, architecture: Architecture, liveness: Liveness, lost: Cuts) -> None:
        self.network = network
        self.architecture = architecture
        self.liveness = liveness
        self.lost = lost
        self.cut: dict[str, Cut] = {}  # by tensor
        self.done: set[int] = set()

    @functools.cached_property
    def _tensors(self) -> Set[str]:
        """Names of the file's tensors."""
        graph = self.network.extended.graph
        stored = {tensor.name for tensor in graph.initializer} | {info.name for info in graph.input}
        return stored | {name for node in graph.node for name in (*node.input, *node.output)}

    def run(self) -> Iterator[Instruction]:
        topology = self.architecture.topology
        for i, fmap in enumerate(topology.maps):
            if not (self.liveness.live[i] and self.liveness.needed[i]) or fmap.join is Join.INPUT:
                continue
            binding = self.network.maps[fmap.name]
            if fmap.join is Join.OPAQUE:
                assert binding.join_node is not None
                yield from self._nodes((binding.join_node,))
            else:
                yield from self._join(i)
                if i in self.lost.joins:
                    self.cut[binding.join_tensor] = self.lost.joins[i]
            yield from self._nodes(binding.chain)

    def _nodes(self, nodes: tuple[int, ...], output: str | None = None) -> Iterator[Instruction]:
        """Run nodes once each; a pre-activation may be shared by several edges, an opaque node by several maps."""
        for position, node in enumerate(nodes):
            if node not in self.done:
                self.done.add(node)
                to = output if position == len(nodes) - 1 else None
                yield from self._node(node, to)

    def _node(self, node: int, output: str | None) -> Iterator[Instruction]:
        """Run a node, and lead a cut of what it reads on to what it makes."""
        proto, rules = self.network.extended.graph.node[node], self.network.cut_rules
        name, cut = next(((name, self.cut[name]) for name in proto.input if name in self.cut), ("", None))
        if cut is None:
            yield RunNode(node, output)
            return
        rule = rules.get((node, cut.axis)) or rules[node, place(cut.axis)]
        if rule.parts:
            yield from self._select(node, rule, rule.source or name, output)
        else:
            yield RunNode(node, output, self._trim(node, output, cut, rule))

    def _select(self, node: int, rule: NodeCutRule, source: str, output: str | None) -> Iterator[Instruction]:
        """Choose among the channels that are left, for each of a node's outputs."""
        axis, kept = self.cut[source]
        places = np.cumsum(kept) - 1
        made = self.network.extended.graph.node[node].output if output is None else [output]
        for name, part in zip(made, rule.parts, strict=True):
            own = kept[list(part)]
            if not own.all():
                self.cut[name] = Cut(axis, own)
            yield RunSelect(source, axis, tuple(places[list(part)][own].tolist()), name, node)

    def _trim(self, node: int, output: str | None, cut: Cut, rule: NodeCutRule) -> Trim | None:
        """What a cut of what a node reads changes in it."""
        proto = self.network.extended.graph.node[node]
        runs = cut.kept[:: rule.unit]
        kept = np.tile(np.repeat(runs, rule.repeat), rule.tile)
        if rule.out is not None:
            made = [name for name in proto.output if name] if output is None else [output]
            self.cut.update(dict.fromkeys(made, Cut(rule.out, kept)))
        trim = Trim(
            tuple(
                (one.position, one.axis, tuple(np.flatnonzero(np.repeat(runs, one.repeat)).tolist()))
                for one in rule.slices
                if proto.input[one.position] not in self.cut
            ),
            None if rule.size is None else (*rule.size, int(kept.sum())),
            int(runs.sum()) if rule.grouped else None,
        )
        return None if trim == Trim() else trim

    def _join(self, i: int) -> Iterator[Instruction]:
        topology = self.architecture.topology
        fmap = topology.maps[i]
        binding = self.network.maps[fmap.name]
        members = [e for e in topology.incoming[i] if self.liveness.active[e]]
        if len(members) == 1 and not binding.constants:
            yield from self._member(members[0], binding.join_tensor)
            return
        inputs: list[str] = []
        for e in members:
            edge = topology.edges[e]
            own = self.network.edges[edge.name]
            if self._is_plain(e):
                inputs.append(self.network.maps[edge.source].value_tensor)
                continue
            kept = own.nodes and own.tensor != binding.join_tensor
            name = own.tensor if kept else fresh(f"{edge.name}/natonnx_member", self._tensors)
            yield from self._member(e, name)
            inputs.append(name)
        node = binding.join_node
        given = () if node is None else self.network.extended.graph.node[node].input
        if node is not None and inputs == [name for name in given if name not in binding.constants]:
            self.done.add(node)
            yield RunNode(node)
        elif fmap.join is Join.CONCAT:
            assert node is not None
            assert fmap.axis is not None
            yield RunConcat(fmap.name, tuple(inputs), fmap.axis, binding.join_tensor, node)
        else:
            place = max(self._place(e) for e in topology.incoming[i]) if node is None else node
            yield RunSum(fmap.name, (*inputs, *binding.constants), binding.join_tensor, node, place)

    def _is_plain(self, e: int) -> bool:
        """Whether an edge hands its source on by name, with no node of its own."""
        edge = self.architecture.topology.edges[e]
        if self.architecture.states[e] != State.S or self.network.edges[edge.name].nodes:
            return False
        return edge.skip is not None and edge.skip.is_identity

    def _member(self, e: int, output: str) -> Iterator[Instruction]:
        """Compute one edge into the tensor `output`."""
        edge = self.architecture.topology.edges[e]
        carrier = self.network.carrier(e, self.architecture.states[e])
        if carrier is not None:
            yield from self._nodes(carrier.nodes, None if output == carrier.tensor else output)
        else:
            assert edge.skip is not None
            source = self.network.maps[edge.source].value_tensor
            if source in self.cut:
                self.cut[output] = self.cut[source]
            yield RunSkip(edge.name, edge.skip, source, output, self._place(e))

    def _place(self, e: int) -> int:
        """Position of the node that an edge stands for, or of the one that makes its source; -1 for the input."""
        edge = self.architecture.topology.edges[e]
        source = self.network.maps[edge.source]
        nodes = self.network.edges[edge.name].nodes or source.chain or (source.join_node,)
        return -1 if nodes[-1] is None else nodes[-1]
