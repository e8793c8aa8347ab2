"""Greedy removal against one that is not lazy."""

import pytest
import torch

from natonnx.architecture import Architecture
from natonnx.search.keys import signature
from natonnx.search.lookup import Lookups
from natonnx.search.price import Madds
from natonnx.search.propose.greedy import Beam, Greedy
from natonnx.search.propose.moves import Moves
from tests.architecture.examples import chain, residual_network
from tests.search.propose.scores import Score, additive


def _plain_greedy(beta: Architecture, score: Score, target: float) -> Architecture:
    """Try every transition at every step, and make the one of least loss for what it saves."""
    price, current = Madds(beta), beta
    moves, held = Moves(beta, price), tuple[int, ...]()
    while price.cost(current) > target * price.full:
        found = []
        for i in range(len(moves.all)):
            alpha = moves.compose((*held, i))
            if alpha is not None and price.cost(alpha) < price.cost(current):
                ratio = (score(current) - score(alpha)) / (price.cost(current) - price.cost(alpha))
                found.append((ratio, i, alpha))
        _, best, current = min(found, key=lambda one: one[0])
        held = (*held, best)
    return current


def _looked_up(proposer: Beam, beta: Architecture, score: Score, target: float) -> Lookups:
    lookups = Lookups(beta, Madds(beta), score, 100_000)
    proposer.propose(lookups, [target], torch.Generator().manual_seed(0))
    return lookups


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("target", [0.7, 0.4])
def test_lazy_greedy_is_greedy_where_losses_grow(seed: int, target: float) -> None:
    """Each loss is larger beside others, so what was measured before is a bound (Minoux 1978)."""
    beta = chain(20)
    score = additive(beta, seed, convex=0.05)
    lookups = _looked_up(Greedy(tries=100), beta, score, target)
    assert lookups.within(target)[0].score == pytest.approx(score(_plain_greedy(beta, score, target)))
    assert lookups.used < 20 * 20 * (1 - target) / 2


def test_of_a_large_space_those_that_save_most_are_tried_alone() -> None:
    beta = chain(40)
    lookups = Lookups(beta, Madds(beta), additive(beta, 0), 20)
    Greedy().propose(lookups, [0.8], torch.Generator().manual_seed(0))
    alone = {signature(move.architecture) for move in Moves(beta, Madds(beta)).all}
    assert len(alone & lookups.entries.keys()) == 10
    assert lookups.within(0.8)


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_that_tries_all_is_no_worse_than_greedy(seed: int) -> None:
    beta = residual_network(6)
    score = additive(beta, seed, convex=0.05)
    narrow = _looked_up(Greedy(tries=1000), beta, score, 0.5).within(0.5)[0].score
    assert _looked_up(Beam(8, 1000), beta, score, 0.5).within(0.5)[0].score >= narrow - 1e-9


def test_other_targets_are_passed_on_the_way() -> None:
    beta = chain(10)
    lookups = Lookups(beta, Madds(beta), additive(beta, 0), 10_000)
    Greedy().propose(lookups, [0.8, 0.5, 0.2], torch.Generator())
    for target in (0.8, 0.5, 0.2):
        assert lookups.within(target)[0].share == pytest.approx(target)
