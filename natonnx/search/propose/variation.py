"""Random α's within a budget, and random variations of one."""

from collections.abc import Callable, Sequence

import torch

from natonnx.architecture import Architecture
from natonnx.search.lookup import Lookups
from natonnx.search.propose.moves import Moves

__all__ = ["EXPLORED", "Evolution", "Variation"]

EXPLORED = 0.85
"""α's are looked for from this part of the target on, for cheaper ones are no better."""
_TRIES = 20
_CHANGES = 2.0


class Variation:
    """Makes α's that meet a target and cost no less than `EXPLORED` of it, where there are such.

    Args:
        moves: The transitions.
        share: The cost of an architecture, as a fraction of β's.
        generator: Source of randomness.
    """

    def __init__(self, moves: Moves, share: Callable[[Architecture], float], generator: torch.Generator) -> None:
        self._moves, self._share, self._generator = moves, share, generator

    def random(
        self, target: float, weights: Sequence[float] | None = None
    ) -> tuple[frozenset[int], Architecture] | None:
        """Make an α of random transitions; None where that fails.

        Args:
            target: Highest cost, as a fraction of β's.
            weights: How likely each transition is; all alike where None.
        """
        return self.complete(frozenset(), target, weights)

    def complete(
        self, held: frozenset[int], target: float, weights: Sequence[float] | None = None
    ) -> tuple[frozenset[int], Architecture] | None:
        """Add random transitions until an α meets the target; None where that fails."""
        for _ in range(_TRIES):
            found = self._complete(held, target, weights)
            if found is not None:
                return found
        return None

    def _complete(
        self, held: frozenset[int], target: float, weights: Sequence[float] | None
    ) -> tuple[frozenset[int], Architecture] | None:
        alpha = self._moves.compose(held)
        if alpha is None:
            return None
        share = self._share(alpha)
        for i in self._order(weights):
            if share <= target:
                break
            if i in held:
                continue
            longer = self._moves.compose((*held, i))
            after = share if longer is None else self._share(longer)
            if longer is not None and EXPLORED * target <= after < share:
                held, alpha, share = held | {i}, longer, after
        return (held, alpha) if share <= target else None

    def mutate(
        self, held: frozenset[int], target: float, weights: Sequence[float] | None = None
    ) -> tuple[frozenset[int], Architecture] | None:
        """Undo some transitions, make others, and come back to the target; None where that fails."""
        kept = set(held)
        for i in self._some(sorted(held)):
            kept.discard(i)
        if self._random() < 0.5:
            others = [i for i in range(len(self._moves.all)) if i not in kept]
            kept.update(self._some(others)[:1])
        return self.complete(frozenset(kept), target, weights)

    def _some(self, items: Sequence[int]) -> list[int]:
        count = 1 + int(torch.poisson(torch.tensor(_CHANGES - 1), generator=self._generator))
        order = torch.randperm(len(items), generator=self._generator)[:count]
        return [items[int(i)] for i in order]

    def _order(self, weights: Sequence[float] | None) -> list[int]:
        """Return the transitions that save anything in random order, the more likely ones sooner (Efraimidis 2006)."""
        savers = self._moves.savers
        uniform = torch.rand(len(savers), generator=self._generator, dtype=torch.float64)
        likely = torch.ones(len(savers)) if weights is None else torch.tensor([weights[i] for i in savers])
        order = (uniform.log() / likely.double().clamp(min=1e-12)).argsort(descending=True)
        return [savers[int(i)] for i in order]

    def _random(self) -> float:
        return float(torch.rand((), generator=self._generator))


class Evolution:
    """Regularised evolution (Real et al. 2019) among the α's that meet a target.

    Args:
        population: How many α's live; the oldest dies.
        tournament: Of how many the best has offspring.
    """

    def __init__(self, population: int = 16, tournament: int = 5) -> None:
        self._population, self._tournament = population, tournament

    def propose(self, lookups: Lookups, targets: Sequence[float], generator: torch.Generator) -> None:
        """See `Proposer.propose`."""
        moves = Moves(lookups.beta, lookups.price)
        variation = Variation(moves, lookups.share, generator)
        share = -(-lookups.left // max(1, len(targets)))
        for target in targets:
            self._evolve(lookups, variation, target, generator, lookups.used + share)

    def _evolve(
        self, lookups: Lookups, variation: Variation, target: float, generator: torch.Generator, until: int
    ) -> None:
        living: list[tuple[float, frozenset[int]]] = []
        idle = 0
        while lookups.left and lookups.used < until and idle < 10 * _TRIES:
            if len(living) < self._population:
                made = variation.random(target)
            else:
                some = torch.randperm(len(living), generator=generator)[: self._tournament]
                parent = max((living[int(i)] for i in some), key=lambda entry: entry[0])
                made = variation.mutate(parent[1], target)
            used = lookups.used
            if made is not None:
                living.append((lookups.score(made[1]), made[0]))
                living = living[-self._population :]
            idle = 0 if lookups.used > used else idle + 1
