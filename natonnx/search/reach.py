"""How cheap an α can be made at all."""

from natonnx.architecture import Architecture, violation, without_idle_edits
from natonnx.search.price import Madds, Params, Price, share
from natonnx.search.propose.moves import Moves
from natonnx.search.shortest import Shortest, shortest
from natonnx.search.variant import Variant

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
    variant = Variant(beta, price, alpha)
    for e in sorted(range(len(sizes)), key=lambda e: -sizes[e]):
        state = variant.state(e)
        if state != beta.states[e] and variant.attempt(e, beta.states[e]) and variant.share() > target:
            variant.undo(e, state)
    return without_idle_edits(variant.architecture, beta)


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
    moves, variant = Moves(beta, price), Variant(beta, price)
    order = sorted(moves.savers, key=lambda i: -moves.all[i].saved)
    held, cost = set[int](), 1.0
    for _ in range(_ROUNDS):
        before = len(held)
        for i in order:
            if cost <= target:
                return variant.architecture
            if i in held:
                continue
            edge, state = moves.all[i].edge, variant.state(moves.all[i].edge)
            if not variant.attempt(edge, moves.all[i].state):
                continue
            after = variant.share()
            if cost - after > _LEAST_SAVED:
                held.add(i)
                cost = after
            else:
                variant.undo(edge, state)
        if len(held) == before:
            break
    return variant.architecture
