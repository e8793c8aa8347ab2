"""Regularised evolution (Real et al. 2019) among the α's that meet a target, and random draws of them."""

import sys
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from natonnx.search.lookup import Lookups
from natonnx.search.propose.moves import Moves
from natonnx.search.propose.variation import Variation

if TYPE_CHECKING:
    from natonnx.architecture import Architecture

__all__ = ["Evolution", "RandomDraws"]

_PATIENCE = 50
"""After so many α's in a row that were known already, nothing new is expected."""


class Evolution:
    """A population of α's, the oldest of which dies when the best of some has offspring.

    Args:
        population: How many α's live; until there are so many, α's are drawn at random.
        tournament: Of how many the best has offspring.
    """

    policy = None

    def __init__(self, population: int = 16, tournament: int = 5) -> None:
        self._population, self._tournament = population, tournament

    def propose(self, lookups: Lookups, targets: Sequence[float], generator: torch.Generator) -> None:
        """See `Proposer.propose`."""
        variation = Variation(Moves(lookups.beta, lookups.price), lookups.share, generator)
        for target, until in lookups.divide(targets):
            living: deque[tuple[float, Architecture]] = deque(maxlen=self._population)
            idle = 0
            while lookups.left and lookups.used < until and idle < _PATIENCE:
                used = lookups.used
                if len(living) < self._population:
                    child = variation.random(target)
                else:
                    some = torch.randperm(len(living), generator=generator)[: self._tournament].tolist()
                    child = variation.mutate(max((living[i] for i in some), key=lambda entry: entry[0])[1], target)
                if child is not None:
                    living.append((lookups.score(child), child))
                idle = 0 if lookups.used > used else idle + 1


class RandomDraws(Evolution):
    """The paper's baseline: random legal transitions; nobody ever has offspring."""

    def __init__(self) -> None:
        super().__init__(population=sys.maxsize)
