"""Random α's within a budget."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from natonnx.architecture import Architecture, violation
from natonnx.search.price import Madds
from natonnx.search.propose.moves import Moves
from natonnx.search.propose.variation import EXPLORED, Variation
from tests.architecture.examples import chain
from tests.architecture.strategies import legal_architectures, property_test


def _variation(beta: Architecture, seed: int) -> Variation:
    price = Madds(beta)
    return Variation(
        Moves(beta, price), lambda alpha: price.cost(alpha) / (price.full or 1), torch.Generator().manual_seed(seed)
    )


@given(legal_architectures(9, concats=True), st.sampled_from([0.2, 0.5, 0.8]), st.integers(0, 99))
@property_test
def test_what_is_made_is_legal_and_meets_the_target(beta: Architecture, target: float, seed: int) -> None:
    price, variation = Madds(beta), _variation(beta, seed)
    alpha = variation.random(target)
    for _ in range(5):
        if alpha is None:
            return
        assert violation(alpha, beta) is None
        assert price.cost(alpha) <= target * price.full
        alpha = variation.mutate(alpha, target)


def test_little_of_the_budget_is_left() -> None:
    beta, price = chain(40), Madds(chain(40))
    alphas = [_variation(beta, seed).random(0.5) for seed in range(20)]
    assert all(alpha is not None and EXPLORED * 0.5 <= price.cost(alpha) / price.full <= 0.5 for alpha in alphas)


def test_orders_are_plackett_and_luces() -> None:
    beta, weights = chain(3), np.array([1.0, 2.0, 5.0])
    variation = _variation(beta, 0)
    logits = torch.from_numpy(np.log(weights))
    draws = [variation.draw(0.0, logits) for _ in range(4000)]
    counts = Counter(tuple(draw.order.tolist()) for draw in draws if draw is not None)
    assert sum(counts.values()) == 4000
    for order in permutations(range(3)):
        a, b, c = weights[list(order)]
        assert counts[order] / 4000 == pytest.approx(a / (a + b + c) * b / (b + c), abs=0.025)


def test_as_many_are_taken_as_the_target_needs() -> None:
    draw = _variation(chain(10), 0).draw(0.7, torch.zeros(10))
    assert draw is not None
    assert draw.taken == 3
    assert {i for i, state in enumerate(draw.architecture.states) if state != "O"} == set(draw.order[:3].tolist())


@pytest.mark.parametrize("seed", range(5))
def test_beta_is_no_alpha_whatever_the_target(seed: int) -> None:
    beta, variation = chain(6), _variation(chain(6), seed)
    for target in (1.0, 2.0):
        alpha = variation.random(target)
        assert alpha is not None
        assert sum(a is not b for a, b in zip(alpha.states, beta.states, strict=True)) == 1


def test_where_nothing_saves_anything_there_is_none() -> None:
    assert _variation(chain(0), 0).random(1.0) is None
