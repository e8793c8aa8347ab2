"""Which concats can lose a member, whichever or some: the legality of single transitions rests on it."""

from collections.abc import Iterable
from math import gcd, lcm
from typing import NamedTuple

from natonnx.architecture.cut import carried_cut_rule, find_cut_rule, has_known_sizes, place
from natonnx.architecture.graph import ChannelCutRule, Join, Stated
from natonnx.architecture.liveness import Flow
from natonnx.architecture.settle import settle

__all__ = ["ConcatLegality", "Verdict"]


class _Origin(NamedTuple):
    """Where the cuts of a tensor come from: tensors of one origin have always lost the same channels.

    Attributes:
        source: The concat; the map itself where several cuts may meet in it.
        unit: Of how many of its channels each one here is made (`ChannelCutRule.unit`).
        repeat: Of how many here each of its channels or runs is the origin.
        tile: How many times all of them stand here.
    """

    source: int
    unit: int = 1
    repeat: int = 1
    tile: int = 1

    def through(self, rule: ChannelCutRule, target: int) -> "_Origin":
        """The origin of what a rule makes of the tensor, in a map."""
        if rule.select is not None or (self.tile > 1 and (rule.unit, rule.repeat) != (1, 1)):
            return _Origin(target)
        unit, repeat = self.unit * rule.unit, self.repeat * rule.repeat
        shared = gcd(unit, repeat)
        return _Origin(self.source, unit // shared, repeat // shared, self.tile * rule.tile)


class _Demand(NamedTuple):
    """What those who read a tensor ask of a cut.

    Attributes:
        reason: Why they cannot bear one.
        unit: The runs in which channels must go.
        tried: Whether it hangs on the cut whether they can bear it.
    """

    reason: str | None
    unit: int = 1
    tried: bool = False

    def before(self, rule: ChannelCutRule) -> "_Demand":
        """What is asked of the tensor that a rule makes this one of."""
        if rule.select is not None or (self.unit > 1 and rule.tile > 1):
            return _Demand(self.reason, tried=True)
        return self._replace(unit=rule.unit * (self.unit // gcd(self.unit, rule.repeat)))


_FREE = _Demand(None)


class Verdict(NamedTuple):
    """Why a concat can lose none of its members, None where it can; and whether each has to be tried."""

    reason: str | None
    tried: bool = False


class ConcatLegality:
    """Judges every concat: at first in time linear in the architecture's size, later where something has changed.

    Args:
        architecture: The architecture.
        flow: Its null propagation.

    Attributes:
        verdicts: By position of a concat: whether all that read it can bear to lose any of its members, or some, or why
            none.
    """

    def __init__(self, architecture: Stated, flow: Flow) -> None:
        self._architecture, self._topology, self._flow = architecture, architecture.topology, flow
        self.verdicts: dict[int, Verdict] = {}
        topology = self._topology
        if not topology.concats:
            return
        self._axes = [tuple({one.out for one in fmap.cut_rules if one.out is not None}) for fmap in topology.maps]
        self._origins: list[dict[int, _Origin]] = [{} for _ in topology.maps]
        self._demands: list[dict[int, _Demand]] = [{} for _ in topology.maps]
        self._entering = [self._active_edges(i) for i in range(len(topology.maps))]
        self._runs: dict[int, int] = {}
        self._tied: dict[int, set[int]] = {}  # by concat: those whose runs hang on its own
        for i in range(len(topology.maps)):
            self._renew_origins(i)
        for i in reversed(range(len(topology.maps))):
            self._renew_demands(i)
        for concat in topology.concats:
            self._renew_run(concat)
            self.verdicts[concat] = self._verdict(concat)

    def update(self, maps: Iterable[int], edges: Iterable[int]) -> None:
        """Judge anew.

        Args:
            maps: Positions of the maps that have become alive, dead, needed or no longer so.
            edges: Positions of the edges that are in another state, or carry something now, or no longer.
        """
        topology = self._topology
        if not topology.concats:
            return
        targets = {topology.ends[e][1] for e in edges}
        asked = {i for e in edges for i in topology.read_by[e]}
        asked.update(i for reader in maps for i in topology.fixed_inputs[reader])
        for target in targets:
            entering = self._active_edges(target)
            if entering != self._entering[target]:
                self._entering[target] = entering
                asked.update(topology.makers[target])
        moved = settle({*maps, *targets}, self._renew_origins, topology.followers.__getitem__)
        asked.update(i for s in moved for reader in topology.fixed_readers[s] for i in topology.fixed_inputs[reader])
        judged = settle(asked, self._renew_demands, topology.makers.__getitem__, backward=True)
        joined = {target for i in moved for target in topology.followers[i] if target in self.verdicts}
        judged += settle(joined, self._renew_run, lambda concat: self._tied.get(concat, ()))
        for i in judged:
            if i in self.verdicts:
                self.verdicts[i] = self._verdict(i)

    def _active_edges(self, target: int) -> int:
        return sum(1 for e in self._topology.incoming[target] if self._flow.active[e])

    def _is_used(self, i: int) -> bool:
        return bool(self._flow.live[i] and self._flow.needed[i])

    def _verdict(self, concat: int) -> Verdict:
        fmap = self._topology.maps[concat]
        own = None if fmap.axis is None else find_cut_rule(fmap.cut_rules, fmap.axis)
        if not has_known_sizes(self._architecture, concat):
            return Verdict(f"the sizes of the members of {fmap.name!r} are unknown")
        if own is None:
            return Verdict(f"the nodes of {fmap.name!r} have no rule for fewer channels")
        demand = (_FREE if own.out is None else self._demands[concat][own.out]).before(own)
        return Verdict(demand.reason, demand.tried or self._runs[concat] % demand.unit != 0)

    def _renew_run(self, concat: int) -> bool:
        """In runs of how many neighbours the channels of a concat go, at least."""
        topology, runs = self._topology, self._runs
        axis = topology.maps[concat].axis
        run = 0
        for e in topology.incoming[concat]:
            source = topology.ends[e][0]
            run = gcd(run, 1 if axis is None else topology.maps[source].size(axis) or 0)
            origin = None if axis is None else self._origins[source].get(axis)
            if origin is not None:
                self._tied.setdefault(origin.source, set()).add(concat)
                known = origin.source in runs and origin.tile == 1
                run = gcd(run, max(1, runs[origin.source] * origin.repeat // origin.unit) if known else 1)
        before, runs[concat] = runs.get(concat), run
        return run != before

    def _renew_origins(self, i: int) -> bool:
        """By axis along which a map may lose channels: where such a cut comes from."""
        found: dict[int, _Origin] = {}
        if self._is_used(i):
            fmap = self._topology.maps[i]
            for axis, origin in self._arriving(i).items():
                own = find_cut_rule(fmap.cut_rules, axis)
                if own is not None and own.out is not None:
                    found[own.out] = origin.through(own, i)
        before, self._origins[i] = self._origins[i], found
        return found != before

    def _arriving(self, i: int) -> dict[int, _Origin]:
        """The origins of cuts at the join of a map, by axis."""
        topology, origins = self._topology, self._origins
        fmap = topology.maps[i]
        arriving: dict[int, _Origin] = {}
        if fmap.join is Join.OPAQUE:
            sources = topology.fixed_inputs[i]
            for source in sources:
                for axis in self._axes[source]:
                    if axis in origins[source]:
                        at = axis if len(sources) == 1 else place(axis)
                        arriving.setdefault(at, origins[source][axis])
            return arriving
        if fmap.join is Join.CONCAT:
            return {} if fmap.axis is None else {fmap.axis: _Origin(i)}
        edges = [e for e in topology.incoming[i] if self._flow.active[e]]
        for e in edges:
            carries = self._architecture.states[e].is_operation
            for source in topology.read_by[e] if carries else topology.read_by[e][:1]:
                for axis in self._axes[source]:
                    rule = carried_cut_rule(self._architecture, e, axis) if axis in origins[source] else None
                    if rule is not None and rule.out is not None:
                        origin = origins[source][axis].through(rule, i)
                        arriving[rule.out] = origin if len(edges) == 1 else _Origin(i)
        return arriving

    def _renew_demands(self, i: int) -> bool:
        """By axis along which a map may lose channels: what its readers ask of the cut."""
        found = {axis: self._demand(i, axis) for axis in self._axes[i]}
        before, self._demands[i] = self._demands[i], found
        return found != before

    def _demand(self, i: int, axis: int) -> _Demand:
        topology, active = self._topology, self._flow.active
        asked = [_Demand(f"{topology.maps[i].name!r} is an output of the model")] if i in topology.output_maps else []
        asked += [self._through(e, i, axis) for e in topology.outgoing[i] if active[e]]
        readers = dict.fromkeys(topology.fixed_readers[i])
        asked += [self._read(reader, i, axis) for reader in readers if self._is_used(reader)]
        further = [e for e in topology.further_readers.get(i, ()) if active[e]]
        asked += [self._through(e, i, axis) for e in further if self._architecture.states[e].is_operation]
        reason = next((demand.reason for demand in asked if demand.reason is not None), None)
        unit = lcm(*(demand.unit for demand in asked))
        return _Demand(reason, unit, any(demand.tried for demand in asked))

    def _beyond(self, target: int, axis: int, *, alone: bool) -> _Demand:
        """What a map asks of a cut at its join."""
        fmap = self._topology.maps[target]
        if alone and self._entering[target] > 1:
            return _Demand(f"it is a member of the sum {fmap.name!r}")
        own = find_cut_rule(fmap.cut_rules, axis)
        if own is None:
            return _Demand(f"the nodes of {fmap.name!r} have no rule for fewer channels")
        return (_FREE if own.out is None else self._demands[target][own.out]).before(own)

    def _through(self, e: int, i: int, axis: int) -> _Demand:
        """What an edge asks of a cut of a map that it reads."""
        topology = self._topology
        edge, target = topology.edges[e], topology.ends[e][1]
        if topology.maps[target].join is Join.CONCAT:
            same = topology.maps[target].axis == axis
            if not same:
                return _Demand(f"{edge.target!r} joins along another axis")
            return self._beyond(target, axis, alone=False)
        carried = carried_cut_rule(self._architecture, e, axis)
        several = self._architecture.states[e].is_operation and e in topology.further_inputs
        if carried is None or (several and topology.maps[i].name not in carried.alike):
            return _Demand(f"edge {edge.name!r} has no rule for fewer channels")
        asked = (_FREE if carried.out is None else self._beyond(target, carried.out, alone=True)).before(carried)
        return asked._replace(tried=asked.tried or several)

    def _read(self, reader: int, i: int, axis: int) -> _Demand:
        """What a node that is kept as it is asks of a cut of a map that it reads."""
        topology, origins = self._topology, self._origins
        sources, tried = topology.fixed_inputs[reader], False
        if len(sources) == 1:
            return self._beyond(reader, axis, alone=False)
        fmap = topology.maps[reader]
        own = find_cut_rule(fmap.cut_rules, place(axis))
        if own is None or topology.maps[i].name not in own.alike:
            return _Demand(f"the node that makes {fmap.name!r} reads it with other tensors")
        mine = origins[i].get(axis)
        for source in sources:
            name = topology.maps[source].name
            theirs = [
                origins[source][one]
                for one in self._axes[source]
                if place(one) == place(axis) and one in origins[source]
            ]
            same = not theirs if mine is None else all(origin == mine for origin in theirs)
            if source == i or name not in own.alike or (same and (theirs or name in own.whole)):
                continue
            if not theirs:
                return _Demand(f"the node that makes {fmap.name!r} reads {name!r} too, which keeps all its channels")
            tried = True
        asked = self._beyond(reader, place(axis), alone=False)
        return asked._replace(tried=asked.tried or tried)
