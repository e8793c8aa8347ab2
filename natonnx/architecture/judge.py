"""Judging single transitions of an architecture, from what is known of it.

`AnewJudge` finds that out itself; `natonnx.architecture.incremental` keeps it up to date while edges change.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

from natonnx.architecture.concat_legality import ConcatLegality, Verdict
from natonnx.architecture.cost import Cost, cost
from natonnx.architecture.cut import Cut, cuts
from natonnx.architecture.fatal import fatal_maps
from natonnx.architecture.graph import Architecture, Join, Topology
from natonnx.architecture.kept import kept_ways
from natonnx.architecture.liveness import Liveness, find_liveness
from natonnx.architecture.state import State

__all__ = ["AnewJudge", "Judge", "copied_weights"]

_DEARER = "it would cost more, by what others share with the one before, or of the channels that are left"
_IDLE = "it carries nothing any more that an output depends on"
_MOST_TRIED = 1000
"""Edges of an architecture whose removals are tried one by one where that is needed: it may take their square."""


class Judge(ABC):
    """Knows of one architecture what every single transition would do.

    Attributes:
        topology: Of the architecture.
        states: One an edge.
        live: Per feature map; see `Liveness`.
        needed: Per feature map.
        active: Per edge.
        used: Per edge: whether it carried something in the β that the architecture comes from.
        revivable: Per feature map: whether it was alive there.
        carrying: Per feature map: how many edges feed it.
        joins: By position of a map: the cut at its join; see `Cuts`.
        values: The cut of its value.
        verdicts: By position of a concat: see `ConcatLegality`.
    """

    topology: Topology
    states: Sequence[State]
    live: Sequence[bool]
    needed: Sequence[bool]
    active: Sequence[bool]
    used: Sequence[bool]
    revivable: Sequence[bool]
    carrying: list[int]
    joins: Mapping[int, Cut]
    values: Mapping[int, Cut]
    verdicts: Mapping[int, Verdict]

    @property
    @abstractmethod
    def paid(self) -> Sequence[bool]:
        """Per feature map: whether reading it costs nothing, for it is needed anyway or nothing that makes it costs."""

    @property
    @abstractmethod
    def harmless(self) -> Sequence[bool]:
        """Per feature map: whether its life costs nothing, for it lives anyway or nothing that hangs on it costs."""

    @abstractmethod
    def fatal(self, i: int) -> str | None:
        """Why a map may not die; None where it may. See `fatal_maps`."""

    @abstractmethod
    def kept(self, e: int, wanted: State) -> str | None:
        """Why an edge may not make a transition for the sake of one that is excluded. See `kept_ways`."""

    @abstractmethod
    def breaks(self, e: int, wanted: State) -> str | None:
        """Why channels cannot be cut as they would have to be after a transition; None where they can."""

    @abstractmethod
    def raises_cost(self, e: int, wanted: State) -> bool:
        """Whether an architecture costs more after a transition."""

    @property
    @abstractmethod
    def tried(self) -> bool:
        """Whether it hangs on what a concat loses whether those that read it can bear that."""

    @property
    @abstractmethod
    def copied(self) -> tuple[frozenset[str], int]:
        """See `copied_weights`."""

    def reason(self, e: int, wanted: State) -> str | None:
        """Why an edge may not make a transition that exists; None where it may."""
        edge = self.topology.edges[e]
        if edge.fixed:
            return edge.fixed
        state = self.states[e]
        idle = state != State.N and not self.active[e]
        if idle and self.used[e]:
            return _IDLE
        if wanted == State.S and edge.skip is None:
            return edge.no_skip
        if idle:
            return None  # it carries nothing, until a shortcut brings it to life
        if kept := self.kept(e, wanted):
            return kept
        if wanted == State.N:
            return self._removal(e)
        if wanted.is_operation:
            return self._exchange(e, wanted)
        source, target = self.topology.ends[e]
        joined = self.topology.maps[target]
        joins_concat = joined.join is Join.CONCAT
        if state == State.N:
            if not self.live[source]:
                return f"{edge.source!r} has nothing to give, for null has removed it"
            if not self.needed[target]:
                return None  # it carries nothing until another shortcut reads on
            if not (self.paid[source] and (self.revivable[target] or self.harmless[target])):
                return "it would revive a feature map that null has removed"
            if not (self.live[target] and self.needed[source]):
                return self.breaks(e, wanted)  # whole channels come back, which what follows must be able to take
            if not joins_concat and target in self.joins:
                return f"{edge.target!r} has lost channels, for a concat before it lost a member"
        lost = self.values.get(source)
        if lost is None and target in self.joins and e in self.topology.further_inputs:
            return f"{edge.target!r} has lost channels that {edge.source!r} has"
        if lost is not None and not (joins_concat and lost.axis == joined.axis):
            return f"{edge.source!r} has lost channels, for a concat before it lost a member"
        return None

    def _exchange(self, e: int, wanted: State) -> str | None:
        """Why another operation cannot take the place of the one that an edge carries."""
        near = {self.topology.ends[e][1], *self.topology.read_by[e]}
        if not near.isdisjoint(self.joins) or not near.isdisjoint(self.values):
            if stuck := self.breaks(e, wanted):
                return stuck
        elif self._saves(e, wanted):
            return None
        return _DEARER if self.raises_cost(e, wanted) else None

    def _saves(self, e: int, wanted: State) -> bool:
        """Whether another operation takes less by itself, what others share with the one before left aside."""
        operations, (shared, _) = self.topology.edges[e].operations, self.copied
        now, then = operations[self.states[e]], operations[wanted]
        before, after = dict(now.weights), dict(then.weights)
        saved = sum(size for name, size in before.items() if name not in after and name not in shared)
        added = sum(size for name, size in after.items() if name not in before)
        fewer = then.madds is not None and (now.madds is None or then.madds <= now.madds)
        return fewer and added <= saved

    def _removal(self, e: int) -> str | None:
        target = self.topology.ends[e][1]
        if e in self.topology.empty_members:
            return None
        name = self.topology.maps[target].name
        if self.carrying[target] == 1:
            reason = self.fatal(target) or self._trial(e)
            return f"nothing else feeds {name!r}, {reason}" if reason else self._growth(e)
        if self.topology.maps[target].join is Join.CONCAT:
            reason = self.verdicts[target].reason or self._trial(e)
            return f"the concat {name!r} cannot lose it: {reason}" if reason else self._growth(e)
        return None

    def _trial(self, e: int) -> str | None:
        """Why the channels cannot be cut that a removal takes."""
        if not self.tried:
            return None
        if len(self.states) > _MOST_TRIED:
            edges = len(self.states)
            return f"whether its readers bear that hangs on what is lost, which is not tried of {edges:,} edges"
        return self.breaks(e, State.N)

    def _growth(self, e: int) -> str | None:
        """Why a removal costs more than it saves: parts of a shared weight may have to be stored besides the whole."""
        shared, most = self.copied
        operation = self.topology.edges[e].operations.get(self.states[e])
        saved = operation.weights if operation else ()
        if sum(size for name, size in dict(saved).items() if name not in shared) >= most:
            return None
        if not self.raises_cost(e, State.N):
            return None
        return "it would cost more: parts of a weight that several nodes share would be stored besides the whole"

    def is_paid(self, i: int, paid: Sequence[bool]) -> bool:
        """Whether a map is `paid`, by whether those before it are."""
        topology, needed = self.topology, self.needed[i]
        fmap = topology.maps[i]
        starved = fmap.join is Join.OPAQUE and not self.live[i]
        if needed or starved or (self.live[i] and fmap.weights):
            return needed
        fed = [e for e in topology.incoming[i] if self.states[e] != State.N]
        sources = {topology.ends[e][0] for e in fed} | set(topology.fixed_inputs[i])
        several = [e for e in fed if self.states[e].is_operation and e in topology.further_inputs]
        if several:
            sources.update(source for e in several for source in topology.further_inputs[e])
            if not all(self.live[s] for e in several for s in topology.read_by[e]):
                return False
        costly = any(self.live[topology.ends[e][0]] and self._costs(e) for e in fed)
        return all(paid[source] for source in sources) and not costly

    def is_harmless(self, i: int, harmless: Sequence[bool]) -> bool:
        """Whether a map is `harmless`, by whether those after it are."""
        topology, live = self.topology, self.live[i]
        if live or topology.maps[i].weights or any(self.needed[reader] for reader in topology.fixed_readers[i]):
            return live
        read = [e for e in topology.outgoing[i] if self.states[e] != State.N]
        read = [e for e in read if self.needed[topology.ends[e][1]]]
        return all(harmless[topology.ends[e][1]] and not self._costs(e) for e in read)

    def _costs(self, e: int) -> bool:
        """Whether an edge that came to life would cost anything, or nobody knows."""
        operation = self.topology.edges[e].operations.get(self.states[e])
        return operation is not None and (operation.params, operation.madds) != (0, 0)


class AnewJudge(Judge):
    """Finds out all about an architecture, in time linear in its size but for what is tried.

    Args:
        architecture: The architecture.
        origin: See `legal_transitions`.
    """

    def __init__(self, architecture: Architecture, origin: Liveness | None = None) -> None:
        liveness = find_liveness(architecture)
        lost = cuts(architecture, liveness)
        self.topology, self.states, self._architecture = architecture.topology, architecture.states, architecture
        self.live, self.needed = liveness.live.tolist(), liveness.needed.tolist()
        self.active = liveness.active.tolist()
        self.used, self.revivable = (origin or liveness).active.tolist(), (origin or liveness).live.tolist()
        self.joins, self.values = lost.joins, lost.values
        self.verdicts = ConcatLegality(architecture, liveness).verdicts
        self._fatal = fatal_maps(architecture, liveness, self.verdicts)
        self._kept = kept_ways(architecture, liveness)
        self.carrying: list[int] = [0] * len(self.topology.maps)
        for e, (source, target) in enumerate(self.topology.ends):
            filled = self.states[e] != State.N and e not in self.topology.empty_members
            self.carrying[target] += filled and self.live[source]

    def fatal(self, i: int) -> str | None:
        """See `Judge.fatal`."""
        return self._fatal[i]

    def kept(self, e: int, wanted: State) -> str | None:
        """See `Judge.kept`."""
        return self._kept.get((e, wanted))

    def breaks(self, e: int, wanted: State) -> str | None:
        """See `Judge.breaks`."""
        if not self.topology.concats:
            return None
        after = self._after(e, wanted)
        return cuts(after, find_liveness(after)).broken

    def raises_cost(self, e: int, wanted: State) -> bool:
        """See `Judge.raises_cost`."""
        return cost(self._after(e, wanted)).exceeds(self._cost)

    @cached_property
    def tried(self) -> bool:
        """See `Judge.tried`."""
        return any(verdict.tried for verdict in self.verdicts.values())

    @cached_property
    def copied(self) -> tuple[frozenset[str], int]:
        """See `Judge.copied`."""
        return copied_weights(self.topology)

    @cached_property
    def paid(self) -> list[bool]:
        """See `Judge.paid`."""
        paid = list(self.needed)
        for i in range(len(paid)):
            paid[i] = self.is_paid(i, paid)
        return paid

    @cached_property
    def harmless(self) -> list[bool]:
        """See `Judge.harmless`."""
        harmless = list(self.live)
        for i in reversed(range(len(harmless))):
            harmless[i] = self.is_harmless(i, harmless)
        return harmless

    @cached_property
    def _cost(self) -> Cost:
        return cost(self._architecture)

    def _after(self, e: int, wanted: State) -> Architecture:
        states = self._architecture.states
        return self._architecture.with_states((*states[:e], wanted, *states[e + 1 :]))


def copied_weights(topology: Topology) -> tuple[frozenset[str], int]:
    """Weights that are shared, and how many parameters copies of those that are cut differently take at most."""
    owned = [(fmap.weights, fmap.cut_rules) for fmap in topology.maps]
    edges = [edge.operations.values() for edge in topology.edges]
    owners = Counter(name for weights, _ in owned for name in {name for name, _ in weights})
    owners += Counter(name for own in edges for name in {name for one in own for name, _ in one.weights})
    owned += [(operation.weights, operation.cut_rules) for own in edges for operation in own]
    shared = frozenset(name for name, count in owners.items() if count > 1)
    cut = {name for _, cut_rules in owned for rule in cut_rules for name in rule.weights & shared}
    return shared, sum(size for weights, _ in owned for name, size in weights if name in cut)
