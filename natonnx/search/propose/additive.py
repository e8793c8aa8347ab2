"""An α of what single transitions lose, for a target that no look-up met."""

import math

import torch

from natonnx.architecture import Architecture
from natonnx.search.keys import signature
from natonnx.search.lookup import Lookups
from natonnx.search.propose.greedy import loss_ratio
from natonnx.search.propose.moves import Moves
from natonnx.search.propose.variation import Variation

__all__ = ["compose_singles"]


def compose_singles(lookups: Lookups, moves: Moves, target: float, generator: torch.Generator) -> Architecture | None:
    """Make the transitions that lose least for what they save, one after the other, until a target is met.

    Those that were not looked up come last, those that save most first.

    Args:
        lookups: What is known.
        moves: The transitions.
        target: Highest cost, as a fraction of β's.
        generator: Source of randomness, for another try where that order leads nowhere.

    Returns:
        The α; None where none was found.
    """
    base = lookups.entries.get(signature(lookups.beta))

    def loss(position: int) -> tuple[float, float]:
        move = moves.all[moves.savers[position]]
        entry = lookups.entries.get(moves.signature(moves.savers[position]))
        if base is None or entry is None:
            return math.inf, -move.saved
        return loss_ratio(base.score, entry.score, move.saved), -move.saved

    order = torch.tensor(sorted(range(len(moves.savers)), key=loss), dtype=torch.long)
    variation = Variation(moves, lookups.share, generator)
    found = variation.draw(target, torch.zeros(len(order)), order)
    return variation.random(target) if found is None else found.architecture
