"""Decide whether a candidate is better than β: the constraints, and the never-worse rule."""

import logging
import math
from dataclasses import dataclass

from natonnx.architecture import Architecture, cost
from natonnx.search.outcome import Candidate, Outcome
from natonnx.search.score import Score
from natonnx.search.settings import Settings

__all__ = ["Constraint", "Decision", "decide"]

_log = logging.getLogger(__name__)


_NAMES = (
    ("validation_drop_points", "points_behind_finetuned_beta"),
    ("reward_lost", "reward_behind_finetuned_beta"),
)
"""Constraints on what may be lost: of accuracy, and of the user's own reward."""


@dataclass(frozen=True)
class Constraint:
    """One limit, what was measured against it, and whether it holds."""

    name: str
    limit: float
    value: float
    met: bool

    def __str__(self) -> str:
        """In words."""
        return f"{self.name} {self.value:g}, at most {self.limit:g}: {'met' if self.met else 'not met'}"


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


def decide(given: Score, outcome: Outcome, settings: Settings, reference: Architecture) -> Decision:
    """Decide.

    An α must cost no more than the target (than β where there is none). On the validation split it must lose at most
    `max_drop` accuracy points, or as much of the user's own reward, to the given β. Without a cost target it must also
    lose at most that to β after the same fine-tuning, else the gain would be fine-tuning's and not the architecture's;
    at equal cost it must be better. Of those that qualify, accuracies within one standard error of the best are a tie,
    which the cheapest wins (the one-standard-error rule of Breiman et al., 1984).

    Args:
        given: Validation score of β as it is in the file.
        outcome: What the search found.
        settings: Its settings.
        reference: β over the topology of the file's own network, for costs.
    """
    judged = [(candidate, _judge(candidate, given, outcome, settings, reference)) for candidate in outcome.candidates]
    good = [(candidate, limits) for candidate, limits in judged if all(limit.met for limit in limits)]
    for candidate, limits in judged:
        _log.info("decide: validation %.2f %%: %s", 100 * candidate.validation.accuracy, "; ".join(map(str, limits)))
    _log.info("decide: %d of %d candidates meet every constraint", len(good), len(judged))
    if good:
        best = max((candidate.validation for candidate, _ in good), key=lambda score: score.value)
        least = best.value - best.standard_error
        tied = [pair for pair in good if pair[0].validation.value >= least]
        _log.info("decide: %d within one standard error of the best (from %.4g); the cheapest wins", len(tied), least)
        return Decision(*min(tied, key=lambda pair: _rank(pair[0], reference)))
    if not judged:
        most = _most_madds(settings, reference)
        return Decision(None, (Constraint("madds", most, math.nan, met=False),))
    return Decision(
        None, min((limits for _, limits in judged), key=lambda limits: sum(not limit.met for limit in limits))
    )


def _rank(candidate: Candidate, reference: Architecture) -> tuple[int, int, float, float]:
    params, madds = cost(reference.with_states(candidate.architecture.states))
    return madds or 0, params, -candidate.validation.value, -candidate.validation.fine


def _judge(
    candidate: Candidate, given: Score, outcome: Outcome, settings: Settings, reference: Architecture
) -> tuple[Constraint, ...]:
    full = cost(reference)
    found = cost(reference.with_states(candidate.architecture.states))
    madds, most = float(found.madds or 0), _most_madds(settings, reference)
    lost, behind_beta = _NAMES[given.reward is not None]
    drop = _lost(given, candidate.validation)
    limits = [
        Constraint("madds", most, madds, madds <= most),
        Constraint(lost, settings.max_drop, drop, drop <= settings.max_drop),
    ]
    if settings.target_madds is None:
        behind = _lost(outcome.beta.validation, candidate.validation)
        cheaper = found.params < full.params or madds < (full.madds or 0)
        met = behind < 0 or (cheaper and behind <= settings.max_drop)
        limits.append(Constraint(behind_beta, settings.max_drop, behind, met))
    return tuple(limits)


def _most_madds(settings: Settings, reference: Architecture) -> float:
    return float(cost(reference).madds or 0) * (settings.target_madds or 1.0)


def _lost(before: Score, after: Score) -> float:
    """In accuracy points, or in the unit of the user's own reward."""
    lost = before.value - after.value
    return round(100 * lost, 6) if before.reward is None else float(f"{lost:.9g}")
