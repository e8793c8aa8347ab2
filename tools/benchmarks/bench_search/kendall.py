"""Kendall's rank correlation, with a bootstrap standard error."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Correlation", "correlate", "tau"]

_RESAMPLES = 1000

Floats = npt.NDArray[np.float64]


class Correlation(NamedTuple):
    """Kendall's τ, and its standard error."""

    value: float
    error: float


def tau(first: Floats, second: Floats) -> float:
    """Return Kendall's τ-b of two series [n], which counts ties out; not a number where one is constant."""
    signs = [np.sign(values[:, None] - values[None]) for values in (first, second)]
    sizes = [float(np.abs(sign).sum()) for sign in signs]
    if not sizes[0] or not sizes[1]:
        return float("nan")
    return float((signs[0] * signs[1]).sum() / math.sqrt(sizes[0] * sizes[1]))


def correlate(score: Floats, truth: Floats, seed: int = 0) -> Correlation:
    """Return τ of a score and the truth [n]; its error by drawing pairs with replacement."""
    generator = np.random.default_rng(seed)
    drawn = [generator.integers(0, len(truth), len(truth)) for _ in range(_RESAMPLES)]
    values = np.array([tau(score[index], truth[index]) for index in drawn])
    return Correlation(
        tau(score, truth), float(values[np.isfinite(values)].std()) if np.isfinite(values).any() else math.nan
    )
