"""An architecture under edits: null propagation, cuts and cost are kept up to date, at the price of what is near.

What it says of itself is what `find_liveness`, `cuts`, `cost` and `violation` would say of the same states.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from natonnx.architecture.cost import Cost, Stored, edge_cost, map_cost
from natonnx.architecture.cut import BrokenError, Cut, cuts_of, same_cut
from natonnx.architecture.graph import Architecture, Join
from natonnx.architecture.liveness import find_liveness
from natonnx.architecture.settle import settle
from natonnx.architecture.state import State

__all__ = ["Changes", "Edited"]


class Changes(NamedTuple):
    """What a change of one edge has changed, by position.

    Attributes:
        maps: Those that have become alive, dead, needed, or no longer so.
        edges: Those in another state, or that carry something now, or no longer.
        feeding: Those that feed their target now, or no longer: they are not null, their source is alive.
    """

    maps: set[int]
    edges: set[int]
    feeding: list[int]


class Edited:
    """Null propagation, cuts and cost of an architecture whose edges change one after the other, legal or not.

    Args:
        architecture: The architecture at first.

    Attributes:
        topology: Its topology.
        states: One an edge, now.
        live: Per feature map; see `Liveness`.
        needed: Per feature map.
        active: Per edge.
        feeding: Per edge: whether it is not null, brings channels, and its source is alive.
        joins: By position of a map: the cut at its join; see `Cuts`. Of no meaning where the architecture cannot run.
        values: The cut of its value, likewise.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.topology, self.states = architecture.topology, list(architecture.states)
        liveness = find_liveness(architecture)
        self.live, self.needed = liveness.live.tolist(), liveness.needed.tolist()
        self.active: list[bool] = liveness.active.tolist()
        edges, maps = range(len(self.topology.edges)), range(len(self.topology.maps))
        self.feeding = [self._feeds(e) for e in edges]
        self.joins: dict[int, Cut] = {}
        self.values: dict[int, Cut] = {}
        self._starving = {i for i in maps if self._starves(i)}
        self._lacking = {e for e in self.topology.further_inputs if self._lacks(e)}
        self._isolated = {e for e in edges if self._is_isolated(e)}
        self._stuck: set[int] = set()
        for i in maps if self.topology.concats else ():
            self._renew_cuts(i)
        self._owned: dict[int, Stored] = {}  # edges by position, maps by ~position
        self._owners = Counter[tuple[str, bytes]]()
        self._counted: dict[int, int | None] = {}
        self._params = self._madds = self._unknown = 0
        for e in edges:
            self._count_edge(e)
        for i in maps:
            self._count_map(i)

    @property
    def architecture(self) -> Architecture:
        """The architecture as it is now."""
        return Architecture(self.topology, tuple(self.states))

    @property
    def runs(self) -> bool:
        """Whether nothing starves, and everybody can do without the channels that they lose."""
        return not (self._starving or self._lacking or self._stuck)

    @property
    def is_stuck(self) -> bool:
        """Whether somebody cannot do without the channels that they would lose."""
        return bool(self._stuck)

    @property
    def cost(self) -> Cost:
        """What it costs, where it can run."""
        return Cost(self._params, None if self._unknown else self._madds)

    def is_within(self, full: Cost) -> bool:
        """Whether it can run, leaves excluded edges something to carry, and costs no more than that.

        An architecture that came from β by transitions is legal then, if that is what β costs; see `violation`.
        """
        return self.runs and not self._isolated and not self.cost.exceeds(full)

    def effective(self, e: int) -> State:
        """The state of an edge, null where it carries nothing."""
        return self.states[e] if self.active[e] else State.N

    def change(self, e: int, state: State) -> Changes:
        """Put an edge into another state."""
        topology, before = self.topology, self.states[e]
        self.states[e] = state
        if state == before:
            return Changes(set(), set(), [])
        born = settle(topology.ends[e][1:], self._renew_live, topology.followers.__getitem__)
        wanted = settle(topology.read_by[e], self._renew_needed, topology.makers.__getitem__, backward=True)
        maps = {*born, *wanted}
        near = {e, *(f for i in maps for f in (*topology.incoming[i], *topology.outgoing[i]))}
        edges = {f for f in near if self._renew_active(f)} | {e}
        feeding = [f for f in near if self._renew_feeding(f)]
        self._check(maps, near)
        lost = self._cut(maps, edges) if topology.concats else []
        self._recount(maps, edges, lost)
        return Changes(maps, edges, feeding)

    # Null propagation, as `find_liveness` has it

    def _renew_live(self, i: int) -> bool:
        topology, join = self.topology, self.topology.maps[i].join
        if join is Join.INPUT:
            live = True
        elif join is Join.OPAQUE:
            live = all(self.live[source] for source in topology.fixed_inputs[i])
        else:
            live = any(self._feeds(e) for e in topology.incoming[i])
        before, self.live[i] = self.live[i], live
        return live is not before

    def _feeds(self, e: int) -> bool:
        alive = self.live[self.topology.ends[e][0]]
        return alive and self.states[e] != State.N and e not in self.topology.empty_members

    def _renew_needed(self, i: int) -> bool:
        topology, states, needed = self.topology, self.states, self.needed
        found = (
            i in topology.output_maps
            or any(needed[reader] for reader in topology.fixed_readers[i])
            or any(states[e] != State.N and needed[topology.ends[e][1]] for e in topology.outgoing[i])
            or any(states[e].is_operation and needed[topology.ends[e][1]] for e in topology.further_readers.get(i, ()))
        )
        before, needed[i] = needed[i], found
        return found is not before

    def _renew_active(self, e: int) -> bool:
        source, target = self.topology.ends[e]
        carries = self.states[e] != State.N
        active = carries and self.live[source] and self.live[target] and self.needed[target]
        before, self.active[e] = self.active[e], active
        return active is not before

    def _renew_feeding(self, e: int) -> bool:
        before, self.feeding[e] = self.feeding[e], self._feeds(e)
        return self.feeding[e] is not before

    # What breaks it

    def _check(self, maps: Iterable[int], edges: Iterable[int]) -> None:
        topology = self.topology
        for i in maps:
            _put(self._starving, i, self._starves(i))
        further = (e for i in maps for e in topology.further_readers.get(i, ()))
        for e in {*edges, *further} & topology.further_inputs.keys():
            _put(self._lacking, e, self._lacks(e))
        for e in edges:
            if topology.edges[e].kept:
                _put(self._isolated, e, self._is_isolated(e))

    def _starves(self, i: int) -> bool:
        if self.live[i] or not self.needed[i]:
            return False
        return i in self.topology.output_maps or self.topology.maps[i].join is Join.OPAQUE

    def _lacks(self, e: int) -> bool:
        if not self.states[e].is_operation or not self.needed[self.topology.ends[e][1]]:
            return False
        return not all(self.live[source] for source in self.topology.read_by[e])

    def _is_isolated(self, e: int) -> bool:
        return self.topology.edges[e].kept and not self.active[e]

    # Cuts

    def _cut(self, maps: Iterable[int], edges: Iterable[int]) -> list[int]:
        """Renew cuts; return the maps whose cuts are others."""
        targets = (self.topology.ends[e][1] for e in edges)
        return settle({*maps, *targets}, self._renew_cuts, self.topology.followers.__getitem__)

    def _renew_cuts(self, i: int) -> bool:
        join = value = None
        stuck = False
        if self.live[i] and self.needed[i]:
            try:
                join, value = cuts_of(self, self, i, self.values)
            except BrokenError:
                stuck = True
        _put(self._stuck, i, stuck)
        before = self.joins.pop(i, None), self.values.pop(i, None)
        if join is not None:
            self.joins[i] = join
        if value is not None:
            self.values[i] = value
        return not (same_cut(before[0], join) and same_cut(before[1], value))

    # Cost

    def _recount(self, maps: Iterable[int], edges: Iterable[int], lost: Iterable[int]) -> None:
        for i in {*maps, *lost}:
            self._count_map(i)
        for e in {*edges, *(e for i in lost for e in self.topology.outgoing[i])}:
            self._count_edge(e)

    def _count_edge(self, e: int) -> None:
        stored, madds = edge_cost(self, e, self.values) if self.active[e] else ({}, 0)
        self._own(e, stored)
        before = self._counted.pop(e, 0)
        self._unknown += (madds is None) - (before is None)
        self._madds += (madds or 0) - (before or 0)
        if madds != 0:
            self._counted[e] = madds

    def _count_map(self, i: int) -> None:
        self._own(~i, map_cost(self.topology, i, self.joins) if self.live[i] and self.needed[i] else {})

    def _own(self, owner: int, stored: Stored) -> None:
        """Count weights once, however many own them."""
        before = self._owned.pop(owner, {})
        if stored:
            self._owned[owner] = stored
        for tensor, size in stored.items():
            self._owners[tensor] += 1
            self._params += size if self._owners[tensor] == 1 else 0
        for tensor, size in before.items():
            self._owners[tensor] -= 1
            if not self._owners[tensor]:
                del self._owners[tensor]
                self._params -= size


def _put(found: set[int], position: int, belongs: bool) -> None:
    """Add a position to a set, or take it out."""
    if belongs:
        found.add(position)
    else:
        found.discard(position)
