"""A critic: what architectures that were not looked up are probably worth, from those that were.

A Gaussian process over the transitions that an architecture holds (Rasmussen and Williams 2006, chapter 2). Its kernel
knows that losses nearly add up, more than add up where many are made together, and that architectures that differ in
few transitions are worth about the same.
"""

from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from natonnx.policy.encode import encode, encode_choices
from natonnx.search.lookup import Lookups
from natonnx.search.propose.moves import Moves

__all__ = ["Critic", "Kernel", "likeness"]

Array = npt.NDArray[np.float64]

_LINEAR, _RESIDUAL, _LENGTHS = (1.0, 4.0, 16.0), (0.015, 0.05, 0.15, 0.5), (0.2, 0.5)
_NOISE = 1e-6
_LEAST = 0.1
"""A transition that seems to cost less than this part of the mean weighs as much as if it did."""
_WORST = 30.0
"""Losses are cut off at so many times their median, as of those that are hopeless no more is to be known."""
_LIKENESS, _REACH = 0.7, 0.7
"""How much of what transitions lose is shared by those that are alike, and how alike those are."""
_GROWTH = 1.1
"""The kernel is chosen anew when so many times as much is known."""


class Kernel(NamedTuple):
    """Variances of what adds up and of the rest, and how far the rest reaches, all in terms of the weights' sum."""

    linear: float
    residual: float
    length: float


class _Sets(NamedTuple):
    """Sets of transitions, as kernels see them.

    Attributes:
        held: Which transitions are in each: 1 or 0 [n, moves].
        total: The sum of their weights [n].
        weighted: The weights of those that are in it [n, moves].
        spread: What that makes of all that are like them [n, moves].
    """

    held: Array
    total: Array
    weighted: Array
    spread: Array


class _Common(NamedTuple):
    """What sets have in common with others [n, m], by the weights: products of sums, what is alike, how far apart."""

    sums: Array
    alike: Array
    distance: Array


class Critic:
    """Predicts scores; fit it again when more is known.

    Args:
        moves: The transitions that there are.
        lookups: What is known.
    """

    def __init__(self, moves: Moves, lookups: Lookups) -> None:
        self._moves, self._lookups = moves, lookups
        self._held = np.zeros((0, len(moves.all)))
        self._chosen_at = 0
        self._losses: Array | None = None
        self._alike = _LIKENESS * likeness(moves) + (1 - _LIKENESS) * np.eye(len(moves.all))
        self.kernel = Kernel(_LINEAR[0], _RESIDUAL[0], _LENGTHS[0])
        self.fit()

    def fit(self) -> None:
        """Take in all look-ups; where there are many more than before, choose the most probable kernel."""
        base = self._lookups.score(self._moves.beta)
        entries = list(self._lookups.entries.values())
        fresh = [entry.architecture for entry in entries[len(self._held) :]]
        self._held = np.concatenate([self._held, self._moves.within(fresh)])
        self._gains(base, np.array([entry.score for entry in entries]))
        self._weights = self._importance()
        self._seen, self._losses = self._sets(self._held), None
        common = self._meet(self._seen, self._seen)
        if len(entries) >= _GROWTH * self._chosen_at:
            self._chosen_at = len(entries)
            self.kernel = max(
                map(Kernel._make, product(_LINEAR, _RESIDUAL, _LENGTHS)), key=partial(self._likelihood, common)
            )
        self._factor = self._cholesky(common, self.kernel)
        self._solved = np.linalg.solve(self._factor.T, np.linalg.solve(self._factor, self._gain))

    def predict(self, held: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return the expected scores of architectures, and their standard deviations, [n] each.

        Args:
            held: Which transitions each of them holds [n, moves].
        """
        sets = self._sets(held.astype(float))
        cross = self._covariance(self._meet(sets, self._seen), self.kernel)
        whitened = np.linalg.solve(self._factor, cross.T)
        variance = self._variance(sets) - (whitened**2).sum(0)
        return self._base + self._unit * (cross @ self._solved), self._unit * np.sqrt(np.maximum(variance, 0.0))

    def losses(self) -> Array:
        """Return what each transition by itself is expected to cost [moves], 0 at least."""
        if self._losses is None:
            w, seen = self._weights[:, None], self._seen
            alike, distance = (w * self._alike) @ seen.weighted.T, w + seen.total[None] - 2 * w * seen.held.T
            common = _Common(np.outer(self._weights, seen.total), alike, distance)
            mean = self._covariance(common, self.kernel) @ self._solved
            self._losses = self._unit * np.maximum(-mean, 0.0)
        return self._losses

    def _gains(self, base: float, scores: Array) -> None:
        """Set what each α gains over β, in units of the median loss [entries], hopeless ones cut off."""
        finite = scores[np.isfinite(scores)]
        self._base = base if np.isfinite(base) else float(finite.max(initial=0.0))
        lost = self._base - scores
        usual = lost[(lost > 0) & np.isfinite(lost)]
        self._unit = (
            float(np.median(usual)) if len(usual) else float(np.abs(finite - self._base).max(initial=0.0)) or 1.0
        )
        self._gain = -np.clip(lost / self._unit, -1e6, _WORST)

    def _importance(self) -> Array:
        """Return how much each transition weighs [moves]: what it was found to cost by itself, else what like ones do.

        The latter is the posterior mean of a Gaussian process over the logarithms of what single transitions cost.
        """
        single = self._held.sum(1) == 1
        known = self._held[single].argmax(1)
        if not len(known):
            total, count = -self._gain.sum(), self._held.sum()
            return np.full(len(self._moves.all), max(total / max(1.0, count), 1e-9))
        costs = np.maximum(-self._gain[single], 0.0)
        costs = np.maximum(costs, max(_LEAST * float(costs.mean()), 1e-9))
        logs = np.log(costs)
        covariance = self._alike[np.ix_(known, known)] + 0.01 * np.eye(len(known))
        weights = np.exp(logs.mean() + self._alike[:, known] @ np.linalg.solve(covariance, logs - logs.mean()))
        weights[known] = costs
        found: Array = weights
        return found

    def _likelihood(self, common: _Common, kernel: Kernel) -> float:
        """Return the logarithm of the marginal likelihood of what is known, but for a constant."""
        factor = self._cholesky(common, kernel)
        whitened = np.linalg.solve(factor, self._gain)
        return float(-0.5 * whitened @ whitened - np.log(np.diag(factor)).sum())

    def _cholesky(self, common: _Common, kernel: Kernel) -> Array:
        noise = _NOISE * self._weights.sum() ** 2 * np.eye(len(self._held))
        return np.linalg.cholesky(self._covariance(common, kernel) + noise)

    def _sets(self, held: Array) -> _Sets:
        weighted = held * self._weights
        return _Sets(held, held @ self._weights, weighted, weighted @ self._alike)

    @staticmethod
    def _meet(left: _Sets, right: _Sets) -> _Common:
        distance = left.total[:, None] + right.total[None] - 2 * left.weighted @ right.held.T
        return _Common(np.outer(left.total, right.total), left.spread @ right.weighted.T, distance)

    def _covariance(self, common: _Common, kernel: Kernel) -> Array:
        total = self._weights.sum()
        scale, sums = total**2, common.sums
        near = np.exp(-common.distance / (kernel.length * total))
        found: Array = kernel.linear * (sums + sums**2 / scale + common.alike) + kernel.residual * scale * near
        return found

    def _variance(self, sets: _Sets) -> Array:
        """Return the diagonal of the covariance [n]."""
        scale, squares = self._weights.sum() ** 2, sets.weighted.sum(1) ** 2
        single = (sets.spread * sets.weighted).sum(1)
        found: Array = self.kernel.linear * (squares + squares**2 / scale + single) + self.kernel.residual * scale
        return found


def likeness(moves: Moves) -> Array:
    """Return how alike transitions are, by what a policy sees of their edges and by what they save [moves, moves]."""
    edges = [move.edge for move in moves.all]
    saved = np.log([max(move.saved, 1e-4) for move in moves.all]).reshape(-1, 1)
    become = encode_choices(moves.beta.topology)[edges, [move.column for move in moves.all]]
    rows = np.concatenate([encode(moves.beta)[edges], become, saved], axis=1)
    deviation = rows.std(0) if len(rows) else np.ones(rows.shape[1])
    rows = (rows / np.where(deviation > 0, deviation, 1.0))[:, deviation > 0]
    squares = (rows**2).sum(1)
    distance = np.maximum(squares[:, None] + squares[None] - 2 * rows @ rows.T, 0.0) / max(1, rows.shape[1])
    found: Array = np.exp(-distance / (2 * _REACH**2))
    return found
