"""The transitions O→S, O→N, S→N and N→S: which are legal and why not, and edit lists as data.

One function owns each question: `legal_transitions` judges single transitions, `violation` a whole α.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from natonnx.architecture.cost import cost
from natonnx.architecture.flow import Flow, fatal_maps, flow
from natonnx.architecture.graph import Architecture, State
from natonnx.errors import InputError

__all__ = [
    "ALLOWED",
    "Edit",
    "TransitionError",
    "apply_edits",
    "edits_between",
    "legal_transitions",
    "transition_mask",
    "violation",
]

ALLOWED: Mapping[State, tuple[State, ...]] = {
    State.O: (State.S, State.N),
    State.S: (State.N,),
    State.N: (State.S,),
}
"""The paper's transitions: they lower the cost, and N→S is all but free. S→O and N→O do not exist."""


class TransitionError(InputError):
    """An edit list that does not fit the architecture, or whose result is illegal."""


class Edit(NamedTuple):
    """One transition of one edge."""

    edge: str
    before: State
    after: State


def legal_transitions(architecture: Architecture, origin: Flow | None = None) -> tuple[Mapping[State, str | None], ...]:
    """Judge every single transition of every edge, in time linear in the architecture's size.

    Args:
        architecture: The architecture.
        origin: Null propagation of the β that it comes from by transitions, where there is one: a map that was alive
            there may be fed again, since nothing comes back but what β paid for.

    Returns:
        Per edge: each state it may be asked to become, mapped to None where that is legal, else to the reason.
    """
    topology = architecture.topology
    state = flow(architecture)
    live, needed, fatal = (flags.tolist() for flags in (state.live, state.needed, fatal_maps(architecture, state)))
    revivable = (origin or state).live.tolist()
    carrying = [0] * len(topology.maps)
    for e, (source, target) in enumerate(topology.ends):
        carrying[target] += architecture.states[e] is not State.N and live[source]
    verdicts: list[Mapping[State, str | None]] = []
    for e, (edge, (source, target)) in enumerate(zip(topology.edges, topology.ends, strict=True)):
        current = architecture.states[e]
        verdict: dict[State, str | None] = {}
        for wanted in ALLOWED[current]:
            reason = None
            if wanted is State.S and edge.skip is None:
                reason = edge.no_skip
            elif current is State.N and not (live[source] and needed[source] and revivable[target] and needed[target]):
                reason = "it would revive a feature map that null has removed"
            elif wanted is State.N and live[source] and carrying[target] == 1 and fatal[target]:
                reason = f"nothing else feeds {edge.target!r}, which the model's output depends on"
            verdict[wanted] = reason
        verdicts.append(verdict)
    return tuple(verdicts)


def transition_mask(architecture: Architecture, origin: Flow | None = None) -> NDArray[np.bool_]:
    """What each edge may become, as the policy's mask.

    Args:
        architecture: The architecture.
        origin: See `legal_transitions`.

    Returns:
        Boolean array [edges, 3], columns O, S, N; staying as it is is always allowed.
    """
    columns = list(State)
    mask = np.zeros((len(architecture.states), len(columns)), bool)
    verdicts = legal_transitions(architecture, origin)
    for row, (current, verdict) in enumerate(zip(architecture.states, verdicts, strict=True)):
        mask[row, columns.index(current)] = True
        for wanted, reason in verdict.items():
            mask[row, columns.index(wanted)] = reason is None
    return mask


def violation(alpha: Architecture, beta: Architecture) -> str | None:
    """Judge a whole α against the β it comes from: the joint check.

    Returns:
        None where α is legal, else the reason in one line.
    """
    for edge, before, after in zip(alpha.topology.edges, beta.states, alpha.states, strict=True):
        if before is not after and after not in ALLOWED[before]:
            return f"edge {edge.name!r} cannot go from {before} to {after}"
    state = flow(alpha)
    if state.broken:
        return state.broken
    if cost(alpha, state).exceeds(cost(beta)):
        return "it would cost more: an added skip revives operations that null had removed"
    return None


def edits_between(beta: Architecture, alpha: Architecture) -> tuple[Edit, ...]:
    """List the transitions that turn β into α."""
    return tuple(
        Edit(edge.name, before, after)
        for edge, before, after in zip(beta.topology.edges, beta.states, alpha.states, strict=True)
        if before is not after
    )


def apply_edits(beta: Architecture, edits: Iterable[Edit]) -> Architecture:
    """Turn β into α.

    Args:
        beta: The architecture to edit.
        edits: Transitions, at most one an edge, in any order.

    Returns:
        α.

    Raises:
        TransitionError: If an edge is unknown or named twice, is not in the state that the edit says, cannot make the
            transition, or the whole is illegal.
    """
    states: list[State] = list(beta.states)
    seen: set[str] = set()
    for edge, before, after in edits:
        position = _position(beta, edge)
        if edge in seen:
            raise TransitionError(f"edit of edge {edge!r}: it is listed twice; list each edge once")
        seen.add(edge)
        if states[position] is not before:
            raise TransitionError(f"edit of edge {edge!r}: it is {states[position]}, not {before}, in this model")
        if after not in ALLOWED[before]:
            allowed = " or ".join(f"{before}->{option}" for option in ALLOWED[before])
            raise TransitionError(f"edit of edge {edge!r}: {before}->{after} does not exist; allowed: {allowed}")
        if after is State.S and beta.topology.edges[position].skip is None:
            raise TransitionError(f"edit of edge {edge!r}: no skip, {beta.topology.edges[position].no_skip}")
        states[position] = after
    alpha = beta.with_states(tuple(states))
    reason = violation(alpha, beta)
    if reason:
        raise TransitionError(f"these edits are illegal together: {reason}")
    return alpha


def _position(beta: Architecture, edge: str) -> int:
    position = beta.topology.edge_index.get(edge)
    if position is None:
        hint = _closest(edge, list(beta.topology.edge_index))
        raise TransitionError(f"edit of edge {edge!r}: the model has no such edge{hint}; natonnx inspect lists them")
    return position


def _closest(name: str, names: Sequence[str]) -> str:
    import difflib

    matches = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
