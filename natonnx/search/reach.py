"""How cheap an α can be made at all."""

from natonnx.architecture import Architecture, violation, without_idle_edits
from natonnx.search.price import Madds, Params, Price, share
from natonnx.search.propose.moves import Moves
from natonnx.search.shortest import Shortest, shortest

__all__ = ["cheapest", "least", "nearest"]

_LEAST_SAVED = 1e-9
_ROUNDS = 2


def cheapest(beta: Architecture, price: Price, target: float = 0.0) -> Architecture:
    """Return the cheapest architecture that is found: by shortest paths, or by removal, what saves most first.

    Where a path is legal, and costs what `least` says, nothing is cheaper. Removal takes whatever still saves; where
    one removal forbids another, a cheaper one may exist.

    Args:
        beta: The given architecture.
        price: What is to be cheap.
        target: What is cheap enough, as a fraction of β's cost: the search ends there.
    """
    enough = max(target, (least(beta, price) or 0.0) + _LEAST_SAVED)
    paths = [beta.with_states(found.alpha.states) for found in _shortest(beta, price)]
    best = min((beta, *(alpha for alpha in paths if violation(alpha, beta) is None)), key=price.cost)
    if share(price, best) <= enough:
        return best
    return min((best, _remove(beta, price, target)), key=price.cost)


def nearest(beta: Architecture, price: Price, target: float) -> Architecture | None:
    """Return an architecture that meets a target: the cheapest, and of β what there is room for, the largest first.

    None where none is found. It knows nothing of what edges are good for.

    Args:
        beta: The given architecture.
        price: What is limited.
        target: The most that it may be, as a fraction of β's cost.
    """
    alpha = cheapest(beta, price, target)
    if share(price, alpha) > target:
        return None
    operations = [edge.operation for edge in beta.topology.edges]
    sizes = [0 if one is None else one.madds or one.params for one in operations]
    for e in sorted(range(len(sizes)), key=lambda e: -sizes[e]):
        states = (*alpha.states[:e], beta.states[e], *alpha.states[e + 1 :])
        fuller = alpha.with_states(states)
        if states != alpha.states and violation(fuller, beta) is None and share(price, fuller) <= target:
            alpha = fuller
    return without_idle_edits(alpha, beta)


def least(beta: Architecture, price: Price) -> float | None:
    """Return what no legal architecture is below, as a fraction of β's cost; None where the cost is not counted."""
    if not isinstance(price, Madds | Params) or not price.full:
        return None
    (found,) = _shortest(beta, price)
    return found.least / price.full


def _shortest(beta: Architecture, price: Price) -> list[Shortest]:
    """Return the shortest paths: by what is priced, where it is counted, or else by all that is."""
    if isinstance(price, Madds | Params):
        return [shortest(price.reference.with_states(beta.states), "madds" if isinstance(price, Madds) else "params")]
    return [shortest(beta, counted) for counted in ("madds", "params")]


def _remove(beta: Architecture, price: Price, target: float) -> Architecture:
    moves = Moves(beta, price)
    order = sorted(moves.savers, key=lambda i: -moves.all[i].saved)
    held: list[int] = []
    best, cost = beta, 1.0
    for _ in range(_ROUNDS):
        before = len(held)
        for i in order:
            if cost <= target:
                return best
            alpha = None if i in held else moves.compose((*held, i))
            after = cost if alpha is None else share(price, alpha)
            if alpha is not None and cost - after > _LEAST_SAVED:
                held.append(i)
                best, cost = alpha, after
        if len(held) == before:
            break
    return best
