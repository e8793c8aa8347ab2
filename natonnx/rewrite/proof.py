"""Prove without a run that a rewritten model computes what its edited source does.

The edits are carried out on the source's terms, as `replay` carries them out on values, and the model is read as its
file has it. It shares with the rewriter which nodes an edge is, and nothing of instructions, cuts or trimmed weights.
Where a concat has lost a member, a term is of what is left, and few operators are known that keep channels apart or mix
them; what else meets lost channels, or a skip that is no identity, is left to the replay.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from natonnx.architecture import Architecture, Skip
from natonnx.errors import InputError
from natonnx.frontend import Network, default_opset
from natonnx.frontend.load import true_inputs
from natonnx.frontend.view import reads
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN
from natonnx.rewrite.terms import Terms, operands
from natonnx.rewrite.walk import Walk
from natonnx.tensors import read_tensor

__all__ = ["is_proven"]

_APART = {
    "AveragePool",
    "Clip",
    "Elu",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
} | {"LeakyRelu", "MaxPool", "Relu", "Selu", "Sigmoid", "Softplus", "Tanh"}
"""Operators of one operand that make each channel, axis 1, of this channel alone, and the same of all."""

_NORMALISING = {"epsilon", "momentum", "training_mode"}

_SETTLED_OPSET = 9
"""From which on a BatchNormalization of one output infers, and takes one number a channel."""

Flags = NDArray[np.bool_]


class _UnprovenError(Exception):
    """Something that no rule here covers."""


def is_proven(network: Network, architecture: Architecture, model: onnx.ModelProto) -> bool:
    """Whether a model's outputs are made by the same nodes of the same inputs and constants as the edited source's.

    Args:
        network: The source.
        architecture: α of it.
        model: The rewritten model, with the source's weights.

    Returns:
        False where that is not so, or cannot be told by terms alone.
    """
    source = network.model
    if list(source.functions) != list(model.functions) or list(source.opset_import) != list(model.opset_import):
        return False
    terms = Terms(network.shapes, network.folder)
    try:
        edited = _Edited(network, architecture, terms)
        wanted = [edited.output(name) for name in network.outputs]
        found = _rewritten(model, network, terms)
        return wanted == [found[name] for name in network.outputs]
    except (InputError, KeyError, _UnprovenError):
        return False


def _rewritten(model: onnx.ModelProto, network: Network, terms: Terms) -> dict[str, int]:
    """The numbers of a model's tensors."""
    numbers = {info.name: terms.of("input", info.name) for info in true_inputs(model)}
    numbers |= terms.held(model, network.extended)
    nodes = network.extended.graph.node
    makers = {name: i for i, node in enumerate(nodes) for name in node.output[:1]}
    named = {node.name: i for i, node in enumerate(nodes) if node.name}
    used: set[int] = set()
    for node in model.graph.node:
        candidates = [makers.get(next(iter(node.output), "")), named.get(node.name)]
        if candidates[1] in network.added:  # its first output may have the name of what it stands for
            candidates.reverse()
        position = next((i for i in candidates if i is not None and i not in used and _is(node, nodes[i])), None)
        if position is not None:
            used.add(position)
        numbers |= terms.made(node, position, operands(node, numbers))
    return numbers


def _is(node: onnx.NodeProto, other: onnx.NodeProto) -> bool:
    """Whether two nodes do the same with what they read; a model may call the first output otherwise."""
    return node == other or (
        (node.op_type, node.domain, node.overload) == (other.op_type, other.domain, other.overload)
        and list(node.attribute) == list(other.attribute)
        and len(node.output) == len(other.output)
        and node.output[1:] == other.output[1:]
    )


class _Edited(Walk):
    """The numbers of the edited source's tensors, and the channels, axis 1, that they have lost."""

    def __init__(self, network: Network, architecture: Architecture, terms: Terms) -> None:
        source = network.extended
        inputs = {info.name: terms.of("input", info.name) for info in true_inputs(source)}
        held = terms.held(source, source)
        made = [name for i in network.constant_nodes for name in source.graph.node[i].output if name]
        super().__init__(network, architecture, {*held, *made}, inputs)
        self._terms, self._numbers = terms, {**inputs, **held}
        self._lost: dict[str, Flags] = {}
        for position in sorted(network.constant_nodes):
            self._make(position)
        self.all()

    def output(self, name: str) -> int:
        """The number of an output, which has lost nothing."""
        if name in self._lost or (name not in self.alive and name not in self.constants):
            raise _UnprovenError
        return self._numbers[name]

    def take(self, position: int) -> None:
        """Number what a node makes; of lost channels by the rules."""
        node = self.network.extended.graph.node[position]
        lost = [name for name in reads(node) if name in self._lost]
        if not lost:
            self._make(position)
            return
        if node.domain not in DEFAULT_DOMAIN or len(node.output) != 1:
            raise _UnprovenError
        if node.op_type == "Concat":
            self.concat(list(node.input), node, node.output[0])
            return
        if node.op_type in {"Add", "Sum"} and not node.attribute:
            self.sum(list(node.input), node.output[0])
            return
        others = [name for name in node.input[1:] if name]
        if lost != [node.input[0]] or any(name not in self.constants for name in others):
            raise _UnprovenError
        if (default_opset(self.network.model) or 0) < _SETTLED_OPSET:
            raise _UnprovenError
        flags, attributes = self._lost[node.input[0]], {own.name: own for own in node.attribute}
        if node.op_type in _APART:
            self._make(position)
            self._lost[node.output[0]] = flags
        elif node.op_type == "BatchNormalization" and attributes.keys() <= _NORMALISING:
            if "training_mode" in attributes and attributes["training_mode"].i:
                raise _UnprovenError
            self._make(position, dict.fromkeys(others, 0), flags)
            self._lost[node.output[0]] = flags
        elif node.op_type == "Conv" and ("group" not in attributes or attributes["group"].i == 1):
            self._make(position, {node.input[1]: 1}, flags)
        else:
            raise _UnprovenError

    def skip(self, source: str, skip: Skip, output: str) -> None:
        """Number means over windows that leave nothing out, then zero channels."""
        number, sizes, lost = self._numbers[source], self.network.shapes.get(source, ()), self._lost.get(source)
        if skip.pool:
            if len(sizes) != skip.rank or any(
                not _divides(own, size) for own, size in zip(skip.pool, sizes[2:], strict=True)
            ):
                raise _UnprovenError
            number = self._terms.pool(number, skip.pool)
        if skip.pad_channels:
            if lost is not None:
                raise _UnprovenError
            amounts = np.zeros(2 * skip.rank, np.int64)
            amounts[skip.rank + 1] = skip.pad_channels
            number = self._terms.pad(number, self._terms.constant(amounts))
        self._put(output, number, lost)

    def sum(self, members: Sequence[str], output: str) -> None:
        """Number a sum, all members of which have lost the same."""
        lost = [self._lost.get(name) for name in members]
        if any(one is not None for one in lost):
            ranks = {len(self.network.shapes.get(name, ())) for name in members}
            if len(ranks) != 1 or ranks == {0} or not all(_equal(one, lost[0]) for one in lost):
                raise _UnprovenError
        self._put(output, self._terms.sum([self._numbers[name] for name in members]), lost[0])

    def concat(self, members: Sequence[str | None], node: onnx.NodeProto, output: str) -> None:
        """Number what is left of a concat."""
        flags: list[Flags] = []
        left: list[int] = []
        if len(members) != len(node.input) or self._terms.axis(node) != 1:
            raise _UnprovenError
        for member, original in zip(members, node.input, strict=True):
            shape = self.network.shapes.get(original, ())
            if len(shape) < 2 or not isinstance(shape[1], int):
                raise _UnprovenError
            own = None if member is None else self._lost.get(member)
            flags.append(np.full(shape[1], member is None) if own is None else own)
            left += [] if member is None else [self._numbers[member]]
        lost = np.concatenate(flags)
        if lost.size and lost.all():
            self.alive.discard(output)
            return
        self._put(output, self._terms.concat(left, 1), lost if lost.any() else None)

    def _put(self, name: str, number: int, lost: Flags | None) -> None:
        self._numbers[name] = number
        self.alive.add(name)
        if lost is not None:
            self._lost[name] = lost

    def _make(self, position: int, cut: Mapping[str, int] | None = None, lost: Flags | None = None) -> None:
        """Number what a node makes, of constants that have lost entries along an axis each."""
        node, numbers = self.network.extended.graph.node[position], self._numbers
        if cut and lost is not None:
            numbers = {**numbers, **{name: self._without(name, axis, lost) for name, axis in cut.items()}}
        self._numbers |= self._terms.made(node, position, operands(node, numbers))

    def _without(self, name: str, axis: int, lost: Flags) -> int:
        """The number of what is left of an initializer."""
        graph = self.network.extended.graph
        tensor = next((tensor for tensor in graph.initializer if tensor.name == name), None)
        if tensor is None or name in {info.name for info in graph.input}:
            raise _UnprovenError
        value = read_tensor(tensor, self.network.folder)
        if value.shape[axis : axis + 1] != lost.shape:
            raise _UnprovenError
        return self._terms.constant(np.compress(~lost, value, axis))


def _equal(one: Flags | None, other: Flags | None) -> bool:
    return one is not None and other is not None and np.array_equal(one, other)


def _divides(ratio: int, size: int | str | None) -> bool:
    return isinstance(size, int) and size % ratio == 0
