"""Decide whether a candidate is better than β: the constraints, and the never-worse rule."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass

from natonnx.architecture import Architecture
from natonnx.search.objective import Objective, Unit
from natonnx.search.outcome import Candidate, Outcome
from natonnx.search.price import Price
from natonnx.search.score import Score
from natonnx.search.settings import Settings
from natonnx.search.targets import limited_prices, targets_of

__all__ = [
    "AGREEMENT_DROP",
    "CONFIDENCE",
    "USUAL_DROP",
    "Constraint",
    "Criteria",
    "Decision",
    "decide",
    "faults",
    "judge",
]

_log = logging.getLogger(__name__)

USUAL_DROP = 0.5
"""Points that a score may lose where the user does not say."""
AGREEMENT_DROP = 5.0
"""Points that agreement may lose where the user does not say; the original agrees with itself wholly."""
CONFIDENCE = 1.96
"""Standard errors on either side of an estimate: its 95 % interval."""


@dataclass(frozen=True)
class Criteria:
    """What candidates are judged by.

    Attributes:
        reference: β over the topology of the file's own network, for costs.
        prices: What is cheap; the first is what the target is about.
        target: Highest cost by the first price, as a fraction of β's; None for no target.
        max_drop: Most that may be lost, in the objective's unit.
        unit: The objective's.
        measure: What the objective calls its score.
    """

    reference: Architecture
    prices: tuple[Price, ...]
    target: float | None
    max_drop: float
    unit: Unit
    measure: str

    @staticmethod
    def of(
        reference: Architecture, prices: tuple[Price, ...], objective: Objective, settings: Settings, *, reward: bool
    ) -> "Criteria":
        """Derive the criteria from settings.

        Args:
            reference: See `Criteria`.
            prices: See `Criteria`.
            objective: What is good.
            settings: Of the search.
            reward: Whether the user's own function judges in the objective's place.
        """
        unit, measure = (Unit(), "reward") if reward else (objective.unit, objective.measure)
        usual = USUAL_DROP if unit.difference else 0.0
        if objective.name == "agreement" and not reward:
            usual = AGREEMENT_DROP
        drop = usual if settings.max_drop is None else settings.max_drop
        target = min(targets_of(prices, settings), default=None)
        return Criteria(reference, prices, target, drop, unit, measure)

    def costs(self, candidate: Candidate) -> tuple[float, ...]:
        """Return the cost of a candidate by each price."""
        alpha = self.reference.with_states(candidate.architecture.states)
        return tuple(price.cost(alpha) for price in self.prices)

    @property
    def full(self) -> tuple[float, ...]:
        """The cost of β by each price."""
        return tuple(price.full for price in self.prices)

    def limits(self, candidate: Candidate | None) -> Iterator["Constraint"]:
        """Yield what a candidate's costs are held against: its own target, or the lowest; None where there is none."""
        target = self.target if self.target is None or candidate is None else candidate.target or self.target
        for price, limit in limited_prices(self.prices, target):
            most = price.full * limit
            if candidate is None:
                yield Constraint(price.name, price.label, None, most, math.nan, False)
                continue
            alpha = self.reference.with_states(candidate.architecture.states)
            cost, found = price.cost(alpha), price.estimate(alpha)
            value, bounds = (cost, None) if found is None else (found.value, (found.low, found.high))
            yield Constraint(price.name, price.label, None, most, value, cost <= most, bounds=bounds)

    def lost(self, before: Score, after: Score) -> tuple[float, float]:
        """Return how much worse one score is than another, in the unit, and the standard error of that."""
        found, error = after.lost_against(before)
        if self.unit.scale == 1:
            return float(f"{found:.9g}"), error
        return round(self.unit.scale * found, 6), self.unit.scale * error


@dataclass(frozen=True)
class Constraint:
    """One limit, what was measured against it, and whether it holds.

    Attributes:
        name: The first price's name, `lost` or `behind_finetuned_input`; where they are not met, `broken` and `same`.
        label: What it is about, in words.
        unit: What value and limit are differences in; None for a cost.
        limit: The most that is allowed.
        value: What was found; not a number where there is nothing to measure.
        met: Whether it holds.
        error: Standard error of the value; 0 of what is counted.
        bounds: Of a cost that was measured: the ends of its 99 % interval, the upper of which must be within the limit.
    """

    name: str
    label: str
    unit: Unit | None
    limit: float
    value: float
    met: bool
    error: float = 0.0
    bounds: tuple[float, float] | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Interval of the value, 95 % but of a cost; None of what is exact or not known."""
        if self.bounds is not None:
            return self.bounds
        if not self.error or not math.isfinite(self.value):
            return None
        return self.value - CONFIDENCE * self.error, self.value + CONFIDENCE * self.error

    def __str__(self) -> str:
        """Put it in words."""
        return f"{self.label} {self.value:g}, at most {self.limit:g}: {'met' if self.met else 'not met'}"


@dataclass(frozen=True)
class Decision:
    """The winner, or None where β stands.

    Attributes:
        winner: The candidate that is written: of those that meet every constraint the cheapest, as `decide` says.
        constraints: Of the winner; of the candidate that comes closest where there is none; where no α met the cost
            target at all, that target, its value not a number.
        nearest: Where there is no winner, the candidate that comes closest; None where there is none at all.
    """

    winner: Candidate | None
    constraints: tuple[Constraint, ...]
    nearest: Candidate | None = None


def decide(given: Score, outcome: Outcome, criteria: Criteria) -> Decision:
    """Decide.

    An α must cost no more than its target (than β where there is none). It must not give NaN or infinity where β gives
    numbers, nor the same answer for all samples where β does not. On the validation split it must lose at most
    `max_drop` to the given β. Where β was fine-tuned by the same budget, and there is no cost target, it must also lose
    at most that to it, or the gain would be fine-tuning's and not the architecture's; at equal cost it must be better.

    Of those that qualify, the ones of the cheapest target win; among them the best, where all that are within one
    standard error of it, pair by pair on the same samples, are a tie that the cheapest wins (the one-standard-error
    rule of Breiman et al., 1984).

    Args:
        given: Validation score of β as it is in the file.
        outcome: What the search found.
        criteria: What is asked.
    """
    judged = [(candidate, judge(candidate, given, outcome, criteria)) for candidate in outcome.candidates]
    good = [(candidate, limits) for candidate, limits in judged if all(limit.met for limit in limits)]
    for candidate, limits in judged:
        value = criteria.unit.scale * candidate.validation.value
        _log.info("decide: validation %s %.4g: %s", criteria.measure, value, "; ".join(map(str, limits)))
    _log.info("decide: %d of %d candidates meet every constraint", len(good), len(judged))
    if good:
        least = min(candidate.target or 1.0 for candidate, _ in good)
        rung = [pair for pair in good if (pair[0].target or 1.0) == least]
        best = max((candidate.validation for candidate, _ in rung), key=lambda score: score.value)
        tied = [pair for pair in rung if _is_tied(pair[0].validation, best)]
        _log.info("decide: %d within one standard error of the best; the cheapest wins", len(tied))
        return Decision(*min(tied, key=lambda pair: _rank(pair[0], criteria)))
    if not judged:
        return Decision(None, tuple(criteria.limits(None)))
    nearest, limits = min(judged, key=lambda pair: _distance(pair[1]))
    return Decision(None, limits, nearest)


def _is_tied(score: Score, best: Score) -> bool:
    """Tell whether a score is within one standard error of another; one sample less, exactly one error, still is."""
    lost, error = score.lost_against(best)
    return lost <= error or math.isclose(lost, error, rel_tol=1e-9)


def _rank(candidate: Candidate, criteria: Criteria) -> tuple[float, ...]:
    return (*criteria.costs(candidate), -candidate.validation.value, -candidate.validation.ranking)


def _distance(limits: tuple[Constraint, ...]) -> tuple[int, float]:
    """Return how many constraints are not met, and by how much those in the objective's unit are missed."""
    missed = [limit for limit in limits if not limit.met]
    return len(missed), sum(limit.value - limit.limit for limit in missed if limit.unit is not None)


def judge(candidate: Candidate, given: Score, outcome: Outcome, criteria: Criteria) -> tuple[Constraint, ...]:
    """Return the constraints on a candidate; see `decide`."""
    costs, unit, most = criteria.costs(candidate), criteria.unit, criteria.max_drop
    drop, error = criteria.lost(given, candidate.validation)
    label = f"validation {criteria.measure} lost"
    limits = [*criteria.limits(candidate), Constraint("lost", label, unit, most, drop, drop <= most, error)]
    if criteria.target is None and outcome.beta is not None:
        behind, error = criteria.lost(outcome.beta.validation, candidate.validation)
        cheaper = any(own < full for own, full in zip(costs, criteria.full, strict=True))
        met = behind < 0 or (cheaper and behind <= most)
        label = f"validation {criteria.measure} behind the fine-tuned input"
        limits.append(Constraint("behind_finetuned_input", label, unit, most, behind, met, error))
    return (*limits, *faults(candidate.validation, given))


def faults(score: Score, given: Score) -> Iterator[Constraint]:
    """Yield what no loss that is allowed makes up for: outputs that are no numbers, or the same for every sample."""
    makes_infinities = given.broken > given.nan  # where they may stand, the score tells
    if score.nan > given.nan or (score.broken > given.broken and not makes_infinities):
        label = "validation samples with outputs of NaN or infinity"
        yield Constraint("broken", label, None, given.broken, score.broken, False)
    if score.says_nothing and not given.says_nothing:
        label = "validation samples with the same answer"
        yield Constraint("same", label, None, score.samples - 1, score.samples, False)
