"""Paired differences of accuracy, with intervals by the bootstrap over test samples and seeds."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Difference", "Resampled", "mean_difference", "resample"]

_RESAMPLES = 1000
_QUANTILES = (0.025, 0.975)

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Difference(NamedTuple):
    """A difference of accuracies, as a fraction, and its 95 % interval."""

    value: float
    low: float
    high: float


class Resampled(NamedTuple):
    """A difference of accuracies, and what it is in each resample [resamples]."""

    value: float
    values: Floats


def resample(first: Sequence[Flags], second: Sequence[Flags], data: str = "") -> Resampled:
    """Resample the accuracy of one method less that of another.

    Test samples and seeds are drawn with replacement, the same samples for both methods and for all seeds. Differences
    on the same data are resampled alike, so that means of them keep what they have in common.

    Args:
        first: Which test samples are right, for each seed [samples].
        second: The same of the other method, of the same seeds.
        data: What the samples are of.
    """
    differences = np.array(first, np.float32) - np.array(second, np.float32)
    weights = _weights(differences.shape[1], data)
    by_seed = weights @ differences.T / differences.shape[1]
    generator = np.random.default_rng(len(differences))
    chosen = generator.integers(0, len(differences), (_RESAMPLES, len(differences)))
    values = np.take_along_axis(by_seed, chosen, 1).mean(1).astype(np.float64)
    return Resampled(float(differences.mean(dtype=np.float64)), values)


def mean_difference(found: Sequence[Resampled]) -> Difference:
    """Return the mean of differences, such as those of several networks, with its interval."""
    low, high = np.quantile(np.mean([each.values for each in found], 0), _QUANTILES)
    return Difference(float(np.mean([each.value for each in found])), float(low), float(high))


@cache
def _weights(samples: int, data: str) -> npt.NDArray[np.float32]:
    """Return how often each sample is drawn [resamples, samples]."""
    generator = np.random.default_rng([samples, *data.encode()])
    drawn = (np.bincount(generator.integers(0, samples, samples), minlength=samples) for _ in range(_RESAMPLES))
    return np.stack([counts.astype(np.float32) for counts in drawn])
