"""A promise: what paired samples that nothing was selected on rule out of a loss."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from natonnx.search.paired import Floats, p_of_answers, p_of_scores
from natonnx.search.score import Score

__all__ = ["Promise", "promise_of"]

_TOLERANCE = 1e-3
"""Of the bound, relative to how far it is from what was lost."""
_NEAR = 0.01
"""Of a number of samples that would be enough, as a part of it."""
_MOST_TESTED = 10**6
"""Samples beyond which the normal approximation says how many would be enough."""


@dataclass(frozen=True)
class Promise:
    """What samples say of a loss, before `Unit.scale`.

    Attributes:
        limit: The most that may be lost.
        confidence: At which a larger loss must be ruled out.
        samples: How many there were.
        lost: What they lost on average.
        bound: Losses above it are ruled out at that confidence.
        enough: How many samples would do that above `limit`, were as much lost and as many pairs different in them;
            None where these do, or no number would, as more was lost than may be.
    """

    limit: float
    confidence: float
    samples: int
    lost: float
    bound: float
    enough: int | None

    @property
    def met(self) -> bool:
        """Whether a loss above the limit is ruled out."""
        return self.bound <= self.limit


def promise_of(before: Score, after: Score, limit: float, confidence: float, least: float | None = None) -> Promise:
    """Judge what one model loses to another, pair by pair.

    Right and wrong answers are tested exactly, other scores by the bootstrap; see `natonnx.search.paired`.

    Args:
        before: Of the one, with what each sample scores.
        after: Of the other, on the same samples.
        limit: The most that may be lost.
        confidence: At which a larger loss must be ruled out, above 0.5 and below 1.
        least: The least that a sample can score; where None, or what was seen is less, that.
    """
    first, second = np.array(before.each), np.array(after.each)
    assert len(first) == len(second) > 0, "scores of the same samples"
    losses, level, count = first - second, 1 - confidence, len(first)
    lost = float(f"{losses.mean():.9g}")
    lowest = min(first.min(), second.min(), math.inf if least is None else least)
    are_answers = {*first, *second} <= {0.0, 1.0} and (least is None or least >= 0)
    worst = 1.0 if are_answers else float(first.max() - lowest)
    test = _test_of_answers(losses, level) if are_answers else _test_of_scores(losses, worst)

    def rules_out(loss: float) -> bool:
        return test(loss, count) <= level

    low, high = (max(0.0, lost), limit) if rules_out(limit) else (max(limit, lost), worst)
    bound = low if low < limit and rules_out(low) else _crossing(rules_out, low, high)
    enough = None
    if lost < limit < bound:
        guess = (statistics.NormalDist().inv_cdf(confidence) * float(losses.std()) / (limit - lost)) ** 2
        enough = _round_up(guess) if guess > _MOST_TESTED else _enough(lambda n: test(limit, n) <= level, count)
    return Promise(limit, confidence, count, lost, bound, enough)


Test = Callable[[float, int], float]
"""The p-value of a loss, were there so many samples like those that were seen."""


def _test_of_answers(losses: Floats, level: float) -> Test:
    lost, won, count = int((losses > 0).sum()), int((losses < 0).sum()), len(losses)

    def test(loss: float, samples: int) -> float:
        more_lost, more_won = -(-lost * samples // count), won * samples // count
        return p_of_answers(more_lost, more_won, samples, loss, level)

    return test


def _test_of_scores(losses: Floats, worst: float) -> Test:
    return lambda loss, samples: p_of_scores(losses, worst, loss, samples / len(losses))


def _crossing(rules_out: Callable[[float], bool], low: float, high: float) -> float:
    """Return the least loss that is ruled out, from above: above one that is not, at most one that is."""
    start = low
    while high - low > _TOLERANCE * (high - start):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (low, middle) if rules_out(middle) else (middle, high)
    return high


def _enough(holds: Callable[[int], bool], count: int) -> int:
    """Return how many samples would do, where so many do not."""
    low, high = count, 2 * count
    while not holds(high) and high < _MOST_TESTED:
        low, high = high, 2 * high
    while high - low > max(1, high * _NEAR):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return _round_up(high)


def _round_up(count: float) -> int:
    """Return a number of samples to two digits, rounded up."""
    step = int(10 ** max(0, math.floor(math.log10(count)) - 1))
    return math.ceil(count / step) * step
