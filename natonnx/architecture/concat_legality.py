"""Which concats can lose a member, whatever channels that takes: the legality of single transitions rests on it."""

from collections.abc import Mapping

import numpy as np

from natonnx.architecture.cut import carried_cut_rule, find_cut_rule, has_known_sizes
from natonnx.architecture.graph import Architecture, Join, State
from natonnx.architecture.liveness import Liveness

__all__ = ["refusals"]


def refusals(architecture: Architecture, liveness: Liveness) -> Mapping[int, str | None]:
    """Judge every concat, in time linear in the architecture's size.

    Args:
        architecture: The architecture.
        liveness: Its null propagation.

    Returns:
        By position of a concat: None where all that read it can bear to lose any of its channels, else why not.
    """
    topology = architecture.topology
    if not topology.concats:
        return {}
    refused = _cut_refusals(architecture, liveness)
    found: dict[int, str | None] = {}
    for i in topology.concats:
        fmap = topology.maps[i]
        own = None if fmap.axis is None else find_cut_rule(fmap.cut_rules, fmap.axis)
        if not has_known_sizes(architecture, i):
            found[i] = f"the sizes of the members of {fmap.name!r} are unknown"
        elif own is None:
            found[i] = f"the nodes of {fmap.name!r} have no rule for fewer channels"
        else:
            found[i] = None if own.out is None else refused[i, own.out]
    return found


def _cut_refusals(architecture: Architecture, liveness: Liveness) -> Mapping[tuple[int, int], str | None]:
    """By map and axis along which it may lose channels: why its readers cannot bear that; None where they can."""
    topology = architecture.topology
    found: dict[tuple[int, int], str | None] = {}
    entering = [0] * len(topology.maps)
    for e in np.flatnonzero(liveness.active):
        entering[topology.ends[e][1]] += 1
    outputs = {topology.map_index[name] for name in topology.outputs}

    def beyond(target: int, axis: int, *, alone: bool) -> str | None:
        """Whether a map can bear a cut at its join."""
        fmap = topology.maps[target]
        if alone and entering[target] > 1:
            return f"it is a member of the sum {fmap.name!r}"
        own = find_cut_rule(fmap.cut_rules, axis)
        if own is None:
            return f"the nodes of {fmap.name!r} have no rule for fewer channels"
        return None if own.out is None else found[target, own.out]

    def through(e: int, axis: int) -> str | None:
        edge, target = topology.edges[e], topology.ends[e][1]
        if topology.maps[target].join is Join.CONCAT:
            same = topology.maps[target].axis == axis
            return beyond(target, axis, alone=False) if same else f"{edge.target!r} joins along another axis"
        carried = carried_cut_rule(architecture, e, axis)
        if carried is None:
            return f"edge {edge.name!r} has no rule for fewer channels"
        return None if carried.out is None else beyond(target, carried.out, alone=True)

    def read(reader: int, axis: int) -> str | None:
        if len(topology.fixed_inputs[reader]) > 1:
            return f"the node that makes {topology.maps[reader].name!r} reads it with other tensors"
        return beyond(reader, axis, alone=False)

    for i in reversed(range(len(topology.maps))):
        for axis in {one.out for one in topology.maps[i].cut_rules if one.out is not None}:
            reasons = [f"{topology.maps[i].name!r} is an output of the model"] if i in outputs else []
            reasons += filter(None, (through(e, axis) for e in topology.outgoing[i] if liveness.active[e]))
            readers = [
                reader for reader in topology.fixed_readers[i] if liveness.live[reader] and liveness.needed[reader]
            ]
            reasons += filter(None, (read(reader, axis) for reader in readers))
            further = [e for e in topology.further_readers.get(i, ()) if liveness.active[e]]
            operations = (topology.edges[e].name for e in further if architecture.states[e] is State.O)
            reasons += [f"edge {name!r} has no rule for fewer channels" for name in operations]
            found[i, axis] = reasons[0] if reasons else None
    return found
