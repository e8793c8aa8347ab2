"""Which transitions would leave an excluded edge with nothing to carry: the ways from it to the outputs, too, are kept.

The ways to it are looked after by `fatal_maps`.
"""

from collections.abc import Mapping

from natonnx.architecture.dominators import dominators
from natonnx.architecture.graph import Architecture, State
from natonnx.architecture.liveness import Liveness

__all__ = ["isolated", "kept_ways"]


def isolated(architecture: Architecture, liveness: Liveness) -> str | None:
    """Why an architecture breaks its word about excluded edges; None where each still carries something."""
    for e, edge in enumerate(architecture.topology.edges):
        if edge.kept and not liveness.active[e]:
            return f"edge {edge.name!r} would carry nothing any more, and {edge.fixed}"
    return None


def kept_ways(architecture: Architecture, liveness: Liveness) -> Mapping[tuple[int, State], str]:
    """Find the edges that every way from an excluded edge to an output runs through, in near linear time.

    Returns:
        By edge position and wanted state: why it may not become that.
    """
    topology, states = architecture.topology, architecture.states
    kept = [e for e, edge in enumerate(topology.edges) if edge.kept]
    if not kept:
        return {}
    outputs = {topology.map_index[name] for name in topology.outputs}
    onward: list[list[int]] = [[] for _ in topology.maps]  # by map: the nodes that it is read by
    ways: list[tuple[int, State] | None] = []  # by node: None for a map, else an edge and what ends this way through it
    feeding: list[list[int]] = []
    root = -1  # stands for the number of nodes until that is known

    def add(before: list[int], way: tuple[int, State] | None = None) -> int:
        ways.append(way)
        feeding.append(before)
        return len(feeding) - 1

    nodes = [root] * len(topology.maps)
    for i in reversed(range(len(topology.maps))):
        nodes[i] = add([root] if i in outputs else onward[i])
        if liveness.needed[i]:
            for source in topology.fixed_inputs[i]:
                onward[source].append(nodes[i])
        for e in topology.incoming[i]:
            if liveness.active[e]:
                whole = add([nodes[i]], (e, State.N))
                onward[topology.ends[e][0]].append(whole)
                if states[e] is State.O:
                    for further in topology.further_inputs.get(e, ()):
                        onward[further].append(add([whole], (e, State.S)))
    parent = dominators([[len(feeding) if one == root else one for one in own] for own in feeding]).parent
    found: dict[tuple[int, State], str] = {}
    for e in kept:
        node = nodes[topology.ends[e][1]]
        while node != len(feeding):
            way = ways[node]
            if way is not None:
                reason = f"nothing else leads on from edge {topology.edges[e].name!r}, and {topology.edges[e].fixed}"
                found.setdefault(way, reason)
            node = parent[node]
    return found
