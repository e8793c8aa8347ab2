"""Regularised evolution (Real et al. 2019) among the α's that meet a target, and random draws of them."""

from collections.abc import Sequence

import torch

from natonnx.architecture import Architecture
from natonnx.search.lookup import Lookups
from natonnx.search.propose.moves import Moves
from natonnx.search.propose.variation import Variation

__all__ = ["Evolution", "RandomDraws"]

_PATIENCE = 50
"""After so many α's in a row that were known already, nothing new is expected."""


class Evolution:
    """A population of α's, the oldest of which dies when the best of some has offspring.

    Args:
        population: How many α's live.
        tournament: Of how many the best has offspring.
    """

    def __init__(self, population: int = 16, tournament: int = 5) -> None:
        self._population, self._tournament = population, tournament

    def propose(self, lookups: Lookups, targets: Sequence[float], generator: torch.Generator) -> None:
        """See `Proposer.propose`."""
        variation = Variation(Moves(lookups.beta, lookups.price), lookups.share, generator)
        for target, until in lookups.divide(targets):
            living: list[tuple[float, Architecture]] = []
            idle = 0
            while lookups.left and lookups.used < until and idle < _PATIENCE:
                used = lookups.used
                child = self._bear(living, variation, target, generator)
                if child is not None:
                    living = [*living, (lookups.score(child), child)][-self._population :]
                idle = 0 if lookups.used > used else idle + 1

    def _bear(
        self,
        living: Sequence[tuple[float, Architecture]],
        variation: Variation,
        target: float,
        generator: torch.Generator,
    ) -> Architecture | None:
        """Make an α: at random until the population is complete, else a variation of the best of some."""
        if len(living) < self._population:
            return variation.random(target)
        some = torch.randperm(len(living), generator=generator)[: self._tournament].tolist()
        return variation.mutate(max((living[i] for i in some), key=lambda entry: entry[0])[1], target)


class RandomDraws(Evolution):
    """The paper's baseline: random legal transitions; nobody has offspring."""

    def _bear(
        self,
        living: Sequence[tuple[float, Architecture]],
        variation: Variation,
        target: float,
        generator: torch.Generator,
    ) -> Architecture | None:
        del living, generator
        return variation.random(target)
