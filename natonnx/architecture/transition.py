"""The transitions O→S, O→N, S→N and N→S: which are legal and why not, and edit lists as data.

One function owns each question: `legal_transitions` judges single transitions, `violation` a whole α.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from natonnx.architecture.concat_legality import refusals
from natonnx.architecture.cost import Cost, cost
from natonnx.architecture.cut import cuts
from natonnx.architecture.fatal import fatal_maps
from natonnx.architecture.graph import Architecture, Join, State
from natonnx.architecture.kept import isolated, kept_ways
from natonnx.architecture.liveness import Liveness, find_liveness
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
    "without_idle_edits",
]

ALLOWED: Mapping[State, tuple[State, ...]] = {
    State.O: (State.S, State.N),
    State.S: (State.N,),
    State.N: (State.S,),
}
"""The paper's transitions: they lower the cost, and N→S is all but free. S→O and N→O do not exist."""


_IDLE = "it carries nothing any more that an output depends on"
_MOST_TRIED = 1000
"""Edges of an architecture whose removals are tried one by one where that is needed: it takes their square."""


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
    judge = _Judge(architecture, find_liveness(architecture), origin)
    return tuple(
        {wanted: judge.reason(e, wanted) for wanted in ALLOWED[current]}
        for e, current in enumerate(architecture.states)
    )


class _Judge:
    """Knows of one architecture what every single transition would do."""

    def __init__(self, architecture: Architecture, liveness: Liveness, origin: Liveness | None) -> None:
        topology = architecture.topology
        self.architecture = architecture
        self.refused = refusals(architecture, liveness)
        self.cut = cuts(architecture, liveness)
        self.fatal = fatal_maps(architecture, liveness, self.refused)
        self.kept = kept_ways(architecture, liveness)
        self.active = liveness.active.tolist()
        self.used = (origin or liveness).active.tolist()
        self.live, self.needed = liveness.live.tolist(), liveness.needed.tolist()
        self.revivable = (origin or liveness).live.tolist()
        self.carrying = [0] * len(topology.maps)
        for e, (source, target) in enumerate(topology.ends):
            filled = architecture.states[e] is not State.N and e not in topology.empty_members
            self.carrying[target] += filled and self.live[source]

    def reason(self, e: int, wanted: State) -> str | None:
        """Why an edge may not make a transition that exists; None where it may."""
        edge = self.architecture.topology.edges[e]
        if edge.fixed:
            return edge.fixed
        idle = self.architecture.states[e] is not State.N and not self.active[e]
        if idle and self.used[e]:
            return _IDLE
        if wanted is State.S and edge.skip is None:
            return edge.no_skip
        if idle:
            return None  # it carries nothing, until a shortcut brings it to life
        if (e, wanted) in self.kept:
            return self.kept[e, wanted]
        if wanted is State.N:
            return self._removal(e)
        source, target = self.architecture.topology.ends[e]
        joined = self.architecture.topology.maps[target]
        joins_concat = joined.join is Join.CONCAT
        if self.architecture.states[e] is State.N:
            if not self.live[source]:
                return f"{edge.source!r} has nothing to give, for null has removed it"
            if not self.needed[target]:
                return None  # it carries nothing until another shortcut reads on
            if not (self.paid[source] and (self.revivable[target] or self.harmless[target])):
                return "it would revive a feature map that null has removed"
            if not (self.live[target] and self.needed[source]):
                return self._revival(e)
            if not joins_concat and target in self.cut.joins:
                return f"{edge.target!r} has lost channels, for a concat before it lost a member"
        lost = self.cut.values.get(source)
        if lost is None and target in self.cut.joins and e in self.architecture.topology.further_inputs:
            return f"{edge.target!r} has lost channels that {edge.source!r} has"
        if lost is not None and not (joins_concat and lost.axis == joined.axis):
            return f"{edge.source!r} has lost channels, for a concat before it lost a member"
        return None

    @cached_property
    def paid(self) -> list[bool]:
        """By map: whether reading it costs nothing, for it is needed anyway or nothing that makes it costs anything."""
        topology, paid = self.architecture.topology, list(self.needed)
        for i, fmap in enumerate(topology.maps):
            starved = fmap.join is Join.OPAQUE and not self.live[i]
            if self.needed[i] or starved or (self.live[i] and fmap.weights):
                continue
            fed = [e for e in topology.incoming[i] if self.architecture.states[e] is not State.N]
            sources = {topology.ends[e][0] for e in fed} | set(topology.fixed_inputs[i])
            several = [e for e in fed if self.architecture.states[e] is State.O and e in topology.further_inputs]
            if several:
                sources.update(source for e in several for source in topology.further_inputs[e])
                if not all(self.live[s] for e in several for s in (topology.ends[e][0], *topology.further_inputs[e])):
                    continue
            costly = any(self.live[topology.ends[e][0]] and self._costs(e) for e in fed)
            paid[i] = all(paid[source] for source in sources) and not costly
        return paid

    @cached_property
    def harmless(self) -> list[bool]:
        """By map: whether its coming to life costs nothing, for it lives anyway or nothing that hangs on it costs."""
        topology, harmless = self.architecture.topology, list(self.live)
        for i in reversed(range(len(topology.maps))):
            if self.live[i] or topology.maps[i].weights or any(map(self.needed.__getitem__, topology.fixed_readers[i])):
                continue
            read = [e for e in topology.outgoing[i] if self.architecture.states[e] is not State.N]
            read = [e for e in read if self.needed[topology.ends[e][1]]]
            harmless[i] = all(harmless[topology.ends[e][1]] and not self._costs(e) for e in read)
        return harmless

    def _costs(self, e: int) -> bool:
        """Whether an edge that came to life would cost anything, or nobody knows."""
        operation = self.architecture.topology.edges[e].operation
        if operation is None or self.architecture.states[e] is not State.O:
            return False
        return (operation.params, operation.madds) != (0, 0)

    def _removal(self, e: int) -> str | None:
        topology = self.architecture.topology
        target = topology.ends[e][1]
        if e in topology.empty_members:
            return None
        name = topology.maps[target].name
        if self.carrying[target] == 1:
            fatal = self.fatal[target]
            reason = fatal or self._trial(e)
            return f"nothing else feeds {name!r}, {reason}" if reason else self._growth(e)
        if topology.maps[target].join is Join.CONCAT:
            reason = self.refused[target].reason or self._trial(e)
            return f"the concat {name!r} cannot lose it: {reason}" if reason else self._growth(e)
        return None

    @cached_property
    def tried(self) -> bool:
        """Whether it hangs on what a concat loses whether those that read it can bear that."""
        return any(verdict.tried for verdict in self.refused.values())

    def _trial(self, e: int) -> str | None:
        """Why the channels cannot be cut that a removal takes."""
        if not self.tried:
            return None
        states = self.architecture.states
        if len(states) > _MOST_TRIED:
            return f"whether its readers bear that hangs on what is lost, which is not tried of {len(states):,} edges"
        removed = self.architecture.with_states((*states[:e], State.N, *states[e + 1 :]))
        return cuts(removed, find_liveness(removed)).broken

    @cached_property
    def copied(self) -> tuple[Collection[str], int]:
        """Weights that are shared, and how many parameters copies of those that are cut differently take at most."""
        topology = self.architecture.topology
        owned = [(fmap.weights, fmap.cut_rules) for fmap in topology.maps]
        operations = (edge.operation for edge in topology.edges)
        owned += [(operation.weights, operation.cut_rules) for operation in operations if operation]
        owners = Counter(name for weights, _ in owned for name in {name for name, _ in weights})
        shared = {name for name, count in owners.items() if count > 1}
        cut = {name for _, cut_rules in owned for rule in cut_rules for name in rule.weights & shared}
        return shared, sum(size for weights, _ in owned for name, size in weights if name in cut)

    def _growth(self, e: int) -> str | None:
        """Why a removal costs more than it saves: parts of a shared weight may have to be stored besides the whole."""
        shared, most = self.copied
        states, operation = self.architecture.states, self.architecture.topology.edges[e].operation
        saved = operation.weights if operation and states[e] is State.O else ()
        if sum(size for name, size in dict(saved).items() if name not in shared) >= most:
            return None
        removed = self.architecture.with_states((*states[:e], State.N, *states[e + 1 :]))
        if not cost(removed).exceeds(self.current):
            return None
        return "it would cost more: parts of a weight that several nodes share would be stored besides the whole"

    @cached_property
    def current(self) -> Cost:
        """What the architecture costs."""
        return cost(self.architecture)

    def _revival(self, e: int) -> str | None:
        """A map that comes back to life brings back whole channels, which what follows must be able to take."""
        topology, states = self.architecture.topology, self.architecture.states
        if not topology.concats:
            return None
        revived = self.architecture.with_states((*states[:e], State.S, *states[e + 1 :]))
        return cuts(revived, find_liveness(revived)).broken


def transition_mask(architecture: Architecture, origin: Liveness | None = None) -> NDArray[np.bool_]:
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
        if before is after:
            continue
        if edge.fixed:
            return f"edge {edge.name!r} may not change: {edge.fixed}"
        if after not in ALLOWED[before]:
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
