"""Which α to look up next: the one that may be worth most by what a critic knows, found by evolution inside the critic.

Here an α is a set of transitions, and costs about what is left when the savings of each by itself are added up; so
hundreds of them cost next to nothing. Whether one is legal, and what it costs exactly, is for the caller to find out.
"""

import numpy as np
import numpy.typing as npt

from natonnx.search.propose.critic import Critic
from natonnx.search.propose.moves import Moves
from natonnx.search.propose.variation import EXPLORED

__all__ = ["Acquisition"]

Array = npt.NDArray[np.float64]
Held = npt.NDArray[np.bool_]

_GENERATIONS = 4
_CHILDREN = 64
_PARENTS = 8
_CONFIDENCE = 1.0
_ANYTHING = 0.25
"""How often a transition is added whatever it saves and loses."""


class Acquisition:
    """Searches for sets of transitions of a high upper confidence bound.

    Args:
        moves: The transitions.
        critic: What is known of their sets.
        chance: Source of randomness.
    """

    def __init__(self, moves: Moves, critic: Critic, chance: np.random.Generator) -> None:
        self._critic, self._chance = critic, chance
        self._saved = np.array([move.saved for move in moves.all])
        self._edges = np.array([move.edge for move in moves.all])
        self._refused: set[bytes] = set()

    def bounds(self, held: Held) -> Array:
        """Return the upper confidence bounds of the scores of sets [n]."""
        expected, deviation = self._critic.predict(held)
        return expected + _CONFIDENCE * deviation

    def refuse(self, held: Held) -> None:
        """Never propose a set again [moves], such as for it is illegal."""
        self._refused.add(held.tobytes())

    def improve(self, held: Held, shares: Array, target: float) -> Held:
        """Return new sets near given ones, best first, of an estimated cost that meets the target [m, moves].

        Args:
            held: Sets of transitions [n, moves].
            shares: What they cost, as fractions of β's [n].
            target: Highest cost, as a fraction of β's.
        """
        bounds, given = self.bounds(held), len(held)
        seen = self._refused | {row.tobytes() for row in held}
        losses = self._critic.losses()
        usual = max(float(losses.mean()), 1e-300)
        for _ in range(_GENERATIONS if given else 0):
            parents = np.argsort(-bounds, kind="stable")[:_PARENTS]
            children, costs = [], []
            for position in range(_CHILDREN):
                parent = parents[position % len(parents)]
                child, cost = self._vary(held[parent], float(shares[parent]), target, losses / usual)
                if cost <= target and child.tobytes() not in seen:
                    seen.add(child.tobytes())
                    children.append(child)
                    costs.append(cost)
            if children:
                held, shares = np.concatenate([held, children]), np.concatenate([shares, costs])
                bounds = np.concatenate([bounds, self.bounds(np.array(children))])
        return held[given:][np.argsort(-bounds[given:], kind="stable")]

    def _vary(self, parent: Held, share: float, target: float, losses: Array) -> tuple[Held, float]:
        """Undo some transitions, likely ones that lose much, and add others, likely ones that lose little.

        Args:
            parent: Which transitions there are [moves].
            share: What they cost, as a fraction of β's.
            target: Highest cost, as a fraction of β's.
            losses: What each transition loses, over the mean [moves].

        Returns:
            The new set, and what it costs about.
        """
        child, noise = parent.copy(), self._chance.gumbel(size=len(parent))
        count = 1 + self._chance.poisson(1.0)
        undone = [i for i in np.argsort(-(noise + np.log(losses + 0.1)), kind="stable").tolist() if parent[i]][:count]
        child[undone] = False
        order = np.argsort(losses - self._chance.gumbel(size=len(parent)), kind="stable").tolist()
        if self._chance.random() < _ANYTHING:
            order.insert(0, int(self._chance.integers(len(parent))))
        taken = set(self._edges[child].tolist())
        share += float(self._saved[undone].sum())
        for position, i in enumerate(order):
            free = position == 0 or self._saved[i] > 0
            if share <= target and position:
                break
            if free and self._edges[i] not in taken and not child[i] and share - self._saved[i] >= EXPLORED * target:
                child[i] = True
                taken.add(self._edges[i])
                share -= float(self._saved[i])
        return child, share
