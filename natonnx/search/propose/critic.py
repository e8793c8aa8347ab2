"""A critic: what architectures that were not looked up are probably worth, from those that were.

A Gaussian process over the transitions that an architecture holds (Rasmussen and Williams 2006, chapter 2). Its kernel
knows that losses nearly add up, more than add up where many are made together, and that architectures that differ in
few transitions are worth about the same.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from natonnx.architecture import Architecture
from natonnx.search.lookup import Lookups
from natonnx.search.propose.moves import Moves

__all__ = ["Critic"]

Array = npt.NDArray[np.float64]

_LINEAR, _RESIDUAL, _LENGTHS = (1.0, 4.0, 16.0), (0.015, 0.05, 0.15, 0.5), (0.2, 0.5)
_NOISE = 1e-6
_LEAST = 0.1
"""A transition that seems to cost less than this part of the mean weighs as much as if it did."""
_WORST = 6.0
"""Losses are cut off at so many times their median, as of those that are hopeless no more is to be known."""


class Critic:
    """Predicts scores; fit it again when more is known.

    Args:
        moves: The transitions that there are.
        lookups: What is known.
    """

    def __init__(self, moves: Moves, lookups: Lookups) -> None:
        self._moves, self._lookups = moves, lookups
        self._known: dict[str, npt.NDArray[np.bool_]] = {}
        self.fit()

    def fit(self) -> None:
        """Take in all look-ups, and choose the kernel under which they are most probable."""
        entries = self._lookups.entries
        self.base = self._lookups.score(self._moves.beta)
        for text, entry in entries.items():
            if text not in self._known:
                self._known[text] = self._moves.within(entry.architecture)
        self._held = np.array([self._known[text] for text in entries]).astype(float)
        lost = self.base - np.array([entry.score for entry in entries.values()])
        positive = lost[lost > 0]
        self._cap = _WORST * float(np.median(positive)) if len(positive) else np.inf
        self._gain = -np.minimum(lost, self._cap)
        self._weights = self._importance()
        grid = product(_LINEAR, _RESIDUAL, _LENGTHS)
        self._kernel, self._factor = max(
            ((kernel, *self._likelihood(kernel)) for kernel in grid), key=lambda found: found[2]
        )[:2]
        self._solved = np.linalg.solve(self._factor.T, np.linalg.solve(self._factor, self._gain))

    def predict(self, alphas: Sequence[Architecture]) -> tuple[Array, Array]:
        """Return the expected score of architectures, and its standard deviation, [n] each."""
        held = np.array([self._moves.within(alpha) for alpha in alphas]).astype(float).reshape(len(alphas), -1)
        cross = self._covariance(held, self._held, self._kernel)
        mean = cross @ self._solved
        whitened = np.linalg.solve(self._factor, cross.T)
        prior = self._own_covariance(held, self._kernel)
        return self.base + mean, np.sqrt(np.maximum(prior - (whitened**2).sum(0), 0.0))

    def losses(self) -> Array:
        """Return what each transition by itself is expected to cost [moves], 0 at least."""
        held = np.eye(len(self._moves.all))
        mean = self._covariance(held, self._held, self._kernel) @ self._solved
        return np.maximum(-mean, 0.0)

    def _importance(self) -> Array:
        """Return how much each transition weighs: what it was found to cost by itself, else the mean."""
        count = self._held.sum(1)
        known = {int(np.argmax(row)): -gain for row, gain in zip(self._held, self._gain, strict=True) if row.sum() == 1}
        if not known:
            total = -self._gain[count > 0].sum() / max(1.0, count.sum())
            return np.full(len(self._moves.all), max(total, 1e-9))
        mean = max(float(np.mean([max(cost, 0.0) for cost in known.values()])), 1e-9)
        weights = np.full(len(self._moves.all), mean)
        for i, cost in known.items():
            weights[i] = max(cost, _LEAST * mean)
        return weights

    def _likelihood(self, kernel: tuple[float, float, float]) -> tuple[Array, float]:
        """Return the Cholesky factor of the covariance, and the log marginal likelihood of what is known."""
        scale = self._weights.sum() ** 2
        covariance = self._covariance(self._held, self._held, kernel) + _NOISE * scale * np.eye(len(self._held))
        factor = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(factor, self._gain)
        return factor, float(-0.5 * whitened @ whitened - np.log(np.diag(factor)).sum())

    def _covariance(self, left: Array, right: Array, kernel: tuple[float, float, float]) -> Array:
        linear, residual, length = kernel
        w = self._weights
        scale = w.sum() ** 2
        sums = np.outer(left @ w, right @ w)
        single = (left * w) @ (right * w).T
        distance = (left @ w)[:, None] + (right @ w)[None] - 2 * (left * w) @ right.T
        near = np.exp(-distance / (length * w.sum()))
        return linear * (sums + sums**2 / scale + single) + residual * scale * near

    def _own_covariance(self, held: Array, kernel: tuple[float, float, float]) -> Array:
        linear, residual, _ = kernel
        w = self._weights
        scale, sums = w.sum() ** 2, (held @ w) ** 2
        return linear * (sums + sums**2 / scale + (held * w**2).sum(1)) + residual * scale
