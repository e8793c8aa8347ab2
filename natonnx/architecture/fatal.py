"""Which feature maps may not die: those that an output, a fixed node or an unyielding concat hangs on.

The death of a map kills every map that it dominates, all flow from the input being through it.
"""

import numpy as np

from natonnx.architecture.cut import Tolerance, find_passage, has_known_sizes
from natonnx.architecture.dominators import Dominators, dominators
from natonnx.architecture.flow import Flow
from natonnx.architecture.graph import Architecture, Join, State

__all__ = ["fatal_maps", "refusal"]


def fatal_maps(architecture: Architecture, state: Flow, tolerances: Tolerance) -> list[str | None]:
    """Per feature map: why its death alone would break the architecture; None where it would not.

    Args:
        architecture: The architecture.
        state: Its null propagation.
        tolerances: Which maps can bear to lose channels.
    """
    topology = architecture.topology
    count = len(topology.maps)
    tree = dominators(_feeding(architecture, state))
    parent = tree.parent
    fatal: list[str | None] = [None] * (count + 1)
    for needed in np.flatnonzero(state.needed):
        for source in topology.fixed_inputs[needed]:
            fatal[source] = "which the model's output depends on"
    for name in topology.outputs:
        fatal[topology.map_index[name]] = "which the model's output depends on"
    for i in reversed(range(count)):
        if fatal[i] is not None:
            fatal[parent[i]] = fatal[parent[i]] or fatal[i]
    for i, reason in enumerate(_members(architecture, state, tolerances, tree)):
        fatal[i] = fatal[i] or reason
    return fatal[:count]


def _feeding(architecture: Architecture, state: Flow) -> list[list[int]]:
    """By map: the maps that keep it alive. An opaque map dies only with an input, which is marked fatal itself."""
    topology = architecture.topology
    live = state.live.tolist()
    feeding: list[list[int]] = []
    for i, fmap in enumerate(topology.maps):
        fed = live[i] and fmap.join not in (Join.INPUT, Join.OPAQUE)
        edges = topology.incoming[i] if fed else ()
        sources = [topology.ends[e][0] for e in edges if architecture.states[e] is not State.N]
        feeding.append([source for source in sources if live[source]])
    return feeding


def _members(architecture: Architecture, state: Flow, tolerances: Tolerance, tree: Dominators) -> list[str | None]:
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
        if state.live[concat] and state.needed[concat] and refusal(architecture, concat, tolerances):
            for e in topology.incoming[concat]:
                source = topology.ends[e][0]
                if state.active[e] and source != parent[concat]:
                    mark(source, concat)
    reasons: list[str | None] = [None] * len(topology.maps)
    for i in reversed(range(len(topology.maps))):
        reached = marks[i]
        if reached is None:
            continue
        why = refusal(architecture, reached, tolerances)
        reasons[i] = f"a member of the concat {topology.maps[reached].name!r}, which cannot lose it: {why}"
        if parent[i] not in (parent[reached], len(topology.maps)):
            mark(parent[i], reached)
    return reasons


def refusal(architecture: Architecture, concat: int, tolerances: Tolerance) -> str | None:
    """Why a concat cannot lose a member; None where it can."""
    fmap = architecture.topology.maps[concat]
    if fmap.axis is None or not has_known_sizes(architecture, concat):
        return f"the sizes of the members of {fmap.name!r} are unknown"
    own = find_passage(fmap.passages, fmap.axis)
    if own is None:
        return f"the nodes of {fmap.name!r} have no rule for fewer channels"
    return None if own.out is None else tolerances.get((concat, own.out))
