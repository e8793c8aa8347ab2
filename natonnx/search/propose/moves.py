"""Ways from β to its α's: single transitions that differ in what they compute, and sets of them."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from natonnx.architecture import Architecture, Edited, State, cost, transition_mask
from natonnx.search.keys import effective, text
from natonnx.search.price import Price

__all__ = ["Move", "Moves"]

_Change = tuple[int, State]
"""An edge, and what it has become by what is computed."""


@dataclass(frozen=True)
class Move:
    """A legal transition of β.

    Attributes:
        beta: β.
        edge: Position of the edge.
        state: What it becomes.
        saved: What it saves by itself, as a fraction of β's cost.
    """

    beta: Architecture
    edge: int
    state: State
    saved: float

    @property
    def column(self) -> int:
        """Position of the state among the edge's choices."""
        return self.beta.topology.edges[self.edge].columns[self.state]

    @property
    def architecture(self) -> Architecture:
        """β with that transition alone."""
        states = self.beta.states
        return self.beta.with_states((*states[: self.edge], self.state, *states[self.edge + 1 :]))


class Moves:
    """All legal transitions of β, one for each thing that they compute.

    Args:
        beta: The given architecture.
        price: What architectures cost.
        states: Those that transitions may lead to; all where None.
    """

    def __init__(self, beta: Architecture, price: Price, states: Container[State] | None = None) -> None:
        self.beta, self._counts, self._own = beta, cost(beta), effective(beta)
        self._edited, self._held = Edited(beta), dict[int, State]()
        full, mask, followed = price.cost(beta), transition_mask(beta), price.follow(beta)
        found: dict[tuple[_Change, ...], Move] = {}
        for edge, current in enumerate(beta.states):
            for column, (state, _, _) in enumerate(beta.topology.edges[edge].choices):
                if state == current or not mask[edge, column] or (states is not None and state not in states):
                    continue
                changes = self._single(edge, state)
                if changes and changes not in found:
                    followed.change(edge, state)
                    saved = (full - followed.cost()) / (price.full or 1.0)
                    followed.change(edge, current)
                    found[changes] = Move(beta, edge, state, saved)
        self.all, self._changes = tuple(found.values()), tuple(found)

    @cached_property
    def savers(self) -> tuple[int, ...]:
        """Those that make β cheaper."""
        return tuple(i for i, move in enumerate(self.all) if move.saved > 0)

    def signature(self, i: int) -> str:
        """Return the `signature` of a transition's architecture."""
        states = list(self._own)
        for edge, state in self._changes[i]:
            states[edge] = state
        return text(states)

    def compose(self, moves: Iterable[int]) -> Architecture | None:
        """Make several transitions, of one edge the last; None where they are illegal together."""
        wanted = {self.all[i].edge: self.all[i].state for i in moves}
        for edge in self._held.keys() - wanted.keys():
            self._edited.change(edge, self.beta.states[edge])
        for edge, state in wanted.items():
            self._edited.change(edge, state)
        self._held = wanted
        return self._edited.architecture if self._edited.is_within(self._counts) else None

    def idle(self, held: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Tell which transitions change nothing beside others, for those change as much and more [moves]."""
        found = np.zeros(len(self.all), bool)
        for i in held:
            found[self._inside(i)] = True
        found[list(held)] = True
        return found

    def within(self, alphas: Sequence[Architecture]) -> npt.NDArray[np.bool_]:
        """Return which transitions architectures hold [alphas, moves]: what each of them changes has changed.

        A transition whose changes are among those of another one that is held does not count beside it.
        """
        found = np.zeros((len(alphas), len(self.all)), bool)
        for row, alpha in zip(found, alphas, strict=True):
            pairs = enumerate(zip(effective(alpha), self._own, strict=True))
            held = self._covered((e, now) for e, (now, own) in pairs if now != own)
            row[held] = True
            for i in held:
                row[self._inside(i)] = False
        return found

    def _single(self, edge: int, state: State) -> tuple[_Change, ...]:
        """What a transition of β changes by itself, in the order of edges."""
        edited, current = self._edited, self.beta.states[edge]
        near = sorted(edited.change(edge, state).edges)
        states = [(e, edited.effective(e)) for e in near]
        edited.change(edge, current)
        return tuple((e, own) for e, own in states if own != self._own[e])

    def _covered(self, changes: Iterable[_Change]) -> list[int]:
        """The transitions all of whose changes are among some."""
        common = Counter(i for change in changes for i in self._holders.get(change, ()))
        return [i for i, count in common.items() if count == len(self._changes[i])]

    def _inside(self, i: int) -> list[int]:
        """The transitions whose changes are a true part of another one's."""
        if i not in self._parts:
            covered = self._covered(self._changes[i])
            self._parts[i] = [j for j in covered if len(self._changes[j]) < len(self._changes[i])]
        return self._parts[i]

    @cached_property
    def _parts(self) -> dict[int, list[int]]:
        return {}

    @cached_property
    def _holders(self) -> Mapping[_Change, Sequence[int]]:
        """By change: the transitions that make it."""
        found: dict[_Change, list[int]] = {}
        for i, changes in enumerate(self._changes):
            for change in changes:
                found.setdefault(change, []).append(i)
        return found
