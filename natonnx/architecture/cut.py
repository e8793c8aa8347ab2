"""Channels that are cut: a dead member leaves its concat, and whoever reads the concat loses its channels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from natonnx.architecture.graph import Architecture, ChannelCutRule, FeatureMap, Join, State
from natonnx.architecture.liveness import Liveness

__all__ = ["Cut", "Cuts", "carried_cut_rule", "cuts", "find_cut_rule", "has_known_sizes"]


class Cut(NamedTuple):
    """The channels that a tensor has kept: one flag an original channel along an axis, not all of them set."""

    axis: int
    kept: NDArray[np.bool_]

    def scaled(self, size: int) -> int:
        """What is left of a size that is proportional to the number of channels."""
        return size * int(self.kept.sum()) // self.kept.size

    def through(self, rule: ChannelCutRule) -> "Cut | None":
        """The cut of what nodes make of this tensor; None where they absorb it."""
        return None if rule.out is None else Cut(rule.out, np.repeat(self.kept, rule.repeat))


@dataclass(frozen=True)
class Cuts:
    """What the maps of an architecture have lost.

    Attributes:
        joins: By position of a map: the cut at its join (of an opaque map: at the input of its node).
        values: By position of a map: the cut of the value that its readers see. Maps that are whole are absent.
        broken: Why the architecture cannot run; None where it can.
    """

    joins: Mapping[int, Cut]
    values: Mapping[int, Cut]
    broken: str | None


class _BrokenError(Exception):
    """A cut that cannot be carried out."""


def find_cut_rule(cut_rules: Iterable[ChannelCutRule], axis: int) -> ChannelCutRule | None:
    """The rule of a cut along an axis, if there is one."""
    return next((one for one in cut_rules if one.axis == axis), None)


def cuts(architecture: Architecture, liveness: Liveness) -> Cuts:
    """Follow every lost member of a concat to where it is absorbed.

    Args:
        architecture: The architecture.
        liveness: Its null propagation.
    """
    joins: dict[int, Cut] = {}
    values: dict[int, Cut] = {}
    topology = architecture.topology
    if not topology.concats:
        return Cuts(joins, values, None)
    outputs = {topology.map_index[name] for name in topology.outputs}
    try:
        for i in np.flatnonzero(liveness.live & liveness.needed).tolist():
            fmap = topology.maps[i]
            cut = _at_join(architecture, liveness, i, values)
            if cut is None:
                continue
            own = find_cut_rule(fmap.cut_rules, cut.axis)
            if own is None:
                raise _BrokenError(f"the nodes of {fmap.name!r} have no rule for fewer channels")
            joins[i] = cut
            after = cut.through(own)
            if after is not None:
                values[i] = after
                if i in outputs:
                    raise _BrokenError(f"the model's output {fmap.name!r} would lose channels")
    except _BrokenError as error:
        return Cuts(joins, values, str(error))
    return Cuts(joins, values, None)


def _at_join(architecture: Architecture, liveness: Liveness, i: int, values: Mapping[int, Cut]) -> Cut | None:
    topology = architecture.topology
    fmap = topology.maps[i]
    if fmap.join is Join.OPAQUE:
        sources = topology.fixed_inputs[i]
        lost = [values[source] for source in sources if source in values]
        if lost and len(sources) > 1:
            raise _BrokenError(f"the node that makes {fmap.name!r} has no rule for fewer channels")
        return lost[0] if lost else None
    if fmap.join is Join.CONCAT:
        return _concat(architecture, liveness, i, values)
    members = [_delivered(architecture, e, values) for e in topology.incoming[i] if liveness.active[e]]
    first = members[0] if members else None
    if any(not _same(member, first) for member in members):
        raise _BrokenError(f"the members of the sum {fmap.name!r} would have lost different channels")
    return first


def _concat(architecture: Architecture, liveness: Liveness, i: int, values: Mapping[int, Cut]) -> Cut | None:
    topology = architecture.topology
    axis = topology.maps[i].axis
    parts: list[NDArray[np.bool_]] = []
    for e in topology.incoming[i]:
        source = topology.ends[e][0]
        size = member_size(topology.maps[source], axis)
        cut = values.get(source) if liveness.active[e] else None
        if cut is not None and cut.axis != axis:
            raise _BrokenError(f"a member of the concat {topology.maps[i].name!r} would be shorter along another axis")
        parts.append(cut.kept if cut is not None else np.full(size or 1, bool(liveness.active[e])))
    kept = np.concatenate(parts)
    if kept.all():
        return None
    if axis is None or not has_known_sizes(architecture, i):
        raise _BrokenError(f"the sizes of the members of {topology.maps[i].name!r} are unknown")
    return Cut(axis, kept)


def has_known_sizes(architecture: Architecture, concat: int) -> bool:
    """Whether it is known which channels of a concat are whose."""
    topology = architecture.topology
    axis = topology.maps[concat].axis
    sources = (topology.maps[topology.ends[e][0]] for e in topology.incoming[concat])
    return axis is not None and all(member_size(source, axis) is not None for source in sources)


def member_size(source: FeatureMap, axis: int | None) -> int | None:
    """How many channels a map lends to a concat along an axis; None where that is not known."""
    size = source.shape[axis] if axis is not None and axis < len(source.shape) else None
    return size if isinstance(size, int) else None


def _delivered(architecture: Architecture, e: int, values: Mapping[int, Cut]) -> Cut | None:
    edge = architecture.topology.edges[e]
    if architecture.states[e] is State.O:
        further = architecture.topology.further_inputs.get(e, ())
        if not values.keys().isdisjoint(further):
            raise _BrokenError(f"edge {edge.name!r} has no rule for fewer channels")
    cut = values.get(architecture.topology.ends[e][0])
    if cut is None:
        return None
    carried = carried_cut_rule(architecture, e, cut.axis)
    if carried is None:
        raise _BrokenError(f"edge {edge.name!r} has no rule for fewer channels")
    return cut.through(carried)


def carried_cut_rule(architecture: Architecture, e: int, axis: int) -> ChannelCutRule | None:
    """What an edge does with a cut in its present state; None where it has no rule."""
    edge = architecture.topology.edges[e]
    if architecture.states[e] is State.O and edge.operation is not None:
        return find_cut_rule(edge.operation.cut_rules, axis)
    skip = edge.skip
    if skip is None or skip.pad_channels or (skip.pool and axis != 1):
        return None
    return ChannelCutRule(axis, axis)


def _same(a: Cut | None, b: Cut | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.axis == b.axis and np.array_equal(a.kept, b.kept)
