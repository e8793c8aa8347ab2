"""The least that an α can cost: what is in every α, and a shortest path through the rest.

Outputs must be alive, a feature map that is alive has one live edge that enters it at least, and a node of several
inputs needs all of them. So the cost of a feature map is at least that of its cheapest edge (Bellman 1958), or that of
the dearest of the inputs that it needs, beside all that each way to the outputs has in common (its dominators). Where a
network is a chain of blocks with shortcuts, as most are, the bound is reached, and the path is the cheapest α.
"""

from collections import Counter
from collections.abc import Mapping
from functools import reduce
from operator import and_
from typing import Literal, NamedTuple

from natonnx.architecture import Architecture, Edge, Join, Operation, State, Topology, Weight

__all__ = ["Counted", "Shortest", "shortest"]

Counted = Literal["madds", "params"]


class Shortest(NamedTuple):
    """What was found.

    Attributes:
        least: No legal α costs less: multiply-adds per sample, or parameters.
        alpha: The path that the bound comes from, all else null; it may be illegal.
    """

    least: float
    alpha: Architecture


class _Way(NamedTuple):
    """A way for a feature map to be alive: by an edge in a state, or by none where it is opaque."""

    edge: int | None
    state: State | None
    sources: tuple[int, ...]
    cost: float


def shortest(beta: Architecture, counted: Counted) -> Shortest:
    """Bound from below what the α's of an architecture cost.

    Args:
        beta: The given architecture, its sizes known.
        counted: What is counted.
    """
    topology = beta.topology
    edges, maps = _costs(beta, counted)
    cheapest = [min(own, key=own.__getitem__, default=State.N) for own in edges]
    least_edges = [min(own.values(), default=0.0) for own in edges]
    ways = [_ways(beta, i, cheapest, least_edges) for i in range(len(topology.maps))]
    outputs = [topology.map_index[name] for name in topology.outputs]
    common = _in_every_way(ways)
    always = 0
    for i in outputs:
        always |= common[i]
    held = sum(own for i, own in enumerate(maps) if always >> i & 1)
    held += sum(own for e, own in enumerate(least_edges) if always >> (len(maps) + e) & 1)
    least, chosen = list[float](), list[_Way | None]()
    for i, own in enumerate(ways):
        totals = [max((least[s] for s in way.sources), default=0.0) + _beside(way, always, len(maps)) for way in own]
        best = min(range(len(own)), key=totals.__getitem__, default=None)
        chosen.append(None if best is None else own[best])
        least.append((float("inf") if best is None else totals[best]) + (0.0 if always >> i & 1 else maps[i]))
    return Shortest(held + max(least[i] for i in outputs), _path(beta, chosen, outputs))


def _ways(beta: Architecture, i: int, cheapest: list[State], costs: list[float]) -> list[_Way]:
    """Return how a feature map may come alive, by each edge's skip or cheapest operation at its cost."""
    topology = beta.topology
    if topology.maps[i].join is Join.INPUT:
        return [_Way(None, None, (), 0.0)]
    if topology.maps[i].join is Join.OPAQUE:
        return [_Way(None, None, topology.fixed_inputs[i], 0.0)]
    found = []
    for e in topology.incoming[i]:
        edge, current, source = topology.edges[e], beta.states[e], topology.ends[e][0]
        if State.S in _reachable(edge, current) and edge.skip is not None:
            found.append(_Way(e, State.S, (source,), 0.0))
        if current.is_operation:
            found.append(_Way(e, cheapest[e], (source, *topology.further_inputs.get(e, ())), costs[e]))
    return found


def _reachable(edge: Edge, current: State) -> list[State]:
    """Return the state of an edge, and those that it may become."""
    return [current] if edge.fixed else [current, *edge.successors[current]]


def _in_every_way(ways: list[list[_Way]]) -> list[int]:
    """Return what each feature map cannot be alive without, as a set of bits: maps, and then operations."""
    found: list[int] = []
    for i, own in enumerate(ways):
        each = []
        for way in own:
            bits = 1 << (len(ways) + way.edge) if way.edge is not None and way.state != State.S else 0
            for source in way.sources:
                bits |= found[source]
            each.append(bits)
        found.append((reduce(and_, each) if each else 0) | 1 << i)
    return found


def _beside(way: _Way, always: int, maps: int) -> float:
    """Return what a way costs beside what is counted already."""
    return 0.0 if way.edge is not None and always >> (maps + way.edge) & 1 else way.cost


def _path(beta: Architecture, chosen: list[_Way | None], outputs: list[int]) -> Architecture:
    """Keep one way for each feature map that is needed; null all else that may change."""
    states = [
        State.N if State.N in _reachable(edge, state) else state
        for edge, state in zip(beta.topology.edges, beta.states, strict=True)
    ]
    needed = set(outputs)
    for i in reversed(range(len(chosen))):
        way = chosen[i]
        if i not in needed or way is None:
            continue
        needed.update(way.sources)
        if way.edge is not None and way.state is not None:
            states[way.edge] = way.state
    return beta.with_states(tuple(states))


def _costs(beta: Architecture, counted: Counted) -> tuple[list[Mapping[State, float]], list[float]]:
    """Return what edges, by operation, and feature maps cost at least where they work: each as much cut as may be."""
    topology, cut = beta.topology, _may_be_cut(beta.topology)
    names = [{name for one in edge.operations.values() for name, _ in one.weights} for edge in topology.edges]
    owners = Counter(name for own in [*names, *(dict(fmap.weights) for fmap in topology.maps)] for name in own)
    edges, maps = list[Mapping[State, float]](), list[float]()

    def least(operation: Operation, is_cut: bool) -> float:
        rules = operation.cut_rules if is_cut else ()
        if counted == "madds":
            return (operation.madds or 0) - max((rule.madds for rule in rules), default=0)
        return _params(operation.weights, {name for rule in rules for name in rule.weights}, owners)

    for edge, current, (source, _) in zip(topology.edges, beta.states, topology.ends, strict=True):
        reachable = [state for state in _reachable(edge, current) if state in edge.operations]
        edges.append({state: least(edge.operations[state], cut[source]) for state in reachable})
    for fmap, is_cut in zip(topology.maps, cut, strict=True):
        lost = {name for rule in fmap.cut_rules for name in rule.weights} if is_cut else set()
        maps.append(0.0 if counted == "madds" else _params(fmap.weights, lost, owners))
    return edges, maps


def _params(weights: tuple[Weight, ...], lost: set[str], owners: Counter[str]) -> float:
    """Count weights that cannot get smaller; of one that nodes share, each has a part."""
    return sum(size / owners[name] for name, size in dict(weights).items() if name not in lost)


def _may_be_cut(topology: Topology) -> list[bool]:
    """Tell which feature maps may lose channels: concats of several members, and what comes after."""
    found: list[bool] = []
    for i, fmap in enumerate(topology.maps):
        sources = [topology.ends[e][0] for e in topology.incoming[i]] + list(topology.fixed_inputs[i])
        sources += [s for e in topology.incoming[i] for s in topology.further_inputs.get(e, ())]
        several = fmap.join is Join.CONCAT and len(topology.incoming[i]) > 1
        found.append(several or any(found[source] for source in sources))
    return found
