"""Which concats can lose a member, whichever or some: the legality of single transitions rests on it."""

from collections.abc import Mapping
from math import gcd, lcm
from typing import NamedTuple

import numpy as np

from natonnx.architecture.cut import carried_cut_rule, find_cut_rule, has_known_sizes, place
from natonnx.architecture.graph import Architecture, ChannelCutRule, Join, State
from natonnx.architecture.liveness import Liveness

__all__ = ["Verdict", "refusals"]


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


def refusals(architecture: Architecture, liveness: Liveness) -> Mapping[int, Verdict]:
    """Judge every concat, in time linear in the architecture's size.

    Args:
        architecture: The architecture.
        liveness: Its null propagation.

    Returns:
        By position of a concat: whether all that read it can bear to lose any of its members, or some, or why none.
    """
    topology = architecture.topology
    if not topology.concats:
        return {}
    origins = _origins(architecture, liveness)
    demands = _demands(architecture, liveness, origins)
    runs: dict[int, int] = {}
    found: dict[int, Verdict] = {}
    for i in topology.concats:
        fmap = topology.maps[i]
        own = None if fmap.axis is None else find_cut_rule(fmap.cut_rules, fmap.axis)
        runs[i] = _run(architecture, i, origins, runs)
        if not has_known_sizes(architecture, i):
            found[i] = Verdict(f"the sizes of the members of {fmap.name!r} are unknown")
        elif own is None:
            found[i] = Verdict(f"the nodes of {fmap.name!r} have no rule for fewer channels")
        else:
            demand = (_FREE if own.out is None else demands[i, own.out]).before(own)
            found[i] = Verdict(demand.reason, demand.tried or runs[i] % demand.unit != 0)
    return found


def _run(
    architecture: Architecture, concat: int, origins: Mapping[tuple[int, int], _Origin], runs: Mapping[int, int]
) -> int:
    """In runs of how many neighbours the channels of a concat go, at least."""
    topology = architecture.topology
    axis = topology.maps[concat].axis
    run = 0
    for e in topology.incoming[concat]:
        source = topology.ends[e][0]
        run = gcd(run, 1 if axis is None else topology.maps[source].size(axis) or 0)
        origin = None if axis is None else origins.get((source, axis))
        if origin is not None:
            known = origin.source in runs and origin.tile == 1
            run = gcd(run, max(1, runs[origin.source] * origin.repeat // origin.unit) if known else 1)
    return run


def _origins(architecture: Architecture, liveness: Liveness) -> Mapping[tuple[int, int], _Origin]:
    """By map and axis along which it may lose channels: where such a cut comes from."""
    topology = architecture.topology
    found: dict[tuple[int, int], _Origin] = {}
    for i in np.flatnonzero(liveness.live & liveness.needed).tolist():
        fmap = topology.maps[i]
        arriving: dict[int, _Origin] = {}
        if fmap.join is Join.OPAQUE:
            sources = topology.fixed_inputs[i]
            for source in sources:
                for axis in _axes(architecture, source):
                    if (source, axis) in found:
                        at = axis if len(sources) == 1 else place(axis)
                        arriving.setdefault(at, found[source, axis])
        elif fmap.join is Join.CONCAT:
            arriving = {} if fmap.axis is None else {fmap.axis: _Origin(i)}
        else:
            edges = [e for e in topology.incoming[i] if liveness.active[e]]
            for e in edges:
                further = topology.further_inputs.get(e, ()) if architecture.states[e] is State.O else ()
                read = (
                    (source, axis) for source in (topology.ends[e][0], *further) for axis in _axes(architecture, source)
                )
                for source, axis in read:
                    rule = carried_cut_rule(architecture, e, axis) if (source, axis) in found else None
                    if rule is not None and rule.out is not None:
                        origin = found[source, axis].through(rule, i)
                        arriving[rule.out] = origin if len(edges) == 1 else _Origin(i)
        for axis, origin in arriving.items():
            own = find_cut_rule(fmap.cut_rules, axis)
            if own is not None and own.out is not None:
                found[i, own.out] = origin.through(own, i)
    return found


def _axes(architecture: Architecture, i: int) -> set[int]:
    return {one.out for one in architecture.topology.maps[i].cut_rules if one.out is not None}


def _demands(
    architecture: Architecture, liveness: Liveness, origins: Mapping[tuple[int, int], _Origin]
) -> Mapping[tuple[int, int], _Demand]:
    """By map and axis along which it may lose channels: what its readers ask of the cut."""
    topology = architecture.topology
    found: dict[tuple[int, int], _Demand] = {}
    entering = [0] * len(topology.maps)
    for e in np.flatnonzero(liveness.active):
        entering[topology.ends[e][1]] += 1
    outputs = {topology.map_index[name] for name in topology.outputs}

    def beyond(target: int, axis: int, *, alone: bool) -> _Demand:
        """What a map asks of a cut at its join."""
        fmap = topology.maps[target]
        if alone and entering[target] > 1:
            return _Demand(f"it is a member of the sum {fmap.name!r}")
        own = find_cut_rule(fmap.cut_rules, axis)
        if own is None:
            return _Demand(f"the nodes of {fmap.name!r} have no rule for fewer channels")
        return (_FREE if own.out is None else found[target, own.out]).before(own)

    def through(e: int, i: int, axis: int) -> _Demand:
        edge, target = topology.edges[e], topology.ends[e][1]
        if topology.maps[target].join is Join.CONCAT:
            same = topology.maps[target].axis == axis
            if not same:
                return _Demand(f"{edge.target!r} joins along another axis")
            return beyond(target, axis, alone=False)
        carried = carried_cut_rule(architecture, e, axis)
        several = architecture.states[e] is State.O and e in topology.further_inputs
        if carried is None or (several and topology.maps[i].name not in carried.alike):
            return _Demand(f"edge {edge.name!r} has no rule for fewer channels")
        asked = (_FREE if carried.out is None else beyond(target, carried.out, alone=True)).before(carried)
        return asked._replace(tried=asked.tried or several)

    def read(reader: int, i: int, axis: int) -> _Demand:
        sources, tried = topology.fixed_inputs[reader], False
        if len(sources) == 1:
            return beyond(reader, axis, alone=False)
        fmap = topology.maps[reader]
        own = find_cut_rule(fmap.cut_rules, place(axis))
        if own is None or topology.maps[i].name not in own.alike:
            return _Demand(f"the node that makes {fmap.name!r} reads it with other tensors")
        for source in sources:
            name = topology.maps[source].name
            at = [one for one in _axes(architecture, source) if place(one) == place(axis) and (source, one) in origins]
            same = all(origins[source, one] == origins[i, axis] for one in at) if (i, axis) in origins else not at
            if source == i or name not in own.alike or (same and (at or name in own.whole)):
                continue
            if not at:
                return _Demand(f"the node that makes {fmap.name!r} reads {name!r} too, which keeps all its channels")
            tried = True
        asked = beyond(reader, place(axis), alone=False)
        return asked._replace(tried=asked.tried or tried)

    for i in reversed(range(len(topology.maps))):
        for axis in _axes(architecture, i):
            asked = [_Demand(f"{topology.maps[i].name!r} is an output of the model")] if i in outputs else []
            asked += [through(e, i, axis) for e in topology.outgoing[i] if liveness.active[e]]
            asked += [
                read(reader, i, axis)
                for reader in dict.fromkeys(topology.fixed_readers[i])
                if liveness.live[reader] and liveness.needed[reader]
            ]
            further = [e for e in topology.further_readers.get(i, ()) if liveness.active[e]]
            asked += [through(e, i, axis) for e in further if architecture.states[e] is State.O]
            reason = next((demand.reason for demand in asked if demand.reason is not None), None)
            unit = lcm(*(demand.unit for demand in asked))
            found[i, axis] = _Demand(reason, unit, any(demand.tried for demand in asked))
    return found
