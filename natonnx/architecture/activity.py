"""What of an architecture is at work, part by part: what a cost is made of that is measured and not counted."""

from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from natonnx.architecture.cut import cuts, find_cut_rule
from natonnx.architecture.graph import Architecture, State, Topology
from natonnx.architecture.liveness import find_liveness

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
    """Return how much of each part works [2 · edges + 2 · maps], in the order of `workloads`.

    These are, for each edge, the share of its operation that is left, and whether it carries a skip; for each feature
    map the share of its channels that is left, and how many of its live members there are beside the first.
    """
    topology = architecture.topology
    liveness = find_liveness(architecture)
    lost = cuts(architecture, liveness)
    operations, skips = np.zeros(len(topology.edges)), np.zeros(len(topology.edges))
    maps, members = np.zeros(len(topology.maps)), np.zeros(len(topology.maps))
    for e in np.flatnonzero(liveness.active).tolist():
        source, target = topology.ends[e]
        members[target] += 1
        operation = topology.edges[e].operation
        if architecture.states[e] is State.S or operation is None:
            skips[e] = 1.0
            continue
        cut = lost.values.get(source)
        rule = find_cut_rule(operation.cut_rules, cut.axis) if cut else None
        operations[e] = 1.0
        if cut and rule and operation.madds:
            operations[e] -= cut.saved(rule) / operation.madds
    for i in np.flatnonzero(liveness.live & liveness.needed).tolist():
        maps[i] = lost.joins[i].kept.mean() if i in lost.joins else 1.0
    return np.concatenate([operations, skips, maps, np.maximum(members - 1, 0.0)])


def workloads(topology: Topology) -> tuple[Workload, ...]:
    """Return what there is to do where all works [2 · edges + 2 · maps], in the order of `activity`."""
    sizes = map_sizes(topology)
    moved = [sizes[source] + sizes[target] for source, target in topology.ends]
    operations = []
    for edge, numbers in zip(topology.edges, moved, strict=True):
        own = edge.operation
        kind = "none" if own is None else f"depthwise {own.kind}" if own.groups > 1 else own.kind
        operations.append(Workload(kind, 0 if own is None else own.madds or 0, 0 if own is None else numbers))
    skips = [Workload("skip", 0, numbers) for numbers in moved]
    joins = [(fmap.join.value, size) for fmap, size in zip(topology.maps, sizes, strict=True)]
    maps = [Workload(f"join {join}", 0, size) for join, size in joins]
    members = [Workload(f"members {join}", 0, size) for join, size in joins]
    return (*operations, *skips, *maps, *members)


def map_sizes(topology: Topology) -> list[int]:
    """Return how many numbers each feature map holds [maps]; open sizes count once."""
    return [prod(max(1, size) for size in fmap.shape if isinstance(size, int)) for fmap in topology.maps]
