"""Which feature maps may not die: those that an output, a fixed node or an unyielding concat hangs on.

So does an operation of several inputs, which needs all of them.

The death of a map kills every map that it dominates, all flow from the input being through it.
"""

from collections.abc import Mapping

import numpy as np

from natonnx.architecture.concat_legality import Verdict
from natonnx.architecture.dominance import Dominance
from natonnx.architecture.dominators import Dominators, dominators
from natonnx.architecture.edited import Changes, Edited
from natonnx.architecture.graph import Architecture, Join
from natonnx.architecture.liveness import Liveness
from natonnx.architecture.state import State

__all__ = ["FatalMaps", "fatal_maps"]


def fatal_maps(architecture: Architecture, liveness: Liveness, refused: Mapping[int, Verdict]) -> list[str | None]:
    """Per feature map: why its death alone would break the architecture; None where it would not.

    Args:
        architecture: The architecture.
        liveness: Its null propagation.
        refused: By position of a concat: whether it can lose a member.
    """
    topology = architecture.topology
    count = len(topology.maps)
    tree = dominators(_feeding(architecture, liveness))
    parent = tree.parent
    fatal: list[str | None] = [None] * (count + 1)
    for needed in np.flatnonzero(liveness.needed):
        for source in topology.fixed_inputs[needed]:
            fatal[source] = "which the model's output depends on"
    for e, further in topology.further_inputs.items():
        source, target = topology.ends[e]
        if architecture.states[e].is_operation and liveness.needed[target]:
            for read in (source, *further):
                fatal[read] = fatal[read] or f"which the operation {topology.edges[e].name!r} reads with other tensors"
    for edge, (source, _) in zip(topology.edges, topology.ends, strict=True):
        if edge.kept:
            fatal[source] = fatal[source] or f"which edge {edge.name!r} reads, and {edge.fixed}"
    for name in topology.outputs:
        fatal[topology.map_index[name]] = "which the model's output depends on"
    for i in reversed(range(count)):
        if fatal[i] is not None:
            fatal[parent[i]] = fatal[parent[i]] or fatal[i]
    for i, reason in enumerate(_members(architecture, liveness, refused, tree)):
        fatal[i] = fatal[i] or reason
    return fatal[:count]


def _feeding(architecture: Architecture, liveness: Liveness) -> list[list[int]]:
    """By map: the maps that keep it alive. An opaque map dies only with an input, which is marked fatal itself."""
    topology = architecture.topology
    live = liveness.live.tolist()
    feeding: list[list[int]] = []
    for i, fmap in enumerate(topology.maps):
        fed = live[i] and fmap.join not in (Join.INPUT, Join.OPAQUE)
        entering = [e for e in topology.incoming[i] if e not in topology.empty_members] if fed else []
        sources = [topology.ends[e][0] for e in entering if architecture.states[e] != State.N]
        feeding.append([source for source in sources if live[source]])
    return feeding


def _members(
    architecture: Architecture, liveness: Liveness, refused: Mapping[int, Verdict], tree: Dominators
) -> list[str | None]:
    """Why a map may not die for the sake of a concat that would lose a member and live on without it.

    From each member up the dominator tree, to below the map whose death would kill the concat as a whole.
    """
    topology = architecture.topology
    parent, depth = tree
    marks: list[int | None] = [None] * len(topology.maps)  # the concat that reaches highest up

    def mark(i: int, concat: int) -> None:
        held = marks[i]
        if held is None or depth[parent[concat]] < depth[parent[held]]:
            marks[i] = concat

    for concat in topology.concats:
        if liveness.live[concat] and liveness.needed[concat] and refused[concat].reason:
            for e in topology.incoming[concat]:
                source = topology.ends[e][0]
                if liveness.active[e] and source != parent[concat] and e not in topology.empty_members:
                    mark(source, concat)
    reasons: list[str | None] = [None] * len(topology.maps)
    for i in reversed(range(len(topology.maps))):
        reached = marks[i]
        if reached is None:
            continue
        name = topology.maps[reached].name
        reasons[i] = f"a member of the concat {name!r}, which cannot lose it: {refused[reached].reason}"
        if parent[i] not in (parent[reached], len(topology.maps)):
            mark(parent[i], reached)
    return reasons


class FatalMaps:
    """Tells which maps may not die while edges change, as `fatal_maps` does.

    Args:
        edited: What changes.
        verdicts: By position of a concat: whether it can lose a member, now.
    """

    def __init__(self, edited: Edited, verdicts: Mapping[int, Verdict]) -> None:
        topology = edited.topology
        self._edited, self._topology, self._verdicts = edited, topology, verdicts
        self._tree = Dominance(len(topology.maps))
        for entering in topology.incoming:
            for e in entering:
                if edited.feeding[e]:
                    self._feed(e)
            self._tree.settle()
        for source in [*topology.output_maps, *(topology.ends[e][0] for e in topology.kept)]:
            self._tree.mark(source, 1)
        self._needy: set[int] = set()  # what needs all that it reads: opaque maps, and operations by ~position
        for i in range(len(topology.maps)):
            self._mark_inputs(i)
        for e in topology.further_inputs:
            self._mark_inputs(~e)

    def __contains__(self, i: int) -> bool:
        """Whether the death of a map would break the architecture."""
        return self._tree.has_marks(i) or any(self._is_unyielding(join) for join in self._tree.frontier(i))

    def update(self, changes: Changes) -> None:
        """Take in what has changed."""
        topology = self._topology
        for e in changes.feeding:
            self._feed(e)
        self._tree.settle()
        for i in changes.maps:
            self._mark_inputs(i)
        near = {*changes.edges, *(e for i in changes.maps for e in topology.incoming[i])}
        for e in near & topology.further_inputs.keys():
            self._mark_inputs(~e)

    def _feed(self, e: int) -> None:
        source, target = self._topology.ends[e]
        if self._topology.maps[target].join not in (Join.INPUT, Join.OPAQUE):
            change = self._tree.add if self._edited.feeding[e] else self._tree.remove
            change(source, target)

    def _mark_inputs(self, reader: int) -> None:
        """Mark what an opaque map, or an operation of several inputs, needs while it is needed itself."""
        edited, topology = self._edited, self._topology
        if reader < 0:
            needy = edited.states[~reader].is_operation and edited.needed[topology.ends[~reader][1]]
            sources = topology.read_by[~reader]
        else:
            needy, sources = edited.needed[reader], topology.fixed_inputs[reader]
        if not sources or needy is (reader in self._needy):
            return
        self._needy ^= {reader}
        for source in sources:
            self._tree.mark(source, 1 if needy else -1)

    def _is_unyielding(self, join: int) -> bool:
        """Whether a map is a concat that works and cannot lose a member."""
        verdict = self._verdicts.get(join)
        return verdict is not None and bool(verdict.reason) and self._edited.live[join] and self._edited.needed[join]
