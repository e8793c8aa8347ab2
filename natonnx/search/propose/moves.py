"""Ways from β to its α's: single transitions that differ in what they compute, and sets of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from natonnx.architecture import Architecture, State, cost, transition_mask, violation
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
        self.beta, self._counts = beta, cost(beta)
        full, mask, seen = price.cost(beta), transition_mask(beta), {signature(beta)}
        found: list[Move] = []
        for edge, current in enumerate(beta.states):
            for column, state in enumerate(_STATES):
                if state is current or not mask[edge, column]:
                    continue
                alpha = beta.with_states((*beta.states[:edge], state, *beta.states[edge + 1 :]))
                text = signature(alpha)
                if text not in seen:
                    seen.add(text)
                    found.append(Move(edge, state, alpha, (full - price.cost(alpha)) / (price.full or 1.0)))
        self.all = tuple(found)

    @cached_property
    def savers(self) -> tuple[int, ...]:
        """Those that make β cheaper."""
        return tuple(i for i, move in enumerate(self.all) if move.saved > 0)

    def compose(self, moves: Iterable[int]) -> Architecture | None:
        """Make several transitions, of one edge the last; None where they are illegal together."""
        states = list(self.beta.states)
        for i in moves:
            states[self.all[i].edge] = self.all[i].state
        alpha = self.beta.with_states(tuple(states))
        return alpha if violation(alpha, self.beta, self._counts) is None else None

    def idle(self, held: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Tell which transitions change nothing beside others, for those change as much and more [moves]."""
        found = self._inside[:, list(held)].sum(1) > 0
        found[list(held)] = True
        return np.asarray(found, bool)

    def within(self, alphas: Sequence[Architecture]) -> npt.NDArray[np.bool_]:
        """Return which transitions architectures hold [alphas, moves]: what each of them changes has changed.

        A transition whose changes are among those of another one that is held does not count beside it.
        """
        changes = np.array([self._changes(alpha) for alpha in alphas], np.float32).reshape(
            len(alphas), self._rows.shape[1]
        )
        held = changes @ self._rows.T == self._rows.sum(1)
        covered = held.astype(np.float32) @ self._inside.T > 0
        return np.asarray(held & ~covered, bool)

    @cached_property
    def _rows(self) -> npt.NDArray[np.float32]:
        """What each transition changes [moves, 3 · edges]: 1 or 0."""
        rows = [self._changes(move.architecture) for move in self.all]
        return np.array(rows, np.float32).reshape(len(rows), len(_STATES) * len(self._own))

    @cached_property
    def _inside(self) -> npt.NDArray[np.float32]:
        """Whether the changes of one transition are a true part of another's [moves, moves]: 1 or 0."""
        rows = self._rows
        common, size = rows @ rows.T, rows.sum(1)
        found: npt.NDArray[np.bool_] = (common == size[:, None]) & (size[:, None] < size[None])
        return found.astype(np.float32)

    @cached_property
    def _own(self) -> npt.NDArray[np.uint8]:
        return _letters(self.beta)

    def _changes(self, alpha: Architecture) -> npt.NDArray[np.float32]:
        """Return which states edges have that they do not have in β, by what is computed [3 · edges]: 1 or 0."""
        now = _letters(alpha)
        changed = now != self._own
        return np.concatenate([changed & (now == ord(state.value)) for state in _STATES]).astype(np.float32)


def _letters(architecture: Architecture) -> npt.NDArray[np.uint8]:
    return np.frombuffer(signature(architecture).encode(), np.uint8)
