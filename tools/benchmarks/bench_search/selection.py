"""Baselines that choose an α by looking: greedy removal, and random draws."""

import heapq
import math
from collections.abc import Callable, Iterator

import numpy as np

from natonnx.architecture import Architecture, State, transition_mask, violation
from natonnx.search import Price

__all__ = ["greedy", "legal_savers", "random_alphas", "with_change"]

Change = tuple[int, State]
"""Position of an edge, and the state that it gets."""

_DRAWN = 0.8
"""Random α's cost at least this part of the target: cheaper ones are no better."""
_TRIES = 1000


def legal_savers(beta: Architecture, price: Price) -> list[Change]:
    """List the legal single transitions that make β cheaper, in the order of its edges."""
    mask, full = transition_mask(beta), price.cost(beta)
    changes = [
        (edge, state)
        for edge, current in enumerate(beta.states)
        for column, (state, _, _) in enumerate(beta.topology.edges[edge].choices)
        if state != current and mask[edge, column]
    ]
    return [change for change in changes if price.cost(with_states(beta, change)) < full]


def with_states(architecture: Architecture, change: Change) -> Architecture:
    """Change the state of one edge, legal or not."""
    edge, state = change
    states = architecture.states
    return architecture.with_states((*states[:edge], state, *states[edge + 1 :]))


def with_change(alpha: Architecture, change: Change, beta: Architecture) -> Architecture | None:
    """Change the state of one edge; None where that is not legal for an α of β."""
    changed = with_states(alpha, change)
    return None if violation(changed, beta) else changed


def greedy(beta: Architecture, price: Price, target: float, score: Callable[[Architecture], float]) -> Architecture:
    """Remove what loses least for what it saves, again and again, until the target is met.

    A transition is scored again only when it comes first by what it was worth before (lazy greedy, Minoux 1978).

    Args:
        beta: Where to start.
        price: What is saved.
        target: Highest cost, as a fraction of β's.
        score: The higher the better.
    """
    alpha, known = beta, score(beta)
    step, queue = 0, [(-math.inf, -1, *change) for change in legal_savers(beta, price)]
    while price.cost(alpha) > target * price.full and queue:
        _, seen, edge, state = heapq.heappop(queue)
        changed = with_change(alpha, (edge, state), beta)
        saved = 0.0 if changed is None else price.cost(alpha) - price.cost(changed)
        if changed is None or saved <= 0:
            continue
        if seen == step:
            alpha, known, step = changed, score(changed), step + 1
        else:
            heapq.heappush(queue, ((known - score(changed)) * price.full / saved, step, edge, state))
    return alpha


def random_alphas(beta: Architecture, price: Price, target: float, seed: int) -> Iterator[Architecture]:
    """Draw α's that meet a target: legal transitions in random order, until it is met; no end of them.

    One that costs less than `_DRAWN` of the target is drawn anew.

    Raises:
        StopIteration: If no such α is found.
    """
    generator = np.random.default_rng(seed)
    changes = legal_savers(beta, price)
    failed = 0
    while failed < _TRIES:
        alpha = beta
        for i in generator.permutation(len(changes)):
            if price.cost(alpha) <= target * price.full:
                break
            changed = with_change(alpha, changes[i], beta)
            alpha = alpha if changed is None or price.cost(changed) >= price.cost(alpha) else changed
        if _DRAWN * target <= price.cost(alpha) / price.full <= target:
            failed = 0
            yield alpha
        else:
            failed += 1
