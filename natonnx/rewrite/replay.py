"""Run the file that an architecture was derived from, node by node, and carry out the edits on its values.

An eye of its own for verification: it knows which nodes an edge is, and nothing of instructions, cuts or trimmed
weights. Every tensor keeps the source's shape. A member that an edit removes is left out of its sum; in a concat its
channels are *lost*: they hold zeros, are followed by trying what depends on them, and are zeroed again where a node
would mix them with channels that stay.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from natonnx.architecture import Architecture, Join, Skip, State
from natonnx.errors import InputError
from natonnx.frontend import Network
from natonnx.frontend.constants import constant_values
from natonnx.rewrite.lost import Lost, equal, follow
from natonnx.rewrite.single_node import SingleNode

__all__ = ["Replay"]

_ZERO_POINT = {"QLinearConv": 2, "QLinearMatMul": 2, "ConvInteger": 2, "MatMulInteger": 2}
"""Input position of what zero is in a quantised tensor, the first input."""

Arrays = Mapping[str, np.ndarray]


class Replay:
    """A function of arrays by input name to arrays by tensor name.

    Args:
        network: The parsed source.
        architecture: β of it, or an α derived from it.
        weights: Tensors that the rewritten model has other values of than the source, in their whole shapes, by name.
    """

    def __init__(self, network: Network, architecture: Architecture, weights: Arrays | None = None) -> None:
        self.network = network
        self.architecture = architecture
        self._nodes: dict[int, SingleNode] = {}
        self._constants: dict[str, np.ndarray] = dict(weights or {})
        for position in network.constant_nodes:
            self._constants = self.node(position).run(self._constants) | self._constants
        joins = network.architecture.topology.maps
        lossy = architecture.states != network.architecture.states and any(one.join is Join.CONCAT for one in joins)
        self._whole = Replay(network, network.architecture) if lossy else None

    def __call__(self, inputs: Arrays, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Run on a sample.

        Args:
            inputs: Arrays by input name.
            names: Tensors of the source; its outputs where None. Of each, what the rewritten model has.

        Raises:
            InputError: If a node cannot be run by itself, or a tensor is not computed.
        """
        run = self.run(inputs)
        wanted = self.network.outputs if names is None else names
        if missing := [name for name in wanted if name not in run.values]:
            raise InputError(f"tensor {missing[0]!r} is not computed")
        return {name: run.kept(name) for name in wanted}

    def run(self, inputs: Arrays) -> "_Run":
        """Run on a sample, and keep all that was made."""
        whole = self._whole.run(inputs).values if self._whole else {}
        run = _Run(self, {**self._constants, **inputs}, whole)
        run.all()
        return run

    def node(self, position: int) -> SingleNode:
        """A node of the file, ready to run."""
        if position not in self._nodes:
            self._nodes[position] = SingleNode(self.network.model, position, self.network.folder, self._constants)
        return self._nodes[position]

    def constant(self, name: str) -> np.ndarray:
        """The value of a tensor that does not depend on the model's input."""
        return constant_values(self.network.model, [name], self.network.folder)[name]


class _Run:
    """One run on one sample.

    Attributes:
        values: Tensors that are alive, by name, in the source's shapes.
        lost: What tensors have lost, by name.
        whole: The tensors of the unedited source.
    """

    def __init__(self, replay: Replay, values: dict[str, np.ndarray], whole: Arrays) -> None:
        self.replay, self.values, self.whole = replay, values, whole
        self.lost: dict[str, Lost] = {}
        self._network, self._architecture = replay.network, replay.architecture
        self._done: set[int] = set()

    def kept(self, name: str) -> np.ndarray:
        """A tensor as the rewritten model has it."""
        lost = self.lost.get(name)
        if lost is not None and lost.entries.ndim > 1:
            raise InputError(f"tensor {name!r} has lost entries of several axes")
        return self.values[name] if lost is None else np.compress(~lost.entries, self.values[name], lost.axis)

    def all(self) -> None:
        """Make the feature maps that the outputs depend on."""
        topology, wanted = self._architecture.topology, _wanted(self._architecture)
        for i, fmap in enumerate(topology.maps):
            if i not in wanted:
                continue
            binding = self._network.maps[fmap.name]
            if fmap.join is Join.OPAQUE and binding.join_node is not None:
                self._nodes([binding.join_node])
            elif fmap.join is not Join.INPUT:
                self._join(i)
            self._nodes(binding.chain)

    def _nodes(self, positions: Sequence[int]) -> None:
        """Run nodes of the file whose inputs are all alive, once each."""
        for position in positions:
            if position not in self._done and self.values.keys() >= set(self.replay.node(position).inputs):
                self._done.add(position)
                self._execute(position)

    def _join(self, i: int) -> None:
        topology = self._architecture.topology
        fmap, binding = topology.maps[i], self._network.maps[topology.maps[i].name]
        members = [self._member(e) for e in topology.incoming[i]]
        alive = [name for name in members if name is not None]
        node = None if binding.join_node is None else self._network.model.graph.node[binding.join_node]
        if not alive:
            self.values.pop(binding.join_tensor, None)
        elif node is not None and members == list(node.input) and binding.join_node is not None:
            self._nodes([binding.join_node])
        elif fmap.join is Join.CONCAT:
            assert node is not None
            self._concat(members, node, binding.join_tensor)
        elif len(alive) == 1:
            self._put(binding.join_tensor, self.values[alive[0]], self.lost.get(alive[0]))
        else:
            self._sum(alive, binding.join_tensor)

    def _member(self, e: int) -> str | None:
        """Compute what an edge hands to its join; return the tensor's name, or None where it is dead or null."""
        edge, state = self._architecture.topology.edges[e], self._architecture.states[e]
        binding = self._network.edges[edge.name]
        source = self._network.maps[edge.source].value_tensor
        if state is State.N or source not in self.values:
            return None
        if binding.nodes and state is self._network.architecture.states[e]:
            self._nodes(binding.nodes)
            return binding.tensor if binding.tensor in self.values else None
        assert edge.skip is not None
        if edge.skip.is_identity:
            return source
        name = f"{edge.name}/skipped"
        self._put(name, _skip(self.values[source], edge.skip), self.lost.get(source))
        return name

    def _put(self, name: str, value: np.ndarray, lost: Lost | None) -> None:
        self.values[name] = value
        if lost is not None:
            self.lost[name] = lost

    def _sum(self, members: Sequence[str], output: str) -> None:
        lost = [self.lost.get(name) for name in members]
        values = [self.values[name] for name in members]
        same = all(equal(one, lost[0]) for one in lost)
        if not same:
            values = [v if one is None else one.fill(v, 0) for v, one in zip(values, lost, strict=True)]
        total = values[0]
        for value in values[1:]:
            total = total + value
        self._put(output, total, lost[0] if same else None)

    def _concat(self, members: Sequence[str | None], node: onnx.NodeProto, output: str) -> None:
        """Join members, zeros in the place of the dead ones; their sizes are those that the unedited source has."""
        values: list[np.ndarray] = []
        entries: list[np.ndarray] = []
        axis = next(attribute.i for attribute in node.attribute if attribute.name == "axis")
        for member, original in zip(members, node.input, strict=True):
            before = self.whole[original]
            value = np.zeros_like(before) if member is None else self.values[member]
            axis %= before.ndim
            own = self.lost.get(member) if member is not None else None
            if own is not None and (own.axis, own.entries.ndim) != (axis, 1):
                raise InputError(f"member {member!r} of {output!r} has lost entries of another axis")
            values.append(value)
            entries.append(np.full(value.shape[axis], member is None) if own is None else own.entries)
        flags = np.concatenate(entries)
        self._put(output, np.concatenate(values, axis), Lost(axis, flags) if flags.any() else None)

    def _execute(self, position: int) -> None:
        """Run a node, and find out what it does with lost entries of what it reads."""
        node = self.replay.node(position)
        lost = {name: self.lost[name] for name in node.inputs if name in self.lost}
        made = node.run(self.values)
        if lost:
            followed = {name: follow(node, self.values, lost, name, made[name]) for name in made}
            if None in followed.values():
                made = node.run({**self.values, **self._zeroed(position, lost)})
            else:
                self.lost.update({name: one for name, one in followed.items() if one is not None and one.entries.any()})
        self.values.update(made)

    def _zeroed(self, position: int, lost: Mapping[str, Lost]) -> dict[str, np.ndarray]:
        proto = self._network.model.graph.node[position]
        point = _ZERO_POINT.get(proto.op_type)
        name = proto.input[point] if point is not None and point < len(proto.input) else ""
        zero = self.replay.constant(name) if name else np.zeros(())
        return {tensor: one.fill(self.values[tensor], zero) for tensor, one in lost.items()}


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
            if architecture.states[e] is State.O:
                read.update(topology.further_inputs.get(e, ()))
            if architecture.states[e] is not State.N and read <= alive:
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


def _skip(value: np.ndarray, skip: Skip) -> np.ndarray:
    """The parameter-free skip: means over windows of the ratio's size, then zero channels."""
    result = value
    for axis, ratio in enumerate(skip.pool, start=2):
        shape = [*result.shape[:axis], result.shape[axis] // ratio, ratio, *result.shape[axis + 1 :]]
        result = result.reshape(shape).mean(axis + 1, dtype=np.float64)
    pads = [(0, skip.pad_channels if axis == 1 else 0) for axis in range(value.ndim)]
    return np.pad(result, pads).astype(value.dtype)
