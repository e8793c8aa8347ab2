"""How much slower one model is than another, with a confidence interval that survives a busy machine.

Two neighbouring rounds, A B and B A or B A and A B, make one unit: what its position costs a model cancels, and so does
what slows both. The median of a block's units is robust against bursts. Blocks have fresh sessions, so that their
spread shows what memory layout does to a session; it is the blocks that are resampled, in runs of neighbours, as what
else the machine does may outlast one of them.
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["CONFIDENCE", "Interval", "interval_of", "level_interval", "quotient", "ratio_interval"]

CONFIDENCE = 0.99
"""Of the intervals that commands report: one comparison in a hundred of equal models may call them different."""

_RESAMPLES = 10_000
_FEW = 12
"""Below so many blocks they are resampled one by one: runs of neighbours would leave too few."""


class Interval(NamedTuple):
    """An estimate, and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def ratio_interval(
    blocks: Sequence[npt.NDArray[np.float64]], model: int, *, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """Ratio of a model's latency to that of the first model, over the same rounds.

    Args:
        blocks: See `natonnx.bench.Timings`: arrays [models, rounds] of times, with an even number of rounds.
        model: The model's position.
        confidence: Of the interval.
        seed: Of the resampling.
    """
    logs = np.array([_log_ratio(block[0], block[model]) for block in blocks])
    found = interval_of(logs, confidence=confidence, seed=seed)
    return Interval(*(math.exp(value) for value in found))


def level_interval(
    blocks: Sequence[npt.NDArray[np.float64]], model: int, *, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """Time of one model by itself: the median of a block, over the blocks. What the machine does else is in it.

    Args:
        blocks: See `ratio_interval`.
        model: The model's position.
        confidence: Of the interval.
        seed: Of the resampling.
    """
    logs = np.array([math.log(float(np.median(block[model]))) for block in blocks])
    return Interval(*(math.exp(value) for value in interval_of(logs, confidence=confidence, seed=seed)))


def quotient(numerator: Interval, denominator: Interval) -> Interval:
    """Divide two estimates that were measured apart; the interval is of the confidence of theirs.

    The distances from an estimate to the ends of its interval, on a scale of logarithms, add up as the sides of a right
    angle do (MOVER: Zou and Donner 2008, "Construction of confidence limits about effect measures").
    """
    over, under = ([math.log(number) for number in each] for each in (numerator, denominator))
    value = over[0] - under[0]
    low = value - math.hypot(over[0] - over[1], under[2] - under[0])
    high = value + math.hypot(over[2] - over[0], under[0] - under[1])
    return Interval(math.exp(value), math.exp(low), math.exp(high))


def _log_ratio(first: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Median over the units of a block of the mean log ratio in the unit's two rounds."""
    logs = np.log(other) - np.log(first)
    return float(np.median(logs.reshape(-1, 2).mean(axis=1)))


def interval_of(values: npt.NDArray[np.float64], *, confidence: float = CONFIDENCE, seed: int = 0) -> Interval:
    """Interquartile mean of a series, with an expanded percentile interval of the circular block bootstrap.

    The percentiles are moved outwards by Student's distribution and n / (n - 1), as otherwise they would be too narrow
    for few values (Hesterberg 2015, "What Teachers Should Know About the Bootstrap"). The interval never reaches
    beyond the series itself, so of fewer than about ten values it still covers less than it says.

    Args:
        values: [n] in the order in which they were measured; neighbours may be correlated.
        confidence: Of the interval.
        seed: Of the resampling.
    """
    count = len(values)
    length = round(count ** (1 / 3)) if count >= _FEW else 1
    generator = np.random.default_rng(seed)
    starts = generator.integers(0, count, (_RESAMPLES, -(-count // length), 1))
    picked = ((starts + np.arange(length)) % count).reshape(_RESAMPLES, -1)[:, :count]
    independent = max(2.0, count / length)
    quantile = _student(1 - (1 - confidence) / 2, independent - 1)
    tail = statistics.NormalDist().cdf(-math.sqrt(independent / (independent - 1)) * quantile)
    low, high = np.quantile(_midmean(values[picked]), [tail, 1 - tail])
    return Interval(float(_midmean(values)), float(low), float(high))


def _midmean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean of the middle half along the last axis."""
    ordered = np.sort(values, axis=-1)
    cut = ordered.shape[-1] // 4
    middle: npt.NDArray[np.float64] = ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)
    return middle


def _student(probability: float, freedom: float) -> float:
    """Quantile of Student's t distribution, by the Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5)."""
    z = statistics.NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))
