"""Channels that are cut: a dead member leaves its concat, and whoever reads the concat loses its channels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from natonnx.architecture.graph import Architecture, ChannelCutRule, Join, Stated, Topology
from natonnx.architecture.liveness import Flow, Liveness

__all__ = [
    "BrokenError",
    "Cut",
    "Cuts",
    "carried_cut_rule",
    "cuts",
    "cuts_of",
    "find_cut_rule",
    "has_known_sizes",
    "place",
    "same_cut",
]


class Cut(NamedTuple):
    """The channels that a tensor has kept: one flag an original channel along an axis, not all of them set.

    A negative axis, ~k, says that the tensor is a list of sizes, whose element k counts the channels.
    """

    axis: int
    kept: NDArray[np.bool_]

    def scaled(self, size: int) -> int:
        """What is left of a size that is proportional to the number of channels."""
        return size * int(self.kept.sum()) // self.kept.size

    def chosen(self, rule: ChannelCutRule) -> "Cut":
        """The cut of the channels that nodes choose."""
        return self if rule.select is None else Cut(self.axis, self.kept[list(rule.select)])

    def saved(self, rule: ChannelCutRule) -> int:
        """The multiply-adds that nodes no longer do."""
        return rule.madds - self.chosen(rule).scaled(rule.madds)

    def through(self, rule: ChannelCutRule) -> "Cut | None":
        """The cut of what nodes make of this tensor; None where that is whole."""
        kept = self.chosen(rule).kept
        if rule.out is None or kept.all():
            return None
        return Cut(rule.out, np.tile(np.repeat(kept[:: rule.unit], rule.repeat), rule.tile))

    def fits(self, unit: int) -> bool:
        """Whether channels went in whole runs of so many neighbours."""
        runs = self.kept.reshape(-1, unit)
        return bool((runs == runs[:, :1]).all())


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


class BrokenError(Exception):
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
    used = liveness.live & liveness.needed
    fed = (e for concat in topology.concats if used[concat] for e in topology.incoming[concat])
    if liveness.active[list(fed)].all():  # no member is lost, and a cut begins nowhere else
        return Cuts(joins, values, None)
    try:
        for i in np.flatnonzero(used).tolist():
            join, value = cuts_of(architecture, liveness, i, values)
            if join is not None:
                joins[i] = join
            if value is not None:
                values[i] = value
    except BrokenError as error:
        return Cuts(joins, values, str(error))
    return Cuts(joins, values, None)


def cuts_of(architecture: Stated, flow: Flow, i: int, values: Mapping[int, Cut]) -> tuple[Cut | None, Cut | None]:
    """The cut at the join of a map that is alive and needed, and the cut of its value.

    Args:
        architecture: The architecture.
        flow: Its null propagation.
        i: The position of the map.
        values: The cuts of the values before it.

    Raises:
        BrokenError: If such a cut cannot be carried out.
    """
    fmap = architecture.topology.maps[i]
    cut = _at_join(architecture, flow, i, values)
    if cut is None:
        return None, None
    own = find_cut_rule(fmap.cut_rules, cut.axis)
    if own is None:
        raise BrokenError(f"the nodes of {fmap.name!r} have no rule for fewer channels")
    after = _through(cut, own, f"the nodes of {fmap.name!r}")
    if after is not None and i in architecture.topology.output_maps:
        raise BrokenError(f"the model's output {fmap.name!r} would lose channels")
    return cut, after


def _at_join(architecture: Stated, flow: Flow, i: int, values: Mapping[int, Cut]) -> Cut | None:
    topology = architecture.topology
    fmap = topology.maps[i]
    if fmap.join is Join.OPAQUE:
        return _opaque(architecture, i, values)
    if fmap.join is Join.CONCAT:
        return _concat(architecture, flow, i, values)
    members = [_delivered(architecture, e, values) for e in topology.incoming[i] if flow.active[e]]
    first = members[0] if members else None
    if any(not same_cut(member, first) for member in members):
        raise BrokenError(f"the members of the sum {fmap.name!r} would have lost different channels")
    return first


def _opaque(architecture: Stated, i: int, values: Mapping[int, Cut]) -> Cut | None:
    topology = architecture.topology
    fmap = topology.maps[i]
    return _meeting(topology, topology.fixed_inputs[i], values, fmap.cut_rules, f"the node that makes {fmap.name!r}")


def _meeting(
    topology: Topology, sources: Sequence[int], values: Mapping[int, Cut], rules: Iterable[ChannelCutRule], what: str
) -> Cut | None:
    """The cut of those of several maps that have lost channels, which nodes read together."""
    lost = {source: values[source] for source in sources if source in values}
    if not lost:
        return None
    first = next(iter(lost.values()))
    first = first._replace(axis=place(first.axis)) if len(sources) > 1 else first
    own = find_cut_rule(rules, first.axis)
    if len(sources) > 1 and own is not None:
        alike = all(place(cut.axis) == first.axis and np.array_equal(cut.kept, first.kept) for cut in lost.values())
        names = {topology.maps[source].name for source in lost}
        if not (alike and own.alike - own.whole <= names <= own.alike):
            raise BrokenError(f"what {what} reads would not have lost the same channels")
    return first


def place(axis: int) -> int:
    """Where channels stand that were cut: the axis, or what it is an axis of where the tensor is a list of sizes."""
    return axis if axis >= 0 else ~axis


def _concat(architecture: Stated, flow: Flow, i: int, values: Mapping[int, Cut]) -> Cut | None:
    topology = architecture.topology
    fmap = topology.maps[i]
    parts: list[NDArray[np.bool_]] = []
    for e in topology.incoming[i]:
        source = topology.ends[e][0]
        size = None if fmap.axis is None else topology.maps[source].size(fmap.axis)
        cut = values.get(source) if flow.active[e] else None
        if cut is not None and cut.axis != fmap.axis:
            raise BrokenError(f"a member of the concat {fmap.name!r} would be shorter along another axis")
        parts.append(cut.kept if cut else np.full(1 if size is None else size, bool(flow.active[e])))
    kept = np.concatenate(parts)
    if kept.all():
        return None
    if fmap.axis is None or not has_known_sizes(architecture, i):
        raise BrokenError(f"the sizes of the members of {fmap.name!r} are unknown")
    return Cut(fmap.axis, kept)


def has_known_sizes(architecture: Stated, concat: int) -> bool:
    """Whether it is known which channels of a concat are whose."""
    topology = architecture.topology
    axis = topology.maps[concat].axis
    sources = (topology.maps[topology.ends[e][0]] for e in topology.incoming[concat])
    return axis is not None and all(source.size(axis) is not None for source in sources)


def _delivered(architecture: Stated, e: int, values: Mapping[int, Cut]) -> Cut | None:
    topology = architecture.topology
    edge, source = topology.edges[e], topology.ends[e][0]
    what, cut = f"edge {edge.name!r}", values.get(source)
    further = topology.further_inputs.get(e, ()) if architecture.states[e].is_operation else ()
    if further:
        rules = edge.operations[architecture.states[e]].cut_rules
        cut = _meeting(topology, (source, *further), values, rules, what)
    if cut is None:
        return None
    carried = carried_cut_rule(architecture, e, cut.axis)
    if carried is None or (source not in values and (carried.weights or carried.madds)):
        raise BrokenError(f"{what} has no rule for fewer channels")
    return _through(cut, carried, what)


def _through(cut: Cut, rule: ChannelCutRule, what: str) -> Cut | None:
    if rule.select is None and not cut.fits(rule.unit):
        raise BrokenError(f"{what} can lose whole groups of {rule.unit} channels only")
    after = cut.through(rule)
    if after is not None and not after.kept.any():
        raise BrokenError(f"of the channels that {what} take, none would be left")
    return after


def carried_cut_rule(architecture: Stated, e: int, axis: int) -> ChannelCutRule | None:
    """What an edge does with a cut in its present state; None where it has no rule."""
    edge = architecture.topology.edges[e]
    operation = edge.operations.get(architecture.states[e])
    if operation is not None:
        return find_cut_rule(operation.cut_rules, axis)
    skip = edge.skip
    if skip is None or skip.pad_channels or (skip.pool and axis != 1):
        return None
    return ChannelCutRule(axis, axis)


def same_cut(a: Cut | None, b: Cut | None) -> bool:
    """Whether two tensors have lost the same channels."""
    if a is None or b is None:
        return a is b
    return a.axis == b.axis and np.array_equal(a.kept, b.kept)
