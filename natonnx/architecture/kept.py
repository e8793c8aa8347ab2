"""Which transitions would leave an excluded edge with nothing to carry: the ways from it to the outputs, too, are kept.

The ways to it are looked after by `fatal_maps`.
"""

from collections.abc import Iterable, Mapping

from natonnx.architecture.dominance import Dominance
from natonnx.architecture.dominators import dominators
from natonnx.architecture.edited import Changes, Edited
from natonnx.architecture.graph import Architecture
from natonnx.architecture.liveness import Liveness
from natonnx.architecture.state import State

__all__ = ["KeptWays", "isolated", "kept_ways"]


def isolated(architecture: Architecture, liveness: Liveness) -> str | None:
    """Why an architecture breaks its word about excluded edges; None where each still carries something."""
    for e in architecture.topology.kept:
        if not liveness.active[e]:
            edge = architecture.topology.edges[e]
            return f"edge {edge.name!r} would carry nothing any more, and {edge.fixed}"
    return None


def kept_ways(architecture: Architecture, liveness: Liveness) -> Mapping[tuple[int, State], str]:
    """Find the edges that every way from an excluded edge to an output runs through, in near linear time.

    Returns:
        By edge position and wanted state: why it may not become that.
    """
    topology, states = architecture.topology, architecture.states
    if not topology.kept:
        return {}
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
        nodes[i] = add([root] if i in topology.output_maps else onward[i])
        if liveness.needed[i]:
            for source in topology.fixed_inputs[i]:
                onward[source].append(nodes[i])
        for e in topology.incoming[i]:
            if liveness.active[e]:
                whole = add([nodes[i]], (e, State.N))
                onward[topology.ends[e][0]].append(whole)
                if states[e].is_operation:
                    for further in topology.further_inputs.get(e, ()):
                        onward[further].append(add([whole], (e, State.S)))
    parent = dominators([[len(feeding) if one == root else one for one in own] for own in feeding]).parent
    found: dict[tuple[int, State], str] = {}
    for e in topology.kept:
        node = nodes[topology.ends[e][1]]
        while node != len(feeding):
            way = ways[node]
            if way is not None:
                reason = f"nothing else leads on from edge {topology.edges[e].name!r}, and {topology.edges[e].fixed}"
                found.setdefault(way, reason)
            node = parent[node]
    return found


class KeptWays:
    """Tells which ways on from excluded edges are the only ones while edges change, as `kept_ways` does.

    Args:
        edited: What changes.
    """

    def __init__(self, edited: Edited) -> None:
        topology = edited.topology
        self._edited, self._topology = edited, topology
        if not topology.kept:
            return
        self._maps, self._edges = [0] * len(topology.maps), [0] * len(topology.edges)  # their nodes
        self._further: dict[int, list[int]] = {}
        count = 0
        for i in reversed(range(len(topology.maps))):
            self._maps[i], count = count, count + 1
            for e in topology.incoming[i]:
                self._edges[e], count = count, count + 1
                more = len(topology.further_inputs.get(e, ()))
                self._further[e], count = [*range(count, count + more)], count + more
        self._tree = Dominance(count)
        self._links: dict[int, list[tuple[int, int]]] = {}  # by edge, or opaque map by ~position
        for i in reversed(range(len(topology.maps))):
            for e in topology.incoming[i]:
                self._link(e, self._ways(e))
            self._link(~i, self._readings(i))
            self._tree.settle()
        for e in topology.kept:
            self._tree.mark(self._maps[topology.ends[e][1]], 1)

    def needs(self, e: int, wanted: State) -> bool:
        """Whether an excluded edge would be left with nothing to carry if another one became that."""
        if not self._topology.kept:
            return False
        nodes = [self._edges[e]] if wanted == State.N else self._further[e] if wanted == State.S else []
        return any(map(self._tree.has_marks, nodes))

    def update(self, changes: Changes) -> None:
        """Take in what has changed."""
        if not self._topology.kept:
            return
        for e in changes.edges:
            self._link(e, self._ways(e))
        for i in changes.maps:
            self._link(~i, self._readings(i))
        self._tree.settle()

    def _ways(self, e: int) -> list[tuple[int, int]]:
        """Links from what an edge leads to, by way of the edge, back to what it reads."""
        if not self._edited.active[e]:
            return []
        found = [(self._maps[self._topology.ends[e][1]], self._edges[e])]
        found += self._onward(self._edges[e], self._topology.ends[e][:1])
        if self._edited.states[e].is_operation:
            for node, read in zip(self._further[e], self._topology.further_inputs.get(e, ()), strict=True):
                found += [(self._edges[e], node), *self._onward(node, (read,))]
        return found

    def _readings(self, i: int) -> list[tuple[int, int]]:
        """Links from a map that nodes make which are kept as they are back to what these read."""
        if not self._edited.needed[i]:
            return []
        return self._onward(self._maps[i], self._topology.fixed_inputs[i])

    def _onward(self, node: int, maps: Iterable[int]) -> list[tuple[int, int]]:
        """Links to maps; an output needs no way on."""
        return [(node, self._maps[i]) for i in maps if i not in self._topology.output_maps]

    def _link(self, owner: int, links: list[tuple[int, int]]) -> None:
        before = self._links.get(owner, [])
        if links == before:
            return
        for link in before:
            self._tree.remove(*link)
        for link in links:
            self._tree.add(*link)
        self._links[owner] = links
