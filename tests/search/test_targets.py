"""What is limited, and how amounts are written."""

from typing import Any

import numpy as np
import pytest

from natonnx.architecture import State
from natonnx.search import Settings
from natonnx.search.amount import Amount, amounts
from natonnx.search.price import Madds, Params, Price, Together
from natonnx.search.targets import arrange, limited_prices, targets_of
from tests.architecture.examples import residual_network

BETA = residual_network(3)
PRICES: tuple[Price, ...] = (Madds(BETA), Params(BETA))


@pytest.mark.parametrize(
    ("given", "name", "found"),
    [
        (0.7, "madds", [Amount(0.7)]),
        ("0.7", "madds", [Amount(0.7)]),
        ("70%", "latency_ms", [Amount(0.7)]),
        ("5ms", "latency_ms", [Amount(5.0, absolute=True)]),
        (" 250 us", "latency_ms", [Amount(0.25, absolute=True)]),
        ("1.5M", "params", [Amount(1.5e6, absolute=True)]),
        ("2MiB,1MB", "size_bytes", [Amount(2.0**21, absolute=True), Amount(1e6, absolute=True)]),
        (np.float64(0.5), "madds", [Amount(0.5)]),
        (np.array([0.4, 0.8]), "madds", [Amount(0.8), Amount(0.4)]),
        ((share for share in (0.4, 0.8)), "madds", [Amount(0.8), Amount(0.4)]),
    ],
)
def test_amounts_are_written_in_many_ways(given: Any, name: str, found: list[Amount]) -> None:
    assert amounts(given, name, "--target") == tuple(found)


def test_targets_are_fractions_of_the_input_the_largest_first() -> None:
    assert targets_of(PRICES, Settings()) == ()
    assert targets_of(PRICES, Settings(target_madds=(0.4, 0.8, 0.6, 0.8))) == (0.8, 0.6, 0.4)
    half = str(PRICES[0].full / 2 / 1e3) + "k"
    assert list(targets_of(PRICES, Settings(target_madds=half))) == pytest.approx([0.5])
    assert targets_of(PRICES, Settings(target_madds="9T")) == (1.0,)  # no α costs more


def test_what_is_limited_comes_first() -> None:
    by_params = arrange(PRICES, Settings(target_params=0.5))
    assert [price.name for price in by_params] == ["params", "madds"]
    assert targets_of(by_params, Settings(target_params=0.5)) == (0.5,)
    assert limited_prices(by_params, 0.5) == ((PRICES[1], 0.5),)


def test_several_limits_hold_together() -> None:
    """The cost of both is the larger limit exactly where each is kept to, and more where one is missed."""
    settings = Settings(target_madds=0.8, target_params=0.6)
    together, *others = arrange(PRICES, settings)
    assert isinstance(together, Together)
    assert others == list(PRICES)
    (target,) = targets_of((together, *others), settings)
    assert together.cost(BETA) == together.full == 1.0
    assert limited_prices((together, *others), target) == ((PRICES[0], 0.8), (PRICES[1], 0.6))
    for changed in range(2 ** len(BETA.states)):
        states = [
            State.N if changed >> e & 1 and BETA.topology.edges[e].operation else state
            for e, state in enumerate(BETA.states)
        ]
        alpha = BETA.with_states(tuple(states))
        kept = all(price.cost(alpha) <= limit * price.full for price, limit in zip(PRICES, (0.8, 0.6), strict=True))
        assert (together.cost(alpha) <= target) == kept
