"""Predict latency from a few measurements: Bayesian linear regression over the parts of an architecture.

What an α saves is taken to add up over its parts (`natonnx.architecture.activity`): the weight of a part is what is
usual for its kind, by multiply-adds and by numbers moved, plus a deviation of its own. Both have Gaussian priors, so a
part that was hardly measured costs what others of its kind cost, and one that was measured often what it was seen to
cost (Rasmussen and Williams 2006, chapter 2). Measured are whole edited models, many edits each: every measurement
tells of all its parts, and what fusions make of them is in it.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from natonnx.architecture import Architecture, Workload, activity, workloads
from natonnx.search.price import Estimate

__all__ = ["LatencyModel", "LatencyPredictor", "Measured"]

Array = npt.NDArray[np.float64]

_MADDS, _MOVED = 0.8, 0.3
"""Shares of the latency that multiply-adds and memory traffic are guessed to have."""
_ON_PARTS = 0.9
"""Of the latency, that is guessed to be spent on parts that may change or not, as against all else."""
_WIDTH = 5.2
"""Of a 99 % interval, in standard errors."""
_LEAST = 0.002
"""Deviation of a part, as a share of the latency, however small it is."""
_KINDS, _DEVIATIONS, _NOISES = (0.3, 1.0), (0.25, 0.5, 1.0), (0.003, 0.01, 0.03)
"""Prior standard deviations: of what is usual for a kind, of a part from that, both as multiples of the guess; and of a
measurement, beside what it says itself."""


class Measured(NamedTuple):
    """An architecture that was measured.

    Attributes:
        architecture: α.
        ratio: Its latency over β's.
        error: Standard error of that.
    """

    architecture: Architecture
    ratio: float
    error: float


class LatencyModel:
    """Latencies of the architectures of one topology, as multiples of β's.

    Args:
        beta: The given architecture, whose latency is 1.
        measured: What is known.
    """

    def __init__(self, beta: Architecture, measured: Sequence[Measured] = ()) -> None:
        self._full = activity(beta)
        parts = workloads(beta.topology)
        self._kinds, self._guess = _by_kind(parts, self._full), _guesses(parts, self._full)
        scale = _ON_PARTS / max(float(self._guess @ self._full), 1e-12)
        self._mean = np.asarray(scale * self._guess, np.float64)
        gone = [self._full - activity(one.architecture) for one in measured]
        self._gone = np.array(gone).reshape(len(measured), len(parts))
        self._saved = np.array([1 - one.ratio for one in measured])
        self._errors = np.array([one.error for one in measured])
        settings = product(_KINDS, _DEVIATIONS, _NOISES)
        self._prior = max(settings, key=self._likelihood) if measured else (_KINDS[-1], _DEVIATIONS[1], _NOISES[1])
        self._solve()

    def predict(self, alpha: Architecture) -> tuple[float, float]:
        """Return the expected latency of an architecture, as a multiple of β's, and its standard deviation."""
        gone = (self._full - activity(alpha))[None]
        variance = float(self._covariance(gone, gone)[0, 0])
        if len(self._gone):
            whitened = np.linalg.solve(self._factor, self._covariance(gone, self._gone).T)
            variance -= float((whitened**2).sum())
        return self.expect(alpha), max(variance, 0.0) ** 0.5

    def expect(self, alpha: Architecture) -> float:
        """Return the expected latency alone."""
        return 1 - float((self._full - activity(alpha)) @ self._weights)

    def _solve(self) -> None:
        """Find what each part costs: the prior mean, and what measurements add to it."""
        self._factor = self._cholesky(self._prior)
        left = self._saved - self._gone @ self._mean
        solved = np.linalg.solve(self._factor.T, np.linalg.solve(self._factor, left))
        added = self._covariance(np.eye(len(self._full)), self._gone) @ solved
        self._weights = self._mean + added

    def _likelihood(self, prior: tuple[float, float, float]) -> float:
        """Return the logarithm of the marginal likelihood of what was measured, but for a constant."""
        factor = self._cholesky(prior)
        whitened = np.linalg.solve(factor, self._saved - self._gone @ self._mean)
        return float(-0.5 * whitened @ whitened - np.log(np.diag(factor)).sum())

    def _cholesky(self, prior: tuple[float, float, float]) -> Array:
        noise = self._errors**2 + prior[2] ** 2
        covariance = self._covariance(self._gone, self._gone, prior) + np.diag(noise)
        return np.asarray(np.linalg.cholesky(covariance), np.float64)

    def _covariance(self, left: Array, right: Array, prior: tuple[float, float, float] | None = None) -> Array:
        kinds, deviations, _ = prior or self._prior
        own = deviations * self._guess + _LEAST
        by_kind = (left @ self._kinds) @ (right @ self._kinds).T
        return np.asarray(kinds**2 * by_kind + (left * own**2) @ right.T, np.float64)


class LatencyPredictor:
    """A latency model that learns.

    Args:
        beta: The given architecture.
        measured: What is known.
    """

    def __init__(self, beta: Architecture, measured: Sequence[Measured]) -> None:
        self._beta, self._measured = beta, list(measured)
        self._model = LatencyModel(beta, measured)

    def predict(self, alpha: Architecture) -> float:
        """Return the expected latency of an architecture, as a multiple of β's."""
        return self._model.expect(alpha)

    def learn(self, alpha: Architecture, found: Estimate) -> None:
        """Take a measurement in."""
        self._measured.append(Measured(alpha, found.value, (found.high - found.low) / _WIDTH))
        self._model = LatencyModel(self._beta, self._measured)


def _guesses(parts: Sequence[Workload], full: Array) -> Array:
    """Return what each part is guessed to cost, as a share of β's latency [parts]."""
    madds, moved = (np.array([getattr(part, name) for part in parts], float) for name in ("madds", "moved"))
    return _MADDS * madds / max(float(madds @ full), 1.0) + _MOVED * moved / max(float(moved @ full), 1.0)


def _by_kind(parts: Sequence[Workload], full: Array) -> Array:
    """Return each part's share of the work of its kind in β [parts, 2 · kinds], by multiply-adds and numbers moved."""
    columns = []
    for kind in sorted({part.kind for part in parts}):
        for name in ("madds", "moved"):
            column = np.array([getattr(part, name) if part.kind == kind else 0 for part in parts], float)
            total = float(column @ full) or float(column.sum())
            if total:
                columns.append(column / total)
    return np.array(columns).reshape(len(columns), len(parts)).T
