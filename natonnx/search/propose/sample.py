"""α's that tell of all transitions: random ones at all costs."""

from functools import partial

import torch

from natonnx.architecture import Architecture
from natonnx.search.keys import signature
from natonnx.search.price import Price, share
from natonnx.search.propose.moves import Moves
from natonnx.search.propose.variation import Variation

__all__ = ["sample_architectures"]

_TRIES = 4
_DEAREST = 0.97


def sample_architectures(
    beta: Architecture, price: Price, count: int, *, lowest: float, seed: int
) -> list[Architecture]:
    """Draw different α's whose costs are spread evenly.

    Args:
        beta: The given architecture.
        price: What is spread.
        count: How many; there are fewer where the space is small.
        lowest: The least cost, as a fraction of β's.
        seed: Of the choice.
    """
    moves, generator = Moves(beta, price), torch.Generator().manual_seed(seed)
    variation = Variation(moves, partial(share, price), generator)
    found: dict[str, Architecture] = {}
    for draw in range(_TRIES * count if moves.savers else 0):
        place = (draw * 0.6180339887) % 1.0  # evenly spread, in any number (Weyl 1916)
        alpha = variation.random(lowest + (_DEAREST - lowest) * place)
        if alpha is not None:
            found.setdefault(signature(alpha), alpha)
        if len(found) == count:
            break
    return list(found.values())
