"""Ways from β to its α's: single transitions that differ in what they compute, and sets of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from natonnx.architecture import Architecture, State, transition_mask, violation, without_idle_edits
from natonnx.search.keys import signature
from natonnx.search.price import Price

__all__ = ["Move", "Moves"]

_STATES = tuple(State)


@dataclass(frozen=True)
class Move:
    """A legal transition of β.

    Attributes:
        edge: Position of the edge.
        state: What it becomes.
        architecture: β with that transition alone.
        saved: What it saves by itself, as a fraction of β's cost.
    """

    edge: int
    state: State
    architecture: Architecture
    saved: float


class Moves:
    """All legal transitions of β, one for each thing that they compute.

    Args:
        beta: The given architecture.
        price: What architectures cost.
    """

    def __init__(self, beta: Architecture, price: Price) -> None:
        self.beta, self.price = beta, price
        mask, seen = transition_mask(beta), {signature(beta)}
        found: list[Move] = []
        for edge, current in enumerate(beta.states):
            for column, state in enumerate(_STATES):
                if state is current or not mask[edge, column]:
                    continue
                alpha = beta.with_states((*beta.states[:edge], state, *beta.states[edge + 1 :]))
                text = signature(alpha)
                if text not in seen:
                    seen.add(text)
                    found.append(Move(edge, state, alpha, 1 - price.cost(alpha) / (price.full or 1.0)))
        self.all = tuple(found)

    @cached_property
    def savers(self) -> tuple[int, ...]:
        """Those that make β cheaper."""
        return tuple(i for i, move in enumerate(self.all) if move.saved > 0)

    def compose(self, moves: Iterable[int]) -> Architecture | None:
        """Make several transitions together; None where that is illegal."""
        states = list(self.beta.states)
        for i in moves:
            states[self.all[i].edge] = self.all[i].state
        alpha = self.beta.with_states(tuple(states))
        if violation(alpha, self.beta) is not None:
            return None
        return without_idle_edits(alpha, self.beta)

    def within(self, alpha: Architecture) -> npt.NDArray[np.bool_]:
        """Return which transitions an architecture holds [moves]: what each of them changes has changed.

        A transition whose changes are among those of another one that is held does not count beside it.
        """
        changed = self._changes(alpha)
        held = (self._rows & ~changed).sum(1) == 0
        covered = (self._inside[:, held]).any(1)
        return held & ~covered

    @cached_property
    def _rows(self) -> npt.NDArray[np.bool_]:
        """What each transition changes [moves, 3 · edges]."""
        return np.array([self._changes(move.architecture) for move in self.all]).reshape(len(self.all), -1)

    @cached_property
    def _inside(self) -> npt.NDArray[np.bool_]:
        """Whether the changes of one transition are a true part of another's [moves, moves]."""
        rows = self._rows.astype(np.float32)
        common, size = rows @ rows.T, rows.sum(1)
        found: npt.NDArray[np.bool_] = (common == size[:, None]) & (size[:, None] < size[None])
        return found

    @cached_property
    def _own(self) -> npt.NDArray[np.str_]:
        return np.array(list(signature(self.beta)))

    def _changes(self, alpha: Architecture) -> npt.NDArray[np.bool_]:
        """Return which states edges have that they do not have in β, by what is computed [3 · edges]."""
        now = np.array(list(signature(alpha)))
        return np.stack([(now == state.value) & (self._own != state.value) for state in _STATES], 1).ravel()
