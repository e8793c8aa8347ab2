"""Weights that nodes make of constants: which tensor holds their values, and which may be trained in their place.

An exporter may put an Identity in front of a weight that several nodes share, transpose or reshape it, cast it, or
multiply it by a scale. What an Identity makes is the tensor that it repeats. What other nodes make is trained as it is
read, and written back in their place; it stays as it is where other readers share what it is made of, or where it is
made of whole numbers, which nobody stores for being trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from natonnx.frontend.node import Node
from natonnx.frontend.vocabulary import QUANTISED

__all__ = ["ComputedWeights", "find_computed"]

_KEEPING = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that keep every element of their first input."""

_MOST = 64
"""Nodes that may stand behind one weight: a limit keeps the search linear in the size of the graph."""


@dataclass(frozen=True)
class ComputedWeights:
    """Constants that nodes make and other nodes read.

    Attributes:
        aliases: What an Identity makes, by name: the tensor that it repeats.
        trainable: What may be trained, and written in the place of the node that makes it.
        holders: The tensor under which a constant counts, by name, where it is another.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    trainable: frozenset[str] = frozenset()
    holders: Mapping[str, str] = field(default_factory=dict)

    def source(self, tensor: str) -> str:
        """The tensor that a tensor repeats; itself where it repeats none."""
        return self.aliases.get(tensor, tensor)


class _Graph(Protocol):
    """What is asked of a graph: see `natonnx.frontend.view`."""

    nodes: list[Node]
    constants: set[str]
    outputs: tuple[str, ...]

    def kind(self, node: int) -> str: ...
    def reads(self, node: int) -> list[str]: ...
    def is_float(self, tensor: str) -> bool: ...
    def size(self, tensor: str) -> int: ...


class _Origin(NamedTuple):
    """What a constant is made of: the floating-point tensors of the file, and whether it may be trained."""

    leaves: frozenset[str]
    plain: bool


def find_computed(view: _Graph) -> ComputedWeights:
    """Look at every constant that a node makes and a node that depends on the model's input reads."""
    constant = [i for i, node in enumerate(view.nodes) if view.constants.issuperset(filter(None, node.output))]
    made = {name: i for i in constant if view.kind(i) != "Constant" for name in view.nodes[i].output if name}
    if not made:
        return ComputedWeights()
    aliases: dict[str, str] = {}
    for name, i in made.items():
        if view.kind(i) == "Identity":
            source = view.nodes[i].input[0]
            aliases[name] = aliases.get(source, source)
    running = set(range(len(view.nodes))).difference(constant)
    ends = {aliases.get(name, name) for i in running for name in view.reads(i) if name in view.constants}
    ends.update(aliases.get(name, name) for name in view.outputs if name in view.constants)
    origins = {name: _origin(view, name, made) for name in ends if name in made}
    uses: dict[str, int] = dict.fromkeys(ends, 1)
    for origin in origins.values():
        for leaf in origin.leaves:
            uses[leaf] = uses.get(leaf, 0) + 1
    trainable = {
        name
        for name, (leaves, plain) in origins.items()
        if plain and leaves and all(uses[leaf] == 1 for leaf in leaves if view.size(leaf) >= view.size(name))
    }
    trainable.difference_update(view.outputs)
    holders: dict[str, str] = {}
    for name, i in made.items():  # in order
        source = view.nodes[i].input[0] if view.kind(i) in _KEEPING else name
        if name not in trainable and view.is_float(source):
            holders[name] = holders.get(source, source)
    return ComputedWeights(aliases, frozenset(trainable), holders)


def _origin(view: _Graph, name: str, made: Mapping[str, int]) -> _Origin:
    """Walk from a constant to what the file holds."""
    leaves: set[str] = set()
    nodes: set[int] = set()
    pending = [name]
    while pending:
        tensor = pending.pop()
        i = made.get(tensor)
        if i is None:
            if view.is_float(tensor) and view.size(tensor) > 1:
                leaves.add(tensor)
        elif i not in nodes:
            nodes.add(i)
            if len(nodes) > _MOST or not _is_plain(view, i):
                return _Origin(frozenset(), plain=False)
            pending.extend(view.reads(i))
    return _Origin(frozenset(leaves), len(view.nodes[made[name]].output) == 1)


def _is_plain(view: _Graph, i: int) -> bool:
    """Whether a node makes floating-point numbers of such numbers only, or handles sizes."""
    node = view.nodes[i]
    if "::" in view.kind(i) or view.kind(i) in QUANTISED or len(view.reads(i)) != sum(map(bool, node.input)):
        return False
    widens = view.kind(i) == "Cast" and view.is_float(node.output[0]) and not view.is_float(node.input[0])
    return not (widens and view.size(node.input[0]) > 1)
