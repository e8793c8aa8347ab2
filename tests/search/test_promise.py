"""What paired scores promise: bounds of a loss, and how many samples would be enough."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from natonnx.search import Score
from natonnx.search.promise import Promise, promise_of


def promise(
    before: Sequence[float],
    after: Sequence[float],
    limit: float,
    confidence: float = 0.95,
    least: float | None = 0.0,
    times: int = 1,
) -> Promise:
    first, second = (Score(float(np.mean(each)), each=tuple(each) * times) for each in (before, after))
    return promise_of(first, second, limit, confidence, least)


def of_answers(lost: int, won: int, samples: int, limit: float, confidence: float = 0.95, times: int = 1) -> Promise:
    same = samples - lost - won
    before, after = [1.0] * lost + [0.0] * won + [1.0] * same, [0.0] * lost + [1.0] * won + [1.0] * same
    return promise(before, after, limit, confidence, times=times)


@pytest.mark.parametrize("samples", [60, 300, 1000])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_rule_of_three(samples: int, confidence: float) -> None:
    """Of n answers that are all as before, the bound is that of no event in n trials."""
    found = of_answers(0, 0, samples, 0.0, confidence)
    assert (found.lost, found.met, found.enough) == (0, False, None)  # that nothing is lost cannot be shown by none
    least = 1 - (1 - confidence) ** (1 / samples)
    assert least * 0.999 <= found.bound <= 1.1 * least


def test_what_is_met() -> None:
    assert of_answers(10, 8, 1000, 0.02).met
    assert not of_answers(10, 8, 1000, 0.009).met
    assert not of_answers(10, 8, 1000, 0.0175, confidence=0.999).met
    assert of_answers(0, 9, 300, 0.0).met  # it gains
    assert of_answers(300, 0, 300, 1.0).met  # all may be lost
    assert promise([1.0] * 50, [0.5] * 50, 0.5, least=0.5).met  # no more can be lost


def test_the_bound_does_not_depend_on_the_limit() -> None:
    bounds = [of_answers(12, 5, 800, limit).bound for limit in (0.0, 0.005, 0.015, 0.03, 0.5)]
    assert bounds == pytest.approx([bounds[0]] * 5, rel=2e-3)


def test_the_bound_is_about_that_of_a_normal_distribution_where_there_are_many() -> None:
    found = of_answers(400, 380, 20_000, 0.01)
    error = (780 / 20_000 / 20_000) ** 0.5
    assert found.bound == pytest.approx(0.001 + 1.645 * error, rel=0.02)


@pytest.mark.parametrize(("lost", "won", "samples", "limit"), [(0, 0, 150, 0.01), (5, 4, 200, 0.03), (9, 5, 500, 0.01)])
def test_enough_is_enough(lost: int, won: int, samples: int, limit: float) -> None:
    """So many samples like these would do, and not much fewer."""
    found = of_answers(lost, won, samples, limit)
    assert found.enough is not None
    times = -(-found.enough // samples)
    assert of_answers(lost, won, samples, limit, times=times).met
    assert found.enough <= samples or not of_answers(lost, won, samples, limit, times=times // 2).met


def test_enough_of_other_scores() -> None:
    losses = [0.0, 0.02, 0.05, -0.03] * 10
    before, after = [0.9] * 40, [0.9 - loss for loss in losses]
    found = promise(before, after, 0.03)
    assert not found.met
    assert found.enough is not None
    assert promise(before, after, 0.03, times=-(-found.enough // 40)).met


def test_no_number_is_enough_where_more_is_lost_than_may_be() -> None:
    for samples in (10, 1000):
        found = of_answers(samples // 10, 0, samples, 0.1)
        assert (found.met, found.enough) == (False, None)


def test_a_number_beyond_reach_is_told_all_the_same() -> None:
    enough = of_answers(10, 5, 1000, 0.00501).enough
    assert enough is not None
    assert enough == pytest.approx(1.645**2 * (0.015 - 0.005**2) / 0.00001**2, rel=0.1)


def test_a_rare_loss_that_no_sample_has_shown_is_not_ruled_out() -> None:
    """As the percentiles of a bootstrap of these samples alone would."""
    found = promise([0.8] * 200, [0.8] * 199 + [0.79], 0.005)
    assert found.bound == pytest.approx(0.8 * (1 - 0.05 ** (1 / 200)), rel=0.02)
    assert promise([0.8] * 200, [0.8] * 199 + [0.79], 0.005, least=0.7).met


def test_of_a_score_without_bounds_the_range_that_was_seen_stands_for_them() -> None:
    generator = np.random.default_rng(0)
    before = generator.normal(0, 10, 300)
    found = promise(before.tolist(), (before - generator.normal(1, 1, 300)).tolist(), 2.0, least=None)
    assert found.met
    assert found.bound > 1 + 1.645 / 300**0.5
    assert promise([3.0] * 100, [3.0] * 100, 0.5, least=None).met


@given(st.integers(50, 400), st.integers(0, 12), st.integers(0, 12), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=8, deadline=None)
def test_the_bound_is_above_what_was_lost_and_rises_with_confidence(
    samples: int, lost: int, won: int, confidence: float
) -> None:
    found = of_answers(lost, won, samples, 0.02, confidence)
    assert found.lost == pytest.approx((lost - won) / samples, abs=1e-8)
    assert max(0.0, found.lost) <= found.bound <= 1
    assert found.met == (found.bound <= 0.02)
    assert of_answers(lost, won, samples, 0.02, (1 + confidence) / 2).bound >= found.bound * (1 - 2e-3)


def test_a_binomial_test_agrees_where_every_pair_differs() -> None:
    """Then the number that are lost is binomial, and the bound of the mean twice its own, less one."""
    lost, samples = 120, 260
    found = of_answers(lost, samples - lost, samples, 0.0, 0.95)
    high = stats.binomtest(lost, samples).proportion_ci(0.9, "exact").high
    assert found.bound == pytest.approx(2 * high - 1, abs=0.01)
