"""The transitions that edges have: which are legal and why not, and edit lists as data.

One function owns each question: `legal_transitions` judges single transitions, `violation` a whole α.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from natonnx.architecture.cost import Cost, cost
from natonnx.architecture.cut import cuts
from natonnx.architecture.graph import Architecture
from natonnx.architecture.judge import AnewJudge
from natonnx.architecture.kept import isolated
from natonnx.architecture.liveness import Liveness, find_liveness
from natonnx.architecture.state import State
from natonnx.errors import InputError

__all__ = [
    "Edit",
    "TransitionError",
    "apply_edits",
    "edits_between",
    "legal_transitions",
    "transition_mask",
    "violation",
    "without_idle_edits",
]


class TransitionError(InputError):
    """An edit list that does not fit the architecture, or whose result is illegal."""


class Edit(NamedTuple):
    """One transition of one edge."""

    edge: str
    before: State
    after: State


def legal_transitions(
    architecture: Architecture, origin: Liveness | None = None
) -> tuple[Mapping[State, str | None], ...]:
    """Judge every single transition of every edge, in time linear in the architecture's size but for removals to try.

    Args:
        architecture: The architecture.
        origin: Null propagation of the β that it comes from by transitions, where there is one: a map that was alive
            there may be fed again, since nothing comes back but what β paid for, and an edge that carried something
            there and does no more stays as it is.

    Returns:
        Per edge: each state it may be asked to become, mapped to None where that is legal, else to the reason.
    """
    judge = AnewJudge(architecture, origin)
    return tuple(
        {wanted: judge.reason(e, wanted) for wanted in edge.successors[current]}
        for e, (edge, current) in enumerate(zip(architecture.topology.edges, architecture.states, strict=True))
    )


def transition_mask(architecture: Architecture, origin: Liveness | None = None) -> NDArray[np.bool_]:
    """What each edge may become, as the policy's mask.

    Args:
        architecture: The architecture.
        origin: See `legal_transitions`.

    Returns:
        Boolean array [edges, width], a column for each of the edge's choices; staying as it is is always allowed.
    """
    topology = architecture.topology
    mask = np.zeros((len(architecture.states), topology.width), bool)
    verdicts = legal_transitions(architecture, origin)
    for row, edge, current, verdict in zip(mask, topology.edges, architecture.states, verdicts, strict=True):
        row[edge.columns[current]] = True
        for wanted, reason in verdict.items():
            row[edge.columns[wanted]] = reason is None
    return mask


def violation(alpha: Architecture, beta: Architecture, full: Cost | None = None) -> str | None:
    """Judge a whole α against the β it comes from: the joint check.

    Args:
        alpha: An α.
        beta: The β it comes from.
        full: What β costs, where the caller has it already.

    Returns:
        None where α is legal, else the reason in one line.
    """
    for edge, before, after in zip(alpha.topology.edges, beta.states, alpha.states, strict=True):
        if before == after:
            continue
        if edge.fixed:
            return f"edge {edge.name!r} may not change: {edge.fixed}"
        if after not in edge.successors[before]:
            return f"edge {edge.name!r} cannot go from {before} to {after}"
    liveness = find_liveness(alpha)
    lost = cuts(alpha, liveness)
    if liveness.broken or lost.broken:
        return liveness.broken or lost.broken
    if deprived := isolated(alpha, liveness):
        return deprived
    if cost(alpha, liveness, lost).exceeds(full or cost(beta)):
        shared = ", or parts of a shared weight would be stored besides the whole" if lost.joins else ""
        return f"it would cost more: an added skip revives operations that null had removed{shared}"
    return None


def without_idle_edits(alpha: Architecture, beta: Architecture) -> Architecture:
    """The α that computes the same and leaves as they were the edges that carry nothing before and after.

    Args:
        alpha: An α.
        beta: The β it comes from.
    """
    ends = np.array(alpha.topology.ends, int).reshape(-1, 2)
    liveness, used = find_liveness(alpha), find_liveness(beta).active
    while True:
        kept = (liveness.live[ends[:, 0]] & liveness.needed[ends[:, 1]]) | used
        pairs = zip(kept.tolist(), beta.states, alpha.states, strict=True)
        plain = alpha.with_states(tuple(new if matters else old for matters, old, new in pairs))
        after = find_liveness(plain)
        if plain.states == alpha.states or not np.array_equal(after.active, liveness.active):
            return alpha
        alpha, liveness = plain, after


def edits_between(beta: Architecture, alpha: Architecture) -> tuple[Edit, ...]:
    """List the transitions that turn β into α."""
    return tuple(
        Edit(edge.name, before, after)
        for edge, before, after in zip(beta.topology.edges, beta.states, alpha.states, strict=True)
        if before != after
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
        if states[position] != before:
            raise TransitionError(f"edit of edge {edge!r}: it is {states[position]}, not {before}, in this model")
        options = beta.topology.edges[position].successors[before]
        if after not in options:
            allowed = " or ".join(f"{before}->{option}" for option in options)
            raise TransitionError(f"edit of edge {edge!r}: {before}->{after} does not exist; allowed: {allowed}")
        if after == State.S and beta.topology.edges[position].skip is None:
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
