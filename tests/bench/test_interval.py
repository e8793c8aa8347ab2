"""Intervals of made-up series whose truth is known."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from natonnx.bench import Interval, level_interval, quotient, ratio_interval
from natonnx.bench.interval import interval_of

Array = npt.NDArray[np.float64]


def correlated(generator: np.random.Generator, count: int, memory: float) -> Array:
    """A stationary AR(1) series of mean 0 and variance 1."""
    values = generator.normal(size=count)
    for i in range(1, count):
        values[i] = memory * values[i - 1] + math.sqrt(1 - memory**2) * values[i]
    return values


def blocks(generator: np.random.Generator, ratio: float, *, count: int = 20, rounds: int = 40) -> list[Array]:
    """Two models: lasting noise of the machine that both feel, bursts that one feels, and luck of the session."""
    made = []
    machine = np.exp(0.3 * correlated(generator, count * rounds, 0.95)).reshape(count, rounds)
    for shared in machine:
        luck = np.exp(0.01 * generator.normal(size=2))[:, None]
        own = np.exp(0.05 * generator.normal(size=(2, rounds)))
        bursts = np.where(generator.random((2, rounds)) < 0.05, 10.0, 1.0)
        made.append(np.array([[1.0], [ratio]]) * shared * luck * own * bursts)
    return made


@pytest.mark.parametrize("memory", [0.0, 0.3])
@pytest.mark.parametrize("count", [10, 20, 40])
def test_coverage(count: int, memory: float) -> None:
    """99 % intervals of independent series hold the truth nearly always; of correlated ones nearly as often."""
    generator = np.random.default_rng(count)
    series = [correlated(generator, count, memory) for _ in range(60)]
    held = [interval_of(values, seed=i) for i, values in enumerate(series)]
    covered = sum(found.low <= 0 <= found.high for found in held)
    assert covered >= (58 if memory == 0 else 54)


def test_a_lower_confidence_is_narrower_and_does_miss() -> None:
    generator = np.random.default_rng(0)
    series = [correlated(generator, 20, 0.0) for _ in range(60)]
    half = [interval_of(values, confidence=0.5) for values in series]
    whole = [interval_of(values) for values in series]
    assert all(a.low > b.low and a.high < b.high for a, b in zip(half, whole, strict=True))
    assert 15 <= sum(found.low <= 0 <= found.high for found in half) <= 50


def test_correlation_widens_the_interval() -> None:
    """Values in order of size say less than the same ones shuffled: what drifts may drift on."""
    drifting = np.linspace(-1, 1, 60)
    mixed = np.random.default_rng(0).permutation(drifting)
    slow, fast = interval_of(drifting), interval_of(mixed)
    assert slow.value == pytest.approx(fast.value)
    assert slow.high - slow.low > 1.3 * (fast.high - fast.low)


def test_a_few_wild_values_do_not_move_the_estimate() -> None:
    values = np.zeros(20)
    values[[3, 11]] = 100.0
    assert interval_of(values).value == 0.0


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=20)
    assert interval_of(values, seed=1) == interval_of(values, seed=1)
    assert interval_of(values, seed=1) != interval_of(values, seed=2)


def test_equal_models_are_found_equal_and_ten_per_cent_are_found() -> None:
    """Under noise thirty times the difference, which both models share."""
    generator = np.random.default_rng(0)
    equal = [ratio_interval(blocks(generator, 1.0), 1, seed=i) for i in range(30)]
    slower = [ratio_interval(blocks(generator, 1.1), 1, seed=i) for i in range(30)]
    assert sum(found.low <= 1 <= found.high for found in equal) >= 28
    assert all(found.low > 1 for found in slower)
    assert sum(found.low <= 1.1 <= found.high for found in slower) >= 28
    assert all(abs(found.value - 1.1) < 0.03 for found in slower)


def test_what_the_place_in_a_round_costs_cancels() -> None:
    """In rounds A B, B A the later one is twice as slow: the models are equal all the same."""
    late = np.array([[1.0, 2.0], [2.0, 1.0]])
    found = ratio_interval([np.tile(late, 5)] * 10, 1)
    assert found == pytest.approx((1.0, 1.0, 1.0))


def test_each_model_is_compared_with_the_first() -> None:
    times = np.array([[2.0], [4.0], [1.0]]) * np.ones((3, 6))
    assert ratio_interval([times] * 10, 1).value == pytest.approx(2.0)
    assert ratio_interval([times] * 10, 2).value == pytest.approx(0.5)


# Measured apart


def test_the_interval_of_a_quotient() -> None:
    """On a scale of logarithms, distances to the ends add up like the sides of a right angle: 3 and 4 make 5."""
    over = Interval(*(math.exp(value) for value in (1.0, 0.97, 1.04)))
    under = Interval(*(math.exp(value) for value in (0.4, 0.37, 0.44)))
    assert [math.log(value) for value in quotient(over, under)] == pytest.approx([0.6, 0.55, 0.65])
    one = Interval(1.0, 1.0, 1.0)
    assert quotient(over, one) == pytest.approx(over)
    assert quotient(over, over).low < 1 < quotient(over, over).high


def test_the_interval_of_a_quotient_covers_what_it_says() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for turn in range(60):
        over, under = (interval_of(generator.normal(size=20), seed=turn) for _ in range(2))
        found = quotient(*(Interval(*map(math.exp, each)) for each in (over, under)))
        held += found.low <= 1 <= found.high
    assert held >= 58


def test_a_level_is_that_of_the_blocks() -> None:
    times = [np.array([[1.0, 1.0, 9.0], [level, level, 1.0]]) for level in [3.0] * 5 + [4.0] * 5]
    assert level_interval(times, 0) == pytest.approx((1.0, 1.0, 1.0))
    found = level_interval(times, -1)
    assert 3.0 <= found.low < found.value < found.high <= 4.0
