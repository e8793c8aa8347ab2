"""What an architecture is: an immutable topology and one state an edge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, Protocol

from natonnx.architecture.skip import Shape, Skip
from natonnx.architecture.state import LETTERS, State

__all__ = [
    "Architecture",
    "ChannelCutRule",
    "Choice",
    "Edge",
    "FeatureMap",
    "Join",
    "Operation",
    "Shape",
    "Stated",
    "Topology",
    "Weight",
]


class Join(StrEnum):
    """How a feature map comes about from the edges that enter it."""

    INPUT = "input"
    SINGLE = "single"
    SUM = "sum"
    CONCAT = "concat"
    OPAQUE = "opaque"


class Weight(NamedTuple):
    """A trainable tensor, by its ONNX name, and its number of elements."""

    name: str
    size: int


@dataclass(frozen=True)
class ChannelCutRule:
    """What nodes do where the tensor that they read has lost channels, for a concat upstream lost a member.

    Attributes:
        axis: The axis of their input that got shorter. A negative one, ~k, says that their input is a list of sizes,
            whose element k counts the channels.
        out: The axis of their output that gets shorter in turn, likewise; None where they absorb the cut, as a
            convolution does.
        select: Which channels they choose, in order, as a Slice or a shuffle does; what follows is of these. None: all.
        unit: Channels go in whole runs of so many neighbours, as in a convolution of groups; what follows is of runs.
        repeat: How many neighbouring entries of that axis each channel becomes (H·W in a Flatten).
        tile: How many times all of them stand there, one behind the other.
        weights: Names of the trainable tensors that lose the same fraction.
        madds: The part of the multiply-adds that shrinks by the same fraction.
        alike: Of a node that reads several maps: those of which all that are cut must have lost the same channels.
        whole: Those among them that may be whole, for the node then takes the channels that are left out of them.
    """

    axis: int
    out: int | None
    repeat: int = 1
    weights: frozenset[str] = frozenset()
    madds: int = 0
    alike: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    unit: int = 1
    tile: int = 1
    select: tuple[int, ...] | None = None


@dataclass(frozen=True)
class FeatureMap:
    """A tensor that operations read and write.

    Attributes:
        name: The ONNX name of the tensor that the consumers read (after the activation).
        shape: Its shape at the join (before the activation).
        join: How it is made.
        inputs: For an opaque join, the feature maps it reads; all of them must be alive.
        weights: Trainable tensors of the nodes that belong to the map itself (its activation, or the opaque node).
        axis: Of a concat: along which its members stand, in the order of the edges that enter it.
        cut_rules: What the map's own nodes do with a cut, by the axis at the join (at the inputs of an opaque node).
    """

    name: str
    shape: Shape
    join: Join
    inputs: tuple[str, ...] = ()
    weights: tuple[Weight, ...] = ()
    axis: int | None = None
    cut_rules: tuple[ChannelCutRule, ...] = ()

    def size(self, axis: int) -> int | None:
        """The size of an axis; None where it is open or unknown."""
        size = self.shape[axis] if axis < len(self.shape) else None
        return size if isinstance(size, int) else None


@dataclass(frozen=True)
class Operation:
    """What an O edge carries: one compute operator with the normalisation that belongs to it alone.

    Attributes:
        kind: The ONNX operator type, such as Conv, MaxPool or Gemm.
        kernel: Spatial kernel size, () where there is none.
        stride: Spatial stride, () where there is none.
        groups: Convolution groups, 1 where there are none.
        weights: Trainable tensors, by name, so that shared ones count once.
        madds: Multiply-adds per sample at the model's input shape; None where a shape is unknown.
        cut_rules: What it does with a cut, by the axis of its input; an axis that is missing may not be cut.
        inputs: Feature maps that it reads besides the edge's source, such as the mask of an attention block; all of
            them, and the source, must be alive.
    """

    kind: str
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    groups: int = 1
    weights: tuple[Weight, ...] = ()
    madds: int | None = 0
    cut_rules: tuple[ChannelCutRule, ...] = ()
    inputs: tuple[str, ...] = ()

    @property
    def params(self) -> int:
        """Number of trainable scalars."""
        return sum(size for _, size in dict(self.weights).items())


class Choice(NamedTuple):
    """A state that an edge may be in.

    Attributes:
        state: Its name.
        carries: The operation of a state that is one, the skip of S; None for N, or where the edge has no such thing.
        successors: The states that it may become.
    """

    state: State
    carries: Operation | Skip | None
    successors: tuple[State, ...]


@dataclass(frozen=True)
class Edge:
    """A possible flow from one feature map into another.

    Attributes:
        name: Unique; the ONNX node's name for an operation, "source->target" for a skip or a null edge.
        source: Name of the feature map that is read.
        target: Name of the feature map that is written.
        operation: What state O carries; None for an edge that can only be S or N.
        skip: The parameter-free skip that state S carries; None where shapes forbid it.
        no_skip: Why there is no skip, in one line; empty where there is one.
        fixed: Why the edge may not change at all, in one line; empty where it may.
        kept: Whether it must go on carrying something, whatever changes around it.
        cheaper: Operations that may take the place of its own and cost no more, reading the same maps.

    Raises:
        ValueError: If states repeat, or a cheaper operation has none to replace or reads other maps.
    """

    name: str
    source: str
    target: str
    operation: Operation | None
    skip: Skip | None
    no_skip: str = ""
    fixed: str = ""
    kept: bool = False
    cheaper: tuple[Choice, ...] = ()

    def __post_init__(self) -> None:
        if not self.cheaper:
            return
        if len(self.columns) < len(self.choices):
            raise ValueError(f"edge {self.name!r}: its states must be unique")
        for state, carried, _ in self.cheaper:
            if self.operation is None or not isinstance(carried, Operation) or carried.inputs != self.operation.inputs:
                raise ValueError(f"edge {self.name!r}: {state} must be an operation of the maps that its own reads")

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """What it may carry: O, S, N, also where it has no operation or skip, and then the cheaper operations."""
        others = tuple(choice.state for choice in self.cheaper)
        return (
            Choice(State.O, self.operation, (State.S, State.N, *others)),
            Choice(State.S, self.skip, (State.N,)),
            Choice(State.N, None, (State.S,)),
            *self.cheaper,
        )

    @cached_property
    def columns(self) -> Mapping[State, int]:
        """Position of each state in `choices`."""
        return {choice.state: column for column, choice in enumerate(self.choices)}

    @cached_property
    def operations(self) -> Mapping[State, Operation]:
        """The operation of each state that carries one."""
        return {choice.state: choice.carries for choice in self.choices if isinstance(choice.carries, Operation)}

    @cached_property
    def successors(self) -> Mapping[State, tuple[State, ...]]:
        """The states that each state may become: O what costs less, S null, and null S; no way leads back to O."""
        return {choice.state: choice.successors for choice in self.choices}


@dataclass(frozen=True)
class Topology:
    """Feature maps in topological order, the edges between them, and the maps that the model's outputs read.

    Raises:
        ValueError: If names repeat, an edge names an unknown map, or an edge or a further input points backwards.
    """

    maps: tuple[FeatureMap, ...]
    edges: tuple[Edge, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.map_index) != len(self.maps) or len(self.edge_index) != len(self.edges):
            raise ValueError("names of feature maps and of edges must be unique")
        ends = [(edge.source, edge.target) for edge in self.edges]
        ends += [(source, fmap.name) for fmap in self.maps for source in fmap.inputs]
        ends += [(source, edge.target) for edge in self.edges if edge.operation for source in edge.operation.inputs]
        for source, target in ends:
            if self.map_index.get(source, len(self.maps)) >= self.map_index.get(target, -1):
                raise ValueError(f"{source!r} -> {target!r} does not run forwards between known feature maps")

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.maps, self.edges, self.outputs))

    @cached_property
    def width(self) -> int:
        """The most choices that an edge has, 3 at least."""
        return max((len(edge.choices) for edge in self.edges if edge.cheaper), default=len(LETTERS))

    @cached_property
    def map_index(self) -> Mapping[str, int]:
        """Position of each feature map, by name."""
        return {fmap.name: i for i, fmap in enumerate(self.maps)}

    @cached_property
    def edge_index(self) -> Mapping[str, int]:
        """Position of each edge, by name."""
        return {edge.name: i for i, edge in enumerate(self.edges)}

    @cached_property
    def ends(self) -> tuple[tuple[int, int], ...]:
        """Source and target positions of each edge."""
        return tuple((self.map_index[edge.source], self.map_index[edge.target]) for edge in self.edges)

    @cached_property
    def incoming(self) -> tuple[tuple[int, ...], ...]:
        """Edge positions that enter each feature map."""
        entering: list[list[int]] = [[] for _ in self.maps]
        for edge, (_, target) in enumerate(self.ends):
            entering[target].append(edge)
        return tuple(map(tuple, entering))

    @cached_property
    def outgoing(self) -> tuple[tuple[int, ...], ...]:
        """Edge positions that leave each feature map."""
        leaving: list[list[int]] = [[] for _ in self.maps]
        for edge, (source, _) in enumerate(self.ends):
            leaving[source].append(edge)
        return tuple(map(tuple, leaving))

    @cached_property
    def fixed_readers(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the opaque maps that read each feature map."""
        readers: list[list[int]] = [[] for _ in self.maps]
        for reader, sources in enumerate(self.fixed_inputs):
            for source in sources:
                readers[source].append(reader)
        return tuple(map(tuple, readers))

    @cached_property
    def output_maps(self) -> frozenset[int]:
        """Positions of the maps that the model's outputs read."""
        return frozenset(self.map_index[name] for name in self.outputs)

    @cached_property
    def concats(self) -> tuple[int, ...]:
        """Positions of the concats."""
        return tuple(i for i, fmap in enumerate(self.maps) if fmap.join is Join.CONCAT)

    @cached_property
    def empty_members(self) -> frozenset[int]:
        """Positions of the edges by which a concat gets no channels, where others bring it some."""
        found: set[int] = set()
        for concat in self.concats:
            axis = self.maps[concat].axis
            sizes = {e: None if axis is None else self.maps[self.ends[e][0]].size(axis) for e in self.incoming[concat]}
            empty = {e for e, size in sizes.items() if size == 0}
            found |= empty if len(empty) < len(sizes) else set()
        return frozenset(found)

    @cached_property
    def fixed_inputs(self) -> tuple[tuple[int, ...], ...]:
        """Map positions that each opaque map reads."""
        return tuple(tuple(self.map_index[name] for name in fmap.inputs) for fmap in self.maps)

    @cached_property
    def further_inputs(self) -> Mapping[int, tuple[int, ...]]:
        """By edge position: the maps that its operations read besides its source; edges that read none are absent."""
        operations = ((i, edge.operation) for i, edge in enumerate(self.edges))
        return {i: tuple(self.map_index[name] for name in own.inputs) for i, own in operations if own and own.inputs}

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """Positions of the edges that must go on carrying something."""
        return tuple(e for e, edge in enumerate(self.edges) if edge.kept)

    @cached_property
    def read_by(self) -> tuple[tuple[int, ...], ...]:
        """By edge position: the maps that it reads, its source first, in whatever state."""
        further = self.further_inputs
        return tuple((source, *further.get(e, ())) for e, (source, _) in enumerate(self.ends))

    @cached_property
    def followers(self) -> tuple[tuple[int, ...], ...]:
        """By map position: the maps that are made of it, in whatever states, each once."""
        found: list[dict[int, None]] = [{} for _ in self.maps]
        for e, (_, target) in enumerate(self.ends):
            for source in self.read_by[e]:
                found[source][target] = None
        for reader, sources in enumerate(self.fixed_inputs):
            for source in sources:
                found[source][reader] = None
        return tuple(map(tuple, found))

    @cached_property
    def makers(self) -> tuple[tuple[int, ...], ...]:
        """By map position: the maps that it is made of, in whatever states, each once."""
        found: list[list[int]] = [[] for _ in self.maps]
        for i, following in enumerate(self.followers):
            for target in following:
                found[target].append(i)
        return tuple(map(tuple, found))

    @cached_property
    def further_readers(self) -> Mapping[int, tuple[int, ...]]:
        """By map position: the edges whose operations read it besides their source; maps without any are absent."""
        readers: dict[int, list[int]] = {}
        for edge, sources in self.further_inputs.items():
            for source in dict.fromkeys(sources):
                readers.setdefault(source, []).append(edge)
        return {source: tuple(edges) for source, edges in readers.items()}


class Stated(Protocol):
    """A topology and the state of each of its edges, now."""

    @property
    def topology(self) -> Topology:
        """Feature maps and edges."""

    @property
    def states(self) -> Sequence[State]:
        """One an edge."""


@dataclass(frozen=True)
class Architecture:
    """A topology and the state of each of its edges: the paper's β, or an α derived from it."""

    topology: Topology
    states: tuple[State, ...]

    def __post_init__(self) -> None:
        if len(self.states) != len(self.topology.edges):
            raise ValueError(f"{len(self.states)} states for {len(self.topology.edges)} edges")
        for edge, state in zip(self.topology.edges, self.states, strict=True):
            if state.is_operation and state not in edge.operations:
                what = "operation to carry" if state == State.O else f"state {state}"
                raise ValueError(f"edge {edge.name!r} has no {what}")
            if state == State.S and edge.skip is None:
                raise ValueError(f"edge {edge.name!r} has no skip to carry: {edge.no_skip}")

    def with_states(self, states: tuple[State, ...]) -> "Architecture":
        """The same topology with other states."""
        return replace(self, states=states)

    def state(self, edge: str) -> State:
        """State of the edge of that name."""
        return self.states[self.topology.edge_index[edge]]
