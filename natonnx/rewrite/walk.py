"""Go through the source as an architecture has it: which of its nodes run, and what its joins are made of.

It knows which nodes an edge is, and nothing of instructions, cuts or trimmed weights. What values are, and what becomes
of them, is for those who go by it: arrays in `replay`, terms in `proof`.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence

import onnx

from natonnx.architecture import Architecture, Join, Skip, State
from natonnx.frontend import Network
from natonnx.frontend.view import reads

__all__ = ["Walk"]


class Walk(ABC):
    """One way through the source; every tensor has the source's name.

    Args:
        network: The parsed source.
        architecture: β of it, or an α derived from it.
        constants: Names of the tensors that do not depend on the model's input.
        inputs: Names of the model's inputs.
    """

    def __init__(
        self, network: Network, architecture: Architecture, constants: Collection[str], inputs: Iterable[str]
    ) -> None:
        self.network, self.architecture, self.constants = network, architecture, constants
        self.alive = set(inputs)
        self._taken: set[int] = set()

    @abstractmethod
    def take(self, position: int) -> None:
        """Take up a node of the file, all inputs of which are alive."""

    @abstractmethod
    def skip(self, source: str, skip: Skip, output: str) -> None:
        """Make what a skip that is no identity makes of a tensor."""

    @abstractmethod
    def sum(self, members: Sequence[str], output: str) -> None:
        """Make a sum of its members that are left."""

    @abstractmethod
    def concat(self, members: Sequence[str | None], node: onnx.NodeProto, output: str) -> None:
        """Make a concat, of which some members, None, are not left; it dies with the last one that has channels."""

    def variable(self, position: int) -> list[str]:
        """Names of the tensors that a node reads and that are not constant."""
        return [name for name in reads(self.network.extended.graph.node[position]) if name not in self.constants]

    def all(self) -> None:
        """Make the feature maps that the outputs depend on."""
        topology, wanted = self.architecture.topology, _wanted(self.architecture)
        for i, fmap in enumerate(topology.maps):
            if i not in wanted:
                continue
            binding = self.network.maps[fmap.name]
            if fmap.join is Join.OPAQUE and binding.join_node is not None:
                self._nodes([binding.join_node])
            elif fmap.join is not Join.INPUT:
                self._join(i)
            self._nodes(binding.chain)

    def _nodes(self, positions: Sequence[int]) -> None:
        """Take up nodes of the file whose inputs are all alive, once each."""
        for position in positions:
            if position not in self._taken and self.alive.issuperset(self.variable(position)):
                self._taken.add(position)
                self.take(position)
                self.alive.update(filter(None, self.network.extended.graph.node[position].output))

    def _join(self, i: int) -> None:
        topology = self.architecture.topology
        fmap, binding = topology.maps[i], self.network.maps[topology.maps[i].name]
        states = (self.architecture.states, self.network.architecture.states)
        entering = [e for e in topology.incoming[i] if any(own[e] != State.N for own in states)]
        members = [self._member(e) for e in entering]
        alive = [name for name in members if name is not None]
        node = None if binding.join_node is None else self.network.extended.graph.node[binding.join_node]
        read = [] if node is None else list(node.input)
        constants = [name for name in read if name in self.constants]
        given = [name for name in read if name not in self.constants]
        if not alive:
            self.alive.discard(binding.join_tensor)
        elif binding.join_node is not None and members == given:
            self._nodes([binding.join_node])
        elif members == [binding.join_tensor]:
            return
        elif fmap.join is Join.CONCAT:
            assert node is not None
            self.concat(members, node, binding.join_tensor)
        else:
            self.sum([*alive, *constants], binding.join_tensor)

    def _member(self, e: int) -> str | None:
        """Compute what an edge hands to its join; return the tensor's name, or None where it is dead or null."""
        edge, state = self.architecture.topology.edges[e], self.architecture.states[e]
        source = self.network.maps[edge.source].value_tensor
        if state == State.N or source not in self.alive:
            return None
        carrier = self.network.carrier(e, state)
        if carrier is not None:
            self._nodes(carrier.nodes)
            return carrier.tensor if carrier.tensor in self.alive else None
        assert edge.skip is not None
        if edge.skip.is_identity:
            return source
        name = f"{edge.name}/skipped"
        self.skip(source, edge.skip, name)
        return name


def _wanted(architecture: Architecture) -> set[int]:
    """Positions of the maps that some input reaches and that an output is reached from."""
    topology = architecture.topology
    sources: list[set[int]] = []  # of each map that is alive, those that it is made of
    alive: set[int] = set()
    for i, fmap in enumerate(topology.maps):
        sources.append(set())
        if fmap.join is Join.OPAQUE:
            sources[i].update(topology.fixed_inputs[i])
            reached = sources[i] <= alive
        for e in topology.incoming[i]:
            read = {topology.ends[e][0]}
            if architecture.states[e].is_operation:
                read.update(topology.further_inputs.get(e, ()))
            if architecture.states[e] != State.N and read <= alive:
                sources[i] |= read
        if fmap.join is not Join.OPAQUE:
            reached = fmap.join is Join.INPUT or bool(sources[i])
        if reached:
            alive.add(i)
    wanted = {topology.map_index[name] for name in topology.outputs}
    for i in reversed(range(len(topology.maps))):
        if i in wanted:
            wanted |= sources[i]
    return wanted & alive
