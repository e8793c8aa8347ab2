"""What is said to be the least is judged by looking at every α of random architectures."""

from itertools import product

import pytest
from hypothesis import given

from natonnx.architecture import Architecture, State, cost, violation
from natonnx.search.price import Madds, Params, Price, Together, share
from natonnx.search.reach import cheapest, least, nearest
from tests.architecture.examples import residual_network
from tests.architecture.strategies import legal_architectures, property_test

_MOST = 6000
"""Architectures that are looked at."""

PRICES = [pytest.param(Madds, id="madds"), pytest.param(Params, id="params")]


def alphas(beta: Architecture) -> list[Architecture]:
    """Every legal α of a β; none where there are too many to be looked at."""
    options = [
        (state, *(after for after in edge.successors[state] if after != State.S or edge.skip))
        for edge, state in zip(beta.topology.edges, beta.states, strict=True)
    ]
    count = 1
    for each in options:
        count *= len(each)
    if count > _MOST:
        return []
    every = (beta.with_states(states) for states in product(*options))
    return [alpha for alpha in every if violation(alpha, beta) is None]


def check(beta: Architecture, price: Price) -> None:
    """Compare with every α."""
    found, bound, every = cheapest(beta, price), least(beta, price), alphas(beta)
    assert violation(found, beta) is None
    if not price.full:
        assert bound is None
        return
    assert bound is not None
    assert bound <= share(price, found) + 1e-9 <= 1 + 1e-9
    if every:
        assert bound <= min(share(price, alpha) for alpha in every) + 1e-9


@pytest.mark.parametrize("made", PRICES)
@property_test
@given(legal_architectures(6))
def test_nothing_is_below_the_least(made: type[Madds | Params], beta: Architecture) -> None:
    check(beta, made(beta))


@pytest.mark.parametrize("made", PRICES)
@property_test
@given(legal_architectures(6, concats=True))
def test_nothing_is_below_the_least_where_concats_lose_members(made: type[Madds | Params], beta: Architecture) -> None:
    check(beta, made(beta))


@pytest.mark.parametrize("made", PRICES)
@property_test
@given(legal_architectures(5, concats=True, cheaper=True) | legal_architectures(5, cheaper=True))
def test_nothing_is_below_the_least_of_cheaper_operations(made: type[Madds | Params], beta: Architecture) -> None:
    check(beta, made(beta))


@pytest.mark.parametrize("made", PRICES)
def test_of_a_residual_network_the_least_is_exact(made: type[Madds | Params]) -> None:
    beta = residual_network(2)
    price = made(beta)
    assert share(price, cheapest(beta, price)) == pytest.approx(least(beta, price))


def test_of_limits_together_no_least_is_known_and_a_path_keeps_to_them() -> None:
    beta = residual_network(2)
    price = Together((Madds(beta), Params(beta)), (0.3, 0.5))
    assert least(beta, price) is None
    alpha = cheapest(beta, price, 0.5)
    assert cost(alpha).madds <= 0.3 * cost(beta).madds  # type: ignore[operator]
    assert cost(alpha).params <= 0.5 * cost(beta).params


def test_a_target_is_enough() -> None:
    beta = residual_network(2)
    price = Madds(beta)
    assert price.cost(cheapest(beta, price, 0.8)) <= 0.8 * price.full


@pytest.mark.parametrize("target", [0.1, 0.5, 0.9])
@property_test
@given(legal_architectures(7, concats=True))
def test_what_is_nearest_to_a_target_meets_it(target: float, beta: Architecture) -> None:
    """It is found wherever anything is, and never worse used than the cheapest."""
    price = Madds(beta)
    low, found = cheapest(beta, price, target), nearest(beta, price, target)
    assert (found is None) == (share(price, low) > target)
    if found is not None:
        assert violation(found, beta) is None
        assert share(price, low) <= share(price, found) + 1e-9 <= target + 1e-9
