"""Decide whether a candidate is better than β: the constraints, and the never-worse rule."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from natonnx.architecture import Architecture
from natonnx.search.objective import Objective, Unit
from natonnx.search.outcome import Candidate, Outcome
from natonnx.search.price import Price
from natonnx.search.promise import Promise
from natonnx.search.score import Score
from natonnx.search.settings import Protocol, Settings
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
    "promised",
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
        protocol: How β was trained where it was; see `Settings.protocol`.
    """

    reference: Architecture
    prices: tuple[Price, ...]
    target: float | None
    max_drop: float
    unit: Unit
    measure: str
    protocol: Protocol = "fine-tuned"

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
        return Criteria(reference, prices, target, drop, unit, measure, settings.protocol)

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

    def behind(self, candidate: Candidate, outcome: Outcome) -> "Constraint | None":
        """Return by how much a candidate is behind β trained alike; None where β was not.

        It may not be by more than `max_drop`, and must be better at equal cost.
        """
        if outcome.beta is None:
            return None
        behind, error = self.lost(outcome.beta.validation, candidate.validation)
        cheaper = any(own < full for own, full in zip(self.costs(candidate), self.full, strict=True))
        met = behind < 0 or (cheaper and behind <= self.max_drop)
        alike = "input from scratch" if self.protocol == "scratch" else "fine-tuned input"
        label = f"validation {self.measure} behind the {alike}"
        return Constraint("behind_finetuned_input", label, self.unit, self.max_drop, behind, met, error)

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
        name: The first price's name, `lost` or `behind_finetuned_input`; where they are not met, `broken` and `same`;
            where one is asked for, `promise`.
        label: What it is about, in words.
        unit: What value and limit are differences in; None for a cost.
        limit: The most that is allowed.
        value: What was found; not a number where there is nothing to measure.
        met: Whether it holds.
        error: Standard error of the value; 0 of what is counted.
        bounds: Of a cost that was measured: the ends of its 99 % interval, the upper of which must be within the limit.
        promise: Where the value is the bound of one.
    """

    name: str
    label: str
    unit: Unit | None
    limit: float
    value: float
    met: bool
    error: float = 0.0
    bounds: tuple[float, float] | None = None
    promise: Promise | None = None

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
        promises: What was promised of candidates, as far as that was looked at.
    """

    winner: Candidate | None
    constraints: tuple[Constraint, ...]
    nearest: Candidate | None = None
    promises: Mapping[Candidate, Constraint] = field(default_factory=dict)


Judged = tuple[Candidate, tuple[Constraint, ...]]
"""A candidate, and the constraints on it."""


def decide(
    given: Score,
    outcome: Outcome,
    criteria: Criteria,
    promise: Callable[[Candidate], Constraint] | None = None,
) -> Decision:
    """Decide.

    An α must cost no more than its target (than β where there is none). It must not give NaN or infinity where β gives
    numbers, nor the same answer for all samples where β does not. On the validation split it must lose at most
    `max_drop` to the given β. Where β was trained by the same budget, and there is no cost target, it must also lose at
    most that to it, or the gain would be training's and not the architecture's; at equal cost it must be better.

    Of those that qualify, the ones of the cheapest target win; among them the best, where all that are within one
    standard error of it, pair by pair on the same samples, are a tie that the cheapest wins (the one-standard-error
    rule of Breiman et al., 1984).

    Where a promise is asked for, the winner of the dearest target must keep it, then that of the next, down to the
    first that does not: the last one that did wins. The order is known beforehand, so that it is as unlikely for any of
    them to pass wrongly as for one (Maurer, Hothorn and Lehmacher 1995).

    Args:
        given: Validation score of β as it is in the file.
        outcome: What the search found.
        criteria: What is asked.
        promise: Judges a candidate on samples that nothing was selected on; None where validation decides.
    """
    judged = [(candidate, judge(candidate, given, outcome, criteria)) for candidate in outcome.candidates]
    good = [(candidate, limits) for candidate, limits in judged if all(limit.met for limit in limits)]
    for candidate, limits in judged:
        value = criteria.unit.scale * candidate.validation.value
        _log.info("decide: validation %s %.4g: %s", criteria.measure, value, "; ".join(map(str, limits)))
    _log.info("decide: %d of %d candidates meet every constraint", len(good), len(judged))
    if good:
        targets = sorted({candidate.target or 1.0 for candidate, _ in good}, reverse=True)
        rungs = [[pair for pair in good if (pair[0].target or 1.0) == target] for target in targets]
        if promise is None:
            return Decision(*_best(rungs[-1], criteria))
        return _in_sequence([_best(rung, criteria) for rung in rungs], promise)
    if not judged:
        return Decision(None, tuple(criteria.limits(None)))
    nearest, limits = min(judged, key=lambda pair: _distance(pair[1]))
    made = {} if promise is None else {nearest: promise(nearest)}  # it cannot win; what would do is told
    return Decision(None, (*limits, *made.values()), nearest, made)


def _best(rung: Sequence[Judged], criteria: Criteria) -> Judged:
    """Choose the winner of a target."""
    best = max((candidate.validation for candidate, _ in rung), key=lambda score: score.value)
    tied = [pair for pair in rung if _is_tied(pair[0].validation, best)]
    _log.info("decide: %d within one standard error of the best; the cheapest wins", len(tied))
    return min(tied, key=lambda pair: _rank(pair[0], criteria))


def _in_sequence(winners: Sequence[Judged], promise: Callable[[Candidate], Constraint]) -> Decision:
    """Choose the last winner that keeps the promise, of the dearest target first; see `decide`."""
    made: dict[Candidate, Constraint] = {}
    chosen: Judged | None = None
    for candidate, limits in winners:
        made[candidate] = promise(candidate)
        _log.info("decide: %s", made[candidate])
        if not made[candidate].met:
            break
        chosen = candidate, limits
    if chosen is not None:
        return Decision(chosen[0], (*chosen[1], made[chosen[0]]), promises=made)
    nearest, limits = winners[0]
    return Decision(None, (*limits, made[nearest]), nearest, made)


def promised(made: Promise, criteria: Criteria, split: str) -> Constraint:
    """Return the constraint that a promise is kept.

    Args:
        made: The promise.
        criteria: What is asked.
        split: What its samples are of.
    """
    label = f"{split} {criteria.measure} lost, upper bound at {100 * made.confidence:g} % confidence"
    bound = float(f"{criteria.unit.scale * made.bound:.9g}")
    return Constraint("promise", label, criteria.unit, criteria.max_drop, bound, made.met, promise=made)


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
    unit, most = criteria.unit, criteria.max_drop
    drop, error = criteria.lost(given, candidate.validation)
    label = f"validation {criteria.measure} lost"
    limits = [*criteria.limits(candidate), Constraint("lost", label, unit, most, drop, drop <= most, error)]
    if criteria.target is None and (behind := criteria.behind(candidate, outcome)) is not None:
        limits.append(behind)
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
