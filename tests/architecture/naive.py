"""What the paper's rules say, spelled out without regard to speed; shares no code with natonnx."""

from collections.abc import Collection
from typing import NamedTuple

from natonnx.architecture import Architecture, Join, State

__all__ = [
    "TRANSITIONS",
    "Counts",
    "active",
    "broken",
    "change",
    "cost",
    "grows",
    "illegal",
    "live",
    "needed",
    "single_is_legal",
    "walk_options",
]

TRANSITIONS = {State.O: [State.S, State.N], State.S: [State.N], State.N: [State.S]}


class Counts(NamedTuple):
    params: int
    madds: int | None


def change(architecture: Architecture, edge: int, state: State) -> Architecture:
    """The architecture with one edge in another state."""
    states = list(architecture.states)
    states[edge] = state
    return Architecture(architecture.topology, tuple(states))


def live(architecture: Architecture, killed: Collection[str] = ()) -> set[str]:
    """Names of the maps that receive something, by repeating the rule until nothing changes."""
    found: set[str] = set()
    while True:
        more = set(found)
        for fmap in architecture.topology.maps:
            feeds = {
                edge.source
                for edge, state in zip(architecture.topology.edges, architecture.states, strict=True)
                if edge.target == fmap.name and state != "N"
            }
            receives = {
                Join.INPUT: True,
                Join.OPAQUE: set(fmap.inputs) <= found,
                Join.SINGLE: bool(feeds & found),
                Join.SUM: bool(feeds & found),
            }
            if receives[fmap.join] and fmap.name not in killed:
                more.add(fmap.name)
        if more == found:
            return found
        found = more


def needed(architecture: Architecture) -> set[str]:
    """Names of the maps that an output depends on, by repeating the rule until nothing changes."""
    found = set(architecture.topology.outputs)
    while True:
        more = set(found)
        for edge, state in zip(architecture.topology.edges, architecture.states, strict=True):
            if state != "N" and edge.target in found:
                more.add(edge.source)
        for fmap in architecture.topology.maps:
            if fmap.name in found:
                more.update(fmap.inputs)
        if more == found:
            return found
        found = more


def active(architecture: Architecture) -> list[bool]:
    """Per edge, whether it carries something that is used."""
    alive, wanted = live(architecture), needed(architecture)
    pairs = zip(architecture.topology.edges, architecture.states, strict=True)
    return [state != "N" and edge.source in alive and edge.target in wanted for edge, state in pairs]


def broken(architecture: Architecture, killed: Collection[str] = ()) -> bool:
    """Whether an output, or a fixed node that an output depends on, receives nothing."""
    alive = live(architecture, killed)
    vital = set(architecture.topology.outputs)
    for fmap in architecture.topology.maps:
        if fmap.join == "opaque" and fmap.name in needed(architecture):
            vital.update({fmap.name, *fmap.inputs})
    return not vital <= alive


def cost(architecture: Architecture) -> Counts:
    """Parameters, each tensor once, and multiply-adds of what is used."""
    tensors: set[tuple[str, int]] = set()
    madds: list[int | None] = []
    for edge, state, used in zip(architecture.topology.edges, architecture.states, active(architecture), strict=True):
        if state == "O" and used:
            assert edge.operation is not None
            tensors |= set(edge.operation.weights)
            madds.append(edge.operation.madds)
    for fmap in architecture.topology.maps:
        if fmap.name in live(architecture) and fmap.name in needed(architecture):
            tensors |= set(fmap.weights)
    known = [count for count in madds if count is not None]
    return Counts(sum(size for _, size in tensors), sum(known) if len(known) == len(madds) else None)


def grows(before: Counts, after: Counts) -> bool:
    """Whether a count grows; one that was unknown before cannot be seen to."""
    if after.params > before.params:
        return True
    return before.madds is not None and (after.madds is None or after.madds > before.madds)


def illegal(alpha: Architecture, beta: Architecture) -> str | None:
    """Which rule α breaks as a whole: "transition", "broken" or "cost"; None if it is legal."""
    for before, after, used in zip(beta.states, alpha.states, active(beta), strict=True):
        if after != before and (after not in TRANSITIONS[before] or not (used or before == "N")):
            return "transition"
    if broken(alpha):
        return "broken"
    return "cost" if grows(cost(beta), cost(alpha)) else None


def single_is_legal(architecture: Architecture, edge: int, after: State, origin: Architecture | None = None) -> bool:
    """Whether one edge may make one transition that exists.

    What carries nothing stays as it is. Null is to be undone nowhere: an added skip joins two maps that are used. In
    the middle of a larger transformation the map that it enters may have lost its other inputs just now, so what counts
    is whether it lived at the origin.
    """
    if after == "S" and architecture.topology.edges[edge].skip is None:
        return False
    if architecture.states[edge] != "N" and not active(architecture)[edge]:
        return False
    if architecture.states[edge] == "N":
        source, target = architecture.topology.edges[edge].source, architecture.topology.edges[edge].target
        joinable = {source, target} <= needed(architecture)
        return joinable and source in live(architecture) and target in live(origin or architecture)
    return not broken(change(architecture, edge, after))


def walk_options(architecture: Architecture, edge: int, origin: Architecture) -> list[State]:
    """What a policy may choose for one edge in the middle of a draw."""
    current = architecture.states[edge]
    moves = [after for after in TRANSITIONS[current] if single_is_legal(architecture, edge, after, origin)]
    return [state for state in State if state in (current, *moves)]
