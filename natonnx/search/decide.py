"""Decide whether a candidate is better than β: the constraints, and the never-worse rule."""

import logging
import math
from dataclasses import dataclass

from natonnx.architecture import Architecture
from natonnx.search.objective import Objective, Unit
from natonnx.search.outcome import Candidate, Outcome
from natonnx.search.price import Price
from natonnx.search.score import Score
from natonnx.search.settings import Settings

__all__ = ["AGREEMENT_DROP", "Constraint", "Criteria", "Decision", "decide"]

_log = logging.getLogger(__name__)

AGREEMENT_DROP = 5.0
"""Points that agreement may lose where the user does not say; the original agrees with itself wholly."""


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
        usual = AGREEMENT_DROP if objective.name == "agreement" and not reward else 0.0
        drop = usual if settings.max_drop is None else settings.max_drop
        return Criteria(reference, prices, settings.target, drop, unit, measure)

    def costs(self, candidate: Candidate) -> tuple[float, ...]:
        """Return the cost of a candidate by each price."""
        alpha = self.reference.with_states(candidate.architecture.states)
        return tuple(price.cost(alpha) for price in self.prices)

    @property
    def full(self) -> tuple[float, ...]:
        """The cost of β by each price."""
        return tuple(price.full for price in self.prices)

    @property
    def highest(self) -> float:
        """The highest cost that is allowed by the first price."""
        return self.prices[0].full * (1.0 if self.target is None else self.target)

    def lost(self, before: Score, after: Score) -> float:
        """Return how much worse one score is than another, in the unit."""
        found = before.value - after.value
        return round(self.unit.scale * found, 6) if self.unit.scale != 1 else float(f"{found:.9g}")


@dataclass(frozen=True)
class Constraint:
    """One limit, what was measured against it, and whether it holds.

    Attributes:
        name: The first price's name, `lost` or `behind_finetuned_input`.
        label: What it is about, in words.
        unit: What value and limit are differences in; None for a cost.
        limit: The most that is allowed.
        value: What was found; not a number where there is nothing to measure.
        met: Whether it holds.
    """

    name: str
    label: str
    unit: Unit | None
    limit: float
    value: float
    met: bool

    def __str__(self) -> str:
        """Put it in words."""
        return f"{self.label} {self.value:g}, at most {self.limit:g}: {'met' if self.met else 'not met'}"


@dataclass(frozen=True)
class Decision:
    """The winner, or None where β stands.

    Attributes:
        winner: The best candidate that meets every constraint.
        constraints: Of the winner; of the candidate that comes closest where there is none; where no α met the cost
            target at all, that target, its value not a number.
    """

    winner: Candidate | None
    constraints: tuple[Constraint, ...]


def decide(given: Score, outcome: Outcome, criteria: Criteria) -> Decision:
    """Decide.

    An α must cost no more than the target (than β where there is none). On the validation split it must lose at most
    `max_drop` to the given β. Without a cost target it must also lose at most that to β after the same fine-tuning, or
    the gain would be fine-tuning's and not the architecture's; at equal cost it must be better. Of those that qualify,
    scores within one standard error of the best are a tie, which the cheapest wins (the one-standard-error rule of
    Breiman et al., 1984).

    Args:
        given: Validation score of β as it is in the file.
        outcome: What the search found.
        criteria: What is asked.
    """
    judged = [(candidate, _judge(candidate, given, outcome, criteria)) for candidate in outcome.candidates]
    good = [(candidate, limits) for candidate, limits in judged if all(limit.met for limit in limits)]
    for candidate, limits in judged:
        value = criteria.unit.scale * candidate.validation.value
        _log.info("decide: validation %s %.4g: %s", criteria.measure, value, "; ".join(map(str, limits)))
    _log.info("decide: %d of %d candidates meet every constraint", len(good), len(judged))
    if good:
        best = max((candidate.validation for candidate, _ in good), key=lambda score: score.value)
        least = best.value - best.standard_error
        tied = [pair for pair in good if pair[0].validation.value >= least]
        _log.info("decide: %d within one standard error of the best (from %.4g); the cheapest wins", len(tied), least)
        return Decision(*min(tied, key=lambda pair: _rank(pair[0], criteria)))
    if not judged:
        return Decision(None, (_cost(criteria, math.nan),))
    return Decision(
        None, min((limits for _, limits in judged), key=lambda limits: sum(not limit.met for limit in limits))
    )


def _rank(candidate: Candidate, criteria: Criteria) -> tuple[float, ...]:
    return (*criteria.costs(candidate), -candidate.validation.value, -candidate.validation.ranking)


def _cost(criteria: Criteria, value: float) -> Constraint:
    price, most = criteria.prices[0], criteria.highest
    return Constraint(price.name, price.label, None, most, value, value <= most)


def _judge(candidate: Candidate, given: Score, outcome: Outcome, criteria: Criteria) -> tuple[Constraint, ...]:
    costs, unit, most = criteria.costs(candidate), criteria.unit, criteria.max_drop
    drop = criteria.lost(given, candidate.validation)
    label = f"validation {criteria.measure} lost"
    limits = [_cost(criteria, costs[0]), Constraint("lost", label, unit, most, drop, drop <= most)]
    if criteria.target is None:
        behind = criteria.lost(outcome.beta.validation, candidate.validation)
        cheaper = any(own < full for own, full in zip(costs, criteria.full, strict=True))
        met = behind < 0 or (cheaper and behind <= most)
        label = f"validation {criteria.measure} behind the fine-tuned input"
        limits.append(Constraint("behind_finetuned_input", label, unit, most, behind, met))
    return tuple(limits)
