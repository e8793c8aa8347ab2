"""Tests of paired scores against enumeration of every outcome, beta distributions, and draws."""

import functools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from natonnx.search.paired import p_of_answers, p_of_scores

Floats = npt.NDArray[np.float64]


@functools.cache
def statistic(lost: int, won: int, samples: int, limit: float) -> float:
    """B − C − n·limit, by its deviation where the likelihood is highest at a loss of just the limit."""

    def unlikely(share: float) -> float:
        parts = ((lost, share + limit), (won, share), (samples - lost - won, 1 - 2 * share - limit))
        return -sum(count * math.log(max(chance, 1e-300)) for count, chance in parts if count)

    most = (1 - limit) / 2
    found = optimize.minimize_scalar(unlikely, bounds=(0, most), method="bounded", options={"xatol": 1e-12})
    share = min((0.0, found.x, most), key=unlikely)
    deviation = math.sqrt(samples * (2 * share + limit - limit**2))
    return (lost - won - samples * limit) / deviation if deviation > 1e-9 else 0.0


def by_enumeration(lost: int, won: int, samples: int, limit: float, level: float) -> float:
    """The largest probability, over rates at which pairs may differ, of tables that are as extreme."""
    seen = statistic(lost, won, samples, limit)
    tables = [(b, c) for b in range(samples + 1) for c in range(samples + 1 - b)]
    extreme = [table for table in tables if statistic(*table, samples, limit) <= seen + 1e-6]
    missed, differ = level / 100, lost + won
    low = stats.beta.ppf(missed / 2, differ, samples - differ + 1) if differ else 0.0
    high = stats.beta.ppf(1 - missed / 2, differ + 1, samples - differ) if differ < samples else 1.0
    if high <= limit:
        return missed
    worst = 0.0
    for rate in np.linspace(max(low, limit), high, 801):
        chances = (rate + limit) / 2, (rate - limit) / 2, 1 - rate
        total = sum(
            math.comb(samples, b) * math.comb(samples - b, c) * chances[0] ** b * chances[1] ** c
            * max(chances[2], 0.0) ** (samples - b - c)
            for b, c in extreme
        )  # fmt: skip
        worst = max(worst, total)
    return min(1.0, worst + missed)


@pytest.mark.parametrize(("samples", "limit"), [(3, 0.2), (7, 0.05), (9, 0.3), (8, 0.0)])
def test_p_of_answers_is_that_of_all_outcomes(samples: int, limit: float) -> None:
    for lost in range(0, samples + 1, 2):
        for won in range(0, samples + 1 - lost, 2):
            found = p_of_answers(lost, won, samples, limit, 0.05)
            assert found == pytest.approx(by_enumeration(lost, won, samples, limit, 0.05), abs=2e-5), (lost, won)


@pytest.mark.parametrize(("samples", "limit", "level"), [(25, 0.1, 0.05), (40, 0.06, 0.1)])
def test_a_loss_at_the_limit_is_ruled_out_as_rarely_as_it_should(samples: int, limit: float, level: float) -> None:
    """The probability, summed over every outcome, is at most the level, and not much less."""
    tables = [(b, c) for b in range(samples + 1) for c in range(samples + 1 - b)]
    passed = [(b, c) for b, c in tables if p_of_answers(b, c, samples, limit, level) <= level]
    wrong = []
    for rate in (limit, 1.5 * limit, 2 * limit, 4 * limit, 0.9):
        chances = [(rate + limit) / 2, (rate - limit) / 2, 1 - rate]
        found = stats.multinomial.pmf([[b, c, samples - b - c] for b, c in passed], samples, chances)
        wrong.append(float(np.sum(found)))
    assert max(wrong) <= level
    assert max(wrong) > 0.6 * level


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_p_of_answers_rises_with_what_is_lost_and_falls_with_what_may_be(data: st.DataObject) -> None:
    samples = data.draw(st.integers(2, 400))
    lost = data.draw(st.integers(0, min(samples - 1, 30)))
    won = data.draw(st.integers(0, min(samples - 1 - lost, 30)))
    limit = data.draw(st.floats(0.0, 0.2))
    found = p_of_answers(lost, won, samples, limit, 0.05)
    slack = 0.05 * 0.01 + 1e-9
    assert 0 <= found <= 1
    assert p_of_answers(lost, won, samples, limit + 0.05, 0.05) <= found + slack
    if won:
        assert p_of_answers(lost + 1, won - 1, samples, limit, 0.05) >= found - slack


@pytest.mark.parametrize("samples", [1, 5, 200, 3000])
@pytest.mark.parametrize("limit", [1e-4, 0.01, 0.2, 0.6])
def test_of_answers_of_which_none_is_won_the_bootstrap_is_clopper_and_pearson(samples: int, limit: float) -> None:
    for lost in {0, 1, samples // 10, samples // 2}:
        losses = np.arange(samples) < lost
        expected = stats.beta.sf(limit, lost + 1, samples - lost) if lost < samples else 1.0
        assert p_of_scores(losses.astype(float), 1.0, limit) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("skew", [-1.0, 0.0, 1.0])
def test_p_of_scores_is_that_of_draws(skew: float) -> None:
    generator = np.random.default_rng(0)
    losses = np.clip(generator.normal(0, 0.2, 120) + skew * (generator.random(120) < 0.05), -1, 1)
    weights = generator.standard_exponential((20_000, 121))
    means = weights @ np.append(losses, 1.0) / weights.sum(1)
    for quantile in (0.5, 0.9, 0.95, 0.99):
        limit = float(np.quantile(means, quantile))
        found = p_of_scores(losses, 1.0, limit)
        assert found == pytest.approx(1 - quantile, abs=4 * math.sqrt(quantile * (1 - quantile) / 20_000))


def test_more_of_the_same_pairs_are_more_evidence() -> None:
    losses = np.array([0.3, -0.2, 0.0, 0.1] * 10)
    repeated = p_of_scores(np.tile(losses, 3), 1.0, 0.12)
    assert p_of_scores(losses, 1.0, 0.12, times=3.0) == pytest.approx(repeated, abs=1e-7)
    assert repeated < p_of_scores(losses, 1.0, 0.12)


def test_what_differs_from_the_limit_by_rounding_alone_is_the_limit() -> None:
    for noise in (0.0, 1e-18, -1e-18, 5e-324, -5e-324):
        for limit in (0.0, 0.005):
            assert p_of_scores(np.full(50, limit + noise), 1.0, limit) == 1


def test_what_no_pair_can_lose_is_ruled_out() -> None:
    assert p_of_scores(np.zeros(3), 0.4, 0.4) == 0
    assert p_of_scores(np.full(5, 0.5), 1.0, 0.4) == 1  # all lost more than that


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.floats(0, 0.9), st.integers(0, 59))
@settings(max_examples=60, deadline=None)
def test_p_of_scores_rises_with_each_loss_and_falls_with_what_may_be_lost(
    losses: list[float], limit: float, place: int
) -> None:
    array = np.array(losses)
    found = p_of_scores(array, 1.0, limit)
    more = array.copy()
    more[place % len(array)] = 1.0
    assert p_of_scores(array, 1.0, limit + 0.05) <= found + 1e-6
    assert p_of_scores(more, 1.0, limit) >= found - 1e-6
