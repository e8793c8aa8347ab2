"""Run the file that an architecture was derived from, and carry out the edits on its values.

An eye of its own for verification: it knows which nodes an edge is, and nothing of instructions, cuts or trimmed
weights. Every tensor keeps the source's shape. A member that an edit removes is left out of its sum; in a concat its
channels are *lost*: they hold zeros, are followed by trying what depends on them, and are zeroed again where a node
would mix them with channels that stay. Nodes that read nothing lost run together, up to where an edit needs a value.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx

from natonnx.architecture import Architecture, Skip
from natonnx.errors import InputError
from natonnx.frontend import Network
from natonnx.frontend.constants import constant_values
from natonnx.frontend.shapes import OTHER_TYPE
from natonnx.frontend.symbols import evaluate
from natonnx.frontend.view import reads
from natonnx.rewrite.lost import Lost, equal, follow
from natonnx.rewrite.part import Part, Source
from natonnx.rewrite.walk import Walk

__all__ = ["Replay"]

_ZERO_POINT = {"QLinearConv": 2, "QLinearMatMul": 2, "ConvInteger": 2, "MatMulInteger": 2}
"""Input position of what zero is in a quantised tensor, the first input."""

_MOST_NODES = 5000
"""That run one by one, behind a concat that lost a member: each is tried several times, a millisecond a time."""

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
        self._weights = dict(weights or {})
        graph = network.extended.graph
        self._source = Source(network.extended, network.folder, network.constant_nodes, self._weights)
        self._parts: dict[tuple[int, ...], Part] = {}
        self._followed: dict[object, Mapping[str, Lost | None]] = {}
        self.constants = self._source.constants
        self._readers: dict[str, set[int]] = {}
        for position, node in enumerate(graph.node):
            for name in reads(node):
                self._readers.setdefault(name, set()).add(position)
        handed = [*network.outputs, *(own.tensor for own in network.edges.values())]
        handed += [one.tensor for own in network.edges.values() for one in own.cheaper.values()]
        handed += [name for own in network.maps.values() for name in (own.join_tensor, own.value_tensor)]
        self._handed = {name for name in handed if network.dtypes.get(name) != OTHER_TYPE}

    def __call__(self, inputs: Arrays, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Run on a sample.

        Args:
            inputs: Arrays by input name.
            names: Tensors of the source; its outputs where None. Of each, what the rewritten model has.

        Raises:
            InputError: If a node cannot be run by itself, or a tensor is not computed.
        """
        wanted = self.network.outputs if names is None else names
        values = _Run(self, inputs, frozenset(wanted))
        values.all()
        return {name: values.kept(name) for name in wanted}

    def part(self, positions: Sequence[int], asked: Collection[str] = ()) -> Part:
        """Nodes of the file, ready to run; they give what nodes beside them read, or feature maps hand on."""
        key = tuple(positions)
        if key not in self._parts:
            own = set(key)
            made = {name for i in key for name in self.network.extended.graph.node[i].output if name}
            shown = {name for name in made if not self._readers.get(name, own) <= own}
            shown |= made & (self._handed | set(asked))
            self._parts[key] = self._source.part(key, shown if len(key) > 1 else None)
        return self._parts[key]

    def zeros(self, name: str, inputs: Arrays) -> np.ndarray:
        """Zeros in the shape that the source gives a tensor; it is run up to there if its inference does not tell."""
        network = self.network
        pairs = [pair for own in inputs for pair in zip(network.shapes.get(own, ()), inputs[own].shape, strict=False)]
        symbols = {symbol: size for symbol, size in pairs if isinstance(symbol, str)}
        sizes = [evaluate(size, symbols) for size in network.shapes.get(name, (None,))]
        shape = [size for size in sizes if size is not None]
        if len(shape) == len(sizes) and network.dtypes.get(name, 0) > 0:
            return np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(network.dtypes[name]))
        return np.zeros_like(self.part(self._source.before([name]), [name]).run(inputs)[name])

    def followed(
        self, position: int, values: Arrays, lost: Mapping[str, Lost], made: Arrays
    ) -> Mapping[str, Lost | None]:
        """What of a node's outputs is lost: tried on the first sample, and the same on others that lose the same."""
        key = (position, *((name, one.axis, one.entries.shape, one.entries.tobytes()) for name, one in lost.items()))
        if key not in self._followed:
            node = self.part([position])
            self._followed[key] = {name: follow(node, values, lost, name, made[name]) for name in made}
        return self._followed[key]

    def constant(self, name: str) -> np.ndarray:
        """The value of a tensor that does not depend on the model's input."""
        if name in self._weights:
            return self._weights[name]
        return constant_values(self.network.extended, [name], self.network.folder)[name]


class _Run(Walk):
    """One run on one sample.

    Nodes wait until a value of theirs is needed, and then run together.
    """

    def __init__(self, replay: Replay, inputs: Arrays, asked: frozenset[str]) -> None:
        super().__init__(replay.network, replay.architecture, replay.constants, inputs)
        self.replay, self._inputs, self._asked = replay, inputs, asked
        self._values = dict(inputs)  # in the source's shapes
        self._lost: dict[str, Lost] = {}
        self._waiting: list[int] = []
        self._alone = 0

    def kept(self, name: str) -> np.ndarray:
        """A tensor as the rewritten model has it."""
        value, lost = self._value(name), self._lost.get(name)
        if lost is not None and lost.entries.ndim > 1:
            raise InputError(f"tensor {name!r} has lost entries of several axes")
        return value if lost is None else np.compress(~lost.entries, value, lost.axis)

    def _value(self, name: str) -> np.ndarray:
        """A tensor in the source's shape; what waits runs first."""
        if name not in self._values:
            self._flush(name)
        if name not in self._values:
            if name in self.alive or name not in self.constants:
                raise InputError(f"tensor {name!r} is not computed")
            self._values[name] = self.replay.constant(name)
        return self._values[name]

    def _flush(self, name: str) -> None:
        """Run what waits and makes a tensor: one by one where it reads lost entries, and together otherwise."""
        nodes, read, needed = self.network.extended.graph.node, {name}, set[int]()
        for position in reversed(self._waiting):
            if not read.isdisjoint(nodes[position].output):
                needed.add(position)
                read.update(self.variable(position))
        waiting = self._waiting
        self._waiting = [position for position in waiting if position not in needed]
        together: list[int] = []
        for position in filter(needed.__contains__, waiting):
            if self._lost.keys().isdisjoint(self.variable(position)):
                together.append(position)
                continue
            self._run(together)
            together = []
            self._alone += 1
            if self._alone > _MOST_NODES:
                raise InputError(f"more than {_MOST_NODES} nodes would run one by one")
            self._execute(position)
        self._run(together)

    def _run(self, positions: Sequence[int]) -> None:
        if positions:
            self._values.update(self.replay.part(positions, self._asked).run(self._values))

    def take(self, position: int) -> None:
        self._waiting.append(position)

    def skip(self, source: str, skip: Skip, output: str) -> None:
        self._put(output, _skip(self._value(source), skip), self._lost.get(source))

    def _put(self, name: str, value: np.ndarray, lost: Lost | None) -> None:
        self._values[name] = value
        self.alive.add(name)
        if lost is not None:
            self._lost[name] = lost

    def sum(self, members: Sequence[str], output: str) -> None:
        values = [self._value(name) for name in members]
        lost = [self._lost.get(name) for name in members]
        same = all(equal(one, lost[0]) for one in lost)
        if not same:
            values = [v if one is None else one.fill(v, 0) for v, one in zip(values, lost, strict=True)]
        total = values[0]
        for value in values[1:]:
            total = total + value
        self._put(output, total, lost[0] if same else None)

    def concat(self, members: Sequence[str | None], node: onnx.NodeProto, output: str) -> None:
        """Join members, zeros in the place of the dead ones; their sizes are those that the unedited source has."""
        values: list[np.ndarray] = []
        entries: list[np.ndarray] = []
        axis = next(attribute.i for attribute in node.attribute if attribute.name == "axis")
        for member, original in zip(members, node.input, strict=True):
            value = self.replay.zeros(original, self._inputs) if member is None else self._value(member)
            axis %= value.ndim
            own = self._lost.get(member) if member is not None else None
            if own is not None and (own.axis, own.entries.ndim) != (axis, 1):
                raise InputError(f"member {member!r} of {output!r} has lost entries of another axis")
            values.append(value)
            entries.append(np.full(value.shape[axis], member is None) if own is None else own.entries)
        flags = np.concatenate(entries)
        if flags.size and flags.all():  # what has no channels does not keep it alive
            self.alive.discard(output)
            return
        self._put(output, np.concatenate(values, axis), Lost(axis, flags) if flags.any() else None)

    def _execute(self, position: int) -> None:
        """Run a node, and find out what it does with lost entries of what it reads."""
        node = self.replay.part([position])
        lost = {name: self._lost[name] for name in node.inputs if name in self._lost}
        made = node.run(self._values)
        followed = self.replay.followed(position, self._values, lost, made)
        if None in followed.values():
            made = node.run({**self._values, **self._zeroed(position, lost)})
        else:
            self._lost.update({name: one for name, one in followed.items() if one is not None and one.entries.any()})
        self._values.update(made)

    def _zeroed(self, position: int, lost: Mapping[str, Lost]) -> dict[str, np.ndarray]:
        proto = self.network.extended.graph.node[position]
        point = _ZERO_POINT.get(proto.op_type)
        name = proto.input[point] if point is not None and point < len(proto.input) else ""
        zero = self.replay.constant(name) if name else np.zeros(())
        return {tensor: one.fill(self._values[tensor], zero) for tensor, one in lost.items()}


def _skip(value: np.ndarray, skip: Skip) -> np.ndarray:
    """The parameter-free skip: means over windows of the ratio's size, then zero channels."""
    result = value
    for axis, ratio in enumerate(skip.pool, start=2):
        shape = [*result.shape[:axis], result.shape[axis] // ratio, ratio, *result.shape[axis + 1 :]]
        result = result.reshape(shape).mean(axis + 1, dtype=np.float64)
    pads = [(0, skip.pad_channels if axis == 1 else 0) for axis in range(value.ndim)]
    return np.pad(result, pads).astype(value.dtype)
