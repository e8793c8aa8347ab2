"""Scores of architectures that are made up, by what they compute."""

import itertools
import math
from collections.abc import Callable, Iterator
from random import Random

from natonnx.architecture import LETTERS, Architecture, State, violation
from natonnx.search.keys import signature
from tests.architecture.strategies import seeded

__all__ = ["Score", "additive", "all_alphas", "arbitrary"]

Score = Callable[[Architecture], float]


def additive(beta: Architecture, seed: int, convex: float = 0.0) -> Score:
    """Each edge that computes something else loses something of its own; together more than the sum."""
    chance, own = seeded(seed), signature(beta)
    losses = [{str(state): chance.uniform(0.1, 1.0) for state in LETTERS} for _ in own]

    def score(alpha: Architecture) -> float:
        lost = sum(losses[e][now] for e, (now, old) in enumerate(zip(signature(alpha), own, strict=True)) if now != old)
        return -lost - convex * lost**2

    return score


def arbitrary(seed: int, kind: str) -> Score:
    """Any number, the same whenever the same is computed; of some kinds that a user's rewards may be of."""

    def score(alpha: Architecture) -> float:
        value = Random(f"{seed} {signature(alpha)}").uniform(-1, 1)  # noqa: S311 - no secrets here
        match kind:
            case "equal":
                return 3.0
            case "tiny":
                return 1e-15 * value
            case "huge":
                return 1e15 * value
            case "hopeless":
                return -math.inf if value < 0 else value
            case "bad":
                return -1e6 if value < 0 else value
            case "undefined":
                return math.nan if value < 0 else value
        return value

    return score


def all_alphas(beta: Architecture) -> Iterator[Architecture]:
    """Every legal α of a tiny β, by trying all."""
    options = [
        (state, *(s for s in edge.successors[state] if s != State.S or edge.skip is not None))
        for edge, state in zip(beta.topology.edges, beta.states, strict=True)
    ]
    for states in itertools.product(*options):
        alpha = beta.with_states(states)
        if states != beta.states and violation(alpha, beta) is None:
            yield alpha
