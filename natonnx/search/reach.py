"""How cheap an α can be made at all."""

from natonnx.architecture import Architecture
from natonnx.search.price import Price, share
from natonnx.search.propose.moves import Moves

__all__ = ["cheapest"]

_LEAST_SAVED = 1e-9
_ROUNDS = 2


def cheapest(beta: Architecture, price: Price, target: float = 0.0) -> Architecture:
    """Return the cheapest architecture that removal finds: whatever still saves goes, what saves most first.

    Where every order is legal that is the cheapest of all; where one removal forbids another, a cheaper one may exist.

    Args:
        beta: The given architecture.
        price: What is to be cheap.
        target: What is cheap enough, as a fraction of β's cost: the search ends there.
    """
    moves = Moves(beta, price)
    order = sorted(moves.savers, key=lambda i: -moves.all[i].saved)
    held: list[int] = []
    best, least = beta, 1.0
    for _ in range(_ROUNDS):
        before = len(held)
        for i in order:
            if least <= target:
                return best
            alpha = None if i in held else moves.compose((*held, i))
            after = least if alpha is None else share(price, alpha)
            if alpha is not None and least - after > _LEAST_SAVED:
                held.append(i)
                best, least = alpha, after
        if len(held) == before:
            break
    return best
