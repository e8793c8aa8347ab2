"""What of an architecture is at work, part by part: what a cost is made of that is measured and not counted."""

from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from natonnx.architecture.cut import cuts, find_cut_rule
from natonnx.architecture.graph import Architecture, Topology
from natonnx.architecture.liveness import find_liveness
from natonnx.architecture.state import State

__all__ = ["Workload", "activity", "map_sizes", "workloads"]


class Workload(NamedTuple):
    """A part of a topology, by how much there is to do.

    Attributes:
        kind: Of its work: an operator (`Conv`, `depthwise Conv`), `skip`, `join sum`, `members sum`, ...
        madds: Multiply-adds of a batch, 0 where unknown.
        moved: Numbers that are read and written; open sizes count once.
    """

    kind: str
    madds: int
    moved: int


def activity(architecture: Architecture) -> NDArray[np.float64]:
    """Return how much of each part works [2 · edges + 2 · maps + cheaper operations], in the order of `workloads`.

    These are, for each edge, the share of its operation that is left, and whether it carries a skip; for each feature
    map the share of its channels that is left, and how many of its live members there are beside the first; for each
    cheaper operation the share of it that is left.
    """
    topology = architecture.topology
    liveness = find_liveness(architecture)
    lost = cuts(architecture, liveness)
    places = {(e, state): i for i, (e, state) in enumerate(_operations(topology))}
    operations, skips = np.zeros(len(places)), np.zeros(len(topology.edges))
    maps, members = np.zeros(len(topology.maps)), np.zeros(len(topology.maps))
    for e in np.flatnonzero(liveness.active).tolist():
        source, target = topology.ends[e]
        members[target] += 1
        operation = topology.edges[e].operations.get(architecture.states[e])
        if operation is None:
            skips[e] = 1.0
            continue
        cut = lost.values.get(source)
        rule = find_cut_rule(operation.cut_rules, cut.axis) if cut else None
        place = places[e, architecture.states[e]]
        operations[place] = 1.0
        if cut and rule and operation.madds:
            operations[place] -= cut.saved(rule) / operation.madds
    for i in np.flatnonzero(liveness.live & liveness.needed).tolist():
        maps[i] = lost.joins[i].kept.mean() if i in lost.joins else 1.0
    own, cheaper = np.split(operations, [len(topology.edges)])
    return np.concatenate([own, skips, maps, np.maximum(members - 1, 0.0), cheaper])


def _operations(topology: Topology) -> list[tuple[int, State]]:
    """Edges and states of operations: O of each edge, then the cheaper ones."""
    cheaper = [(e, choice.state) for e, edge in enumerate(topology.edges) for choice in edge.cheaper]
    return [*((e, State.O) for e in range(len(topology.edges))), *cheaper]


def workloads(topology: Topology) -> tuple[Workload, ...]:
    """Return what there is to do where all works, in the order of `activity`."""
    sizes = map_sizes(topology)
    moved = [sizes[source] + sizes[target] for source, target in topology.ends]
    operations = []
    for e, state in _operations(topology):
        made, numbers = topology.edges[e].operations.get(state), moved[e]
        kind = "none" if made is None else f"depthwise {made.kind}" if made.groups > 1 else made.kind
        operations.append(Workload(kind, 0 if made is None else made.madds or 0, 0 if made is None else numbers))
    skips = [Workload("skip", 0, numbers) for numbers in moved]
    joins = [(fmap.join.value, size) for fmap, size in zip(topology.maps, sizes, strict=True)]
    maps = [Workload(f"join {join}", 0, size) for join, size in joins]
    members = [Workload(f"members {join}", 0, size) for join, size in joins]
    own, cheaper = operations[: len(skips)], operations[len(skips) :]
    return (*own, *skips, *maps, *members, *cheaper)


def map_sizes(topology: Topology) -> list[int]:
    """Return how many numbers each feature map holds [maps]; open sizes count once."""
    return [prod(max(1, size) for size in fmap.shape if isinstance(size, int)) for fmap in topology.maps]
