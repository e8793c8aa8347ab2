"""Which transitions are legal while edges change one after the other, at the price of what is near each change.

What `Legality` says is what `transition_mask` says of the same states, as long as the architecture can run; elsewhere
it asks `AnewJudge`, as `transition_mask` does.
"""

from collections.abc import Callable, Collection
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from natonnx.architecture.concat_legality import ConcatLegality
from natonnx.architecture.edited import Edited
from natonnx.architecture.fatal import FatalMaps
from natonnx.architecture.graph import Architecture
from natonnx.architecture.judge import AnewJudge, Judge, copied_weights
from natonnx.architecture.kept import KeptWays
from natonnx.architecture.liveness import Liveness, find_liveness
from natonnx.architecture.settle import settle
from natonnx.architecture.state import State

__all__ = ["Legality"]

_FATAL = "which something depends on that may not die"
_KEPT = "nothing else leads on from an edge that is excluded"
_STUCK = "channels would be lost that somebody cannot do without"


class Legality(Judge):
    """Judges single transitions of an architecture whose edges change.

    Args:
        architecture: The architecture at first.
        origin: See `legal_transitions`; the architecture as it is at first where None.
    """

    def __init__(self, architecture: Architecture, origin: Liveness | None = None) -> None:
        self._origin = origin or find_liveness(architecture)
        self._edited = edited = Edited(architecture)
        self.topology, self.states = edited.topology, edited.states
        self.live, self.needed, self.active = edited.live, edited.needed, edited.active
        self.joins, self.values = edited.joins, edited.values
        self.used, self.revivable = self._origin.active.tolist(), self._origin.live.tolist()
        self.carrying: list[int] = [0] * len(self.topology.maps)
        self._concats = ConcatLegality(edited, edited)
        self.verdicts = self._concats.verdicts
        self._fatal, self._kept = FatalMaps(edited, self.verdicts), KeptWays(edited)
        for e, feeds in enumerate(edited.feeding):
            self.carrying[self.topology.ends[e][1]] += feeds
        self._paid, self._harmless = list(self.needed), list(self.live)
        self._settle_revivals(range(len(self.topology.maps)))
        self._anew: AnewJudge | None = None

    @property
    def architecture(self) -> Architecture:
        """The architecture as it is now."""
        return self._edited.architecture

    def change(self, e: int, state: State) -> None:
        """Put an edge into another state."""
        self._anew = None
        changes = self._edited.change(e, state)
        for f in changes.feeding:
            self.carrying[self.topology.ends[f][1]] += 1 if self._edited.feeding[f] else -1
        self._concats.update(changes.maps, changes.edges)
        self._fatal.update(changes)
        self._kept.update(changes)
        near = {i for one in changes.maps for i in (one, *self.topology.followers[one], *self.topology.makers[one])}
        self._settle_revivals({*near, *self.topology.ends[e], *self.topology.read_by[e]})

    def options(self, e: int) -> list[bool]:
        """Which of its choices an edge may become [width]; staying as it is is always allowed."""
        current, edge, judge = self.states[e], self.topology.edges[e], self._judge
        found = [False] * self.topology.width
        found[edge.columns[current]] = True
        for wanted in edge.successors[current]:
            found[edge.columns[wanted]] = judge.reason(e, wanted) is None
        return found

    def mask(self) -> NDArray[np.bool_]:
        """What each edge may become [edges, width], see `transition_mask`."""
        return np.array([self.options(e) for e in range(len(self.states))], bool).reshape(-1, self.topology.width)

    @property
    def _judge(self) -> Judge:
        if self._edited.runs:
            return self
        self._anew = self._anew or AnewJudge(self.architecture, self._origin)
        return self._anew

    def fatal(self, i: int) -> str | None:
        """See `Judge.fatal`."""
        return _FATAL if i in self._fatal else None

    def kept(self, e: int, wanted: State) -> str | None:
        """See `Judge.kept`."""
        return _KEPT if self._kept.needs(e, wanted) else None

    def breaks(self, e: int, wanted: State) -> str | None:
        """See `Judge.breaks`."""
        return _STUCK if self.topology.concats and self._after(e, wanted, lambda edited: edited.is_stuck) else None

    def raises_cost(self, e: int, wanted: State) -> bool:
        """See `Judge.raises_cost`."""
        before = self._edited.cost
        return self._after(e, wanted, lambda edited: edited.cost.exceeds(before))

    def _after(self, e: int, wanted: State, asked: Callable[[Edited], bool]) -> bool:
        """Ask something of the architecture as it would be after a transition."""
        before = self.states[e]
        self._edited.change(e, wanted)
        answer = asked(self._edited)
        self._edited.change(e, before)
        return answer

    @property
    def tried(self) -> bool:
        """See `Judge.tried`."""
        return any(verdict.tried for verdict in self.verdicts.values())

    @cached_property
    def copied(self) -> tuple[frozenset[str], int]:
        """See `Judge.copied`."""
        return copied_weights(self.topology)

    @property
    def paid(self) -> list[bool]:
        """See `Judge.paid`."""
        return self._paid

    @property
    def harmless(self) -> list[bool]:
        """See `Judge.harmless`."""
        return self._harmless

    def _settle_revivals(self, maps: Collection[int]) -> None:
        settle(maps, self._renew_paid, self.topology.followers.__getitem__)
        settle(maps, self._renew_harmless, self.topology.makers.__getitem__, backward=True)

    def _renew_paid(self, i: int) -> bool:
        before, self._paid[i] = self._paid[i], self.is_paid(i, self._paid)
        return self._paid[i] is not before

    def _renew_harmless(self, i: int) -> bool:
        before, self._harmless[i] = self._harmless[i], self.is_harmless(i, self._harmless)
        return self._harmless[i] is not before
