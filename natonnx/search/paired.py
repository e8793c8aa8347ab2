"""How likely paired scores like those that were seen would be if more was lost than may be: p-values of one side."""

import math

import numpy as np
import numpy.typing as npt

__all__ = ["p_of_answers", "p_of_scores"]

Floats = npt.NDArray[np.float64]

_NUISANCE = 0.01
"""Share of a test's level that the interval of a rate may miss which is not known."""
_GRID = 24
"""Rates in that interval, and as many again around the worst of them."""
_WIDE = 8
"""Standard deviations beyond which a count is taken not to lie."""
_ROUNDING = 1e-9
"""Of a statistic, and of a difference from a limit; relative."""
_ERROR, _DECAYED, _HOPELESS = 1e-8, 1e-10, -18.0
"""Of an integral: of each of its parts, what ends it, and the logarithm of what it need not be known for."""


def p_of_answers(lost: int, won: int, samples: int, limit: float, level: float) -> float:
    """Test right and wrong answers: an exact unconditional test of whether `limit` or more is lost.

    Of n pairs B are lost (right before, wrong after) and C won. Tables (B, C) are ordered by Tango's score statistic
    (1998), and the probabilities of all that speak against such a loss as much are added up (Hsueh, Liu and Chen 2001).
    They depend on how many pairs differ, which is not known: p is the largest over the Clopper-Pearson interval of that
    rate, plus what the interval may miss (Berger and Boos 1994).

    Args:
        lost: B.
        won: C.
        samples: n.
        limit: Loss that is tested, as a fraction.
        level: Of the test; the interval is made for it, and p is valid at any level.
    """
    from scipy import special

    differ, missed = lost + won, _NUISANCE * level
    low = float(special.betaincinv(differ, samples - differ + 1, missed / 2)) if differ else 0.0
    high = float(special.betaincinv(differ + 1, samples - differ, 1 - missed / 2)) if differ < samples else 1.0
    if high <= limit:
        return missed
    counts = _likely_counts(samples, max(low, limit), high)
    most_lost = _most_lost(counts, samples, limit, float(_statistic(lost, won, samples, limit)))
    choose = special.gammaln(samples + 1) - special.gammaln(counts + 1) - special.gammaln(samples - counts + 1)

    def probability(rates: Floats) -> Floats:
        column = np.maximum(rates, 1e-300)[:, None]
        of_counts = np.exp(choose + special.xlogy(counts, column) + special.xlog1py(samples - counts, -column))
        share = np.minimum((1 + limit / column) / 2, 1.0)
        within = np.where(most_lost < 0, 0.0, special.bdtr(np.maximum(most_lost, 0.0), counts, share))
        return np.asarray((of_counts * within).sum(1))

    rates = np.linspace(max(low, limit), high, _GRID)
    worst = int(probability(rates).argmax())
    finer = np.linspace(rates[max(0, worst - 1)], rates[min(_GRID - 1, worst + 1)], _GRID)
    return float(min(1.0, probability(finer).max() + missed))


def _likely_counts(samples: int, low: float, high: float) -> npt.NDArray[np.int64]:
    """Return all numbers of pairs that may differ at a rate from low to high, but for what is too unlikely to count."""
    least = samples * low - _WIDE * math.sqrt(samples * low) - _WIDE**2
    most = samples * high + _WIDE * math.sqrt(samples * high) + _WIDE**2
    return np.arange(max(0, math.floor(least)), min(samples, math.ceil(most)) + 1)


def _statistic(lost: npt.ArrayLike, won: npt.ArrayLike, samples: int, limit: float) -> Floats:
    """Return Tango's statistic: how far B − C is from n·limit, by the standard deviation that it has at that loss.

    Standard is what is likeliest then: the share of wins p is the root of a quadratic equation.
    """
    lost, won = np.asarray(lost, np.float64), np.asarray(won, np.float64)
    linear = lost * (1 - limit) + won * (1 - 3 * limit) - 2 * (samples - lost - won) * limit
    constant = won * limit * (1 - limit)
    share = (linear + np.sqrt(linear**2 + 8 * samples * constant)) / (4 * samples)
    deviation = np.sqrt(samples * np.maximum(2 * share + limit - limit**2, 0.0))
    return np.asarray((lost - won - samples * limit) / np.maximum(deviation, 1e-300))


def _most_lost(counts: npt.NDArray[np.int64], samples: int, limit: float, seen: float) -> npt.NDArray[np.float64]:
    """Return for each number of pairs that differ how many may be lost of them for as small a statistic; −1 for none.

    The statistic rises with what is lost, so that halving finds it.
    """
    bound = seen + _ROUNDING * abs(seen)
    least, most = np.full(len(counts), -1), counts.copy()
    while (least < most).any():
        middle = (least + most + 1) // 2
        small = _statistic(np.maximum(middle, 0), counts - middle, samples, limit) <= bound
        least, most = np.where(small, middle, least), np.where(small, most, middle - 1)
    return least.astype(np.float64)


def p_of_scores(losses: Floats, worst: float, limit: float, times: float = 1.0) -> float:
    """Test the mean of losses by the Bayesian bootstrap, with one more pair that lost as much as a pair can.

    The p-value is the probability of a resampled mean of `limit` or more. Without the additional pair (Gaffke 2005) a
    rare loss that no pair has shown would count for impossible. Of right and wrong answers of which none is won, the
    test is that of Clopper and Pearson. Nothing is drawn: a resampled mean weighs pairs by exponential variables (Rubin
    1981), so that it exceeds the limit where a weighted sum of those is positive.

    Args:
        losses: Score before less that after [n].
        worst: The most that a pair can lose.
        limit: Loss that is tested.
        times: How often each pair counts, 1 or more, for what so many more would tell.
    """
    if worst <= limit:
        return 0.0
    values, counts = np.unique(np.append(losses, worst) - limit, return_counts=True)
    values[np.abs(values) <= _ROUNDING * np.abs(values).max()] = 0.0
    weights = np.asarray(counts * times, np.float64)
    weights[-1] += 1 - times
    if weights @ values <= 0:
        return _tail(values, weights)
    return 1 - _tail(-values, weights) if values[0] < 0 else 1.0


def _tail(values: Floats, weights: Floats) -> float:
    """Return the probability that a sum of gamma variables of such shapes, each times its value, is above 0.

    The inverse of its Laplace transform is integrated through its saddle point (Daniels 1987), piece by piece.

    Args:
        values: Some above 0; their weighted mean is not.
        weights: Shapes, 1 for an exponential variable.
    """
    from scipy import integrate

    low, high = 0.0, 1 / float(values.max())
    pole, saddle = high, high / 2
    while low < saddle < high:
        if weights @ (values / (1 - saddle * values)) < 1 / saddle:
            low = saddle
        else:
            high = saddle
        saddle = (low + high) / 2
        if high - low < 1e-9 * low:
            break
    height = -float(weights @ np.log1p(-saddle * values))
    if height < _HOPELESS:
        return math.exp(height)  # Chernoff's bound

    def term(along: float) -> complex:
        point = complex(saddle, along)
        return complex(np.exp(-weights @ np.log(1 - point * values) - height) / point)

    total, start, end = 0.0, 0.0, min(saddle, pole - saddle)
    while start == 0.0 or abs(term(start)) * start > _DECAYED:
        total += integrate.quad(lambda along: term(along).real, start, end, epsabs=_ERROR, full_output=1)[0]
        start, end = end, 3 * end
    return min(1.0, total / math.pi * math.exp(height))
