"""What a search will do, and how much work that is."""

from typing import NamedTuple

from natonnx.search.problem import Problem
from natonnx.search.propose.moves import Moves
from natonnx.search.samples import Samples
from natonnx.search.settings import Settings
from natonnx.search.spend import planned_images
from natonnx.search.targets import targets_of

__all__ = ["LADDER", "Effort", "expected", "likely_targets", "usual_lookups"]

LADDER = (0.8, 0.65, 0.5, 0.4, 0.3)
"""Costs, as fractions of β's, that are tried one after the other where there is no target."""
_TRIED = 2
"""Of the ladder, as a guess."""
_SELECTION = 0.7
"""Forward passes over training and validation split that an epoch of Algorithm 1 takes besides its training."""


class Effort(NamedTuple):
    """What a search will do.

    Attributes:
        told: In words.
        passes: Samples that the model must be run on, forward; training takes three passes.
    """

    told: str
    passes: float


def expected(problem: Problem, settings: Settings) -> Effort:
    """Return what a search will do, were its time not limited."""
    count = problem.train.count()
    recipe, from_scratch = settings.recipe, settings.weights == "scratch"
    teacher = 1.0 if recipe.distillation or problem.objective.loss_follows_original else 0.0
    if settings.algorithm == "paper":
        trained = count * (settings.epochs + recipe.epochs * (settings.finalists + 1))
        scored = (problem.validation.samples or count) * settings.epochs * (settings.alphas + 1)
        told = f"{settings.epochs} epochs of Algorithm 1, then {settings.finalists} finalists and the input are trained"
        return Effort(told, (3 + teacher) * trained + scored)
    given = targets_of(problem.prices, settings)
    targets = given or LADDER
    lookups = settings.lookups or usual_lookups(Moves(problem.network.architecture, problem.prices[0]), targets)
    rungs = likely_targets(problem, settings)
    images = round(count * recipe.epochs) if settings.training else 0
    samples = Samples().fitting(problem)
    passes = lookups * samples.look_up + sum(target * samples.target(settings.finalists) for target in rungs)
    trained = planned_images(images, settings.finalists)
    passes += sum((3 * target + teacher) * trained for target in rungs)
    passes += (3 + teacher) * images if from_scratch else 0.0
    told = f"{lookups} look-ups"
    if images:
        which = "each target" if len(given) > 1 else "the model that is made"
        told += f", then {images:,} training images for {which}"
        told += ", and as many for the input, both from scratch" if from_scratch else ""
        told += "" if given else ", and as many for each cheaper one as long as --max-drop holds"
    return Effort(told, passes)


def likely_targets(problem: Problem, settings: Settings) -> tuple[float, ...]:
    """Return the targets that models will be made for: the user's, or the first of the ladder, as a guess."""
    return targets_of(problem.prices, settings) or LADDER[:_TRIED]


def usual_lookups(moves: Moves, targets: tuple[float, ...]) -> int:
    """Return how many look-ups a space is worth: each transition once, and some for their combinations."""
    return min(200, len(moves.savers) + 30) + 10 * (len(targets) - 1)
