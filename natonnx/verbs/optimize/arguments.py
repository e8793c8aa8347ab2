"""Refuse arguments of `optimize` that fit no model, or not this one."""

from natonnx.architecture import cost
from natonnx.errors import InputError
from natonnx.frontend import Source
from natonnx.policy import make_policy
from natonnx.policy.pretrained import load_policy
from natonnx.search import REWARDS, Problem, Settings

__all__ = ["check_arguments", "check_limits"]


def check_arguments(settings: Settings, reward: object, threads: int | None) -> None:
    """Refuse arguments that contradict each other, or a policy that cannot be loaded.

    Raises:
        InputError: Saying which.
    """
    if reward is not None and not callable(reward):
        raise InputError(
            f"reward {reward!r} is no function of a model; {' and '.join(REWARDS)} are for Settings(reward=...)"
        )
    if threads is not None and threads < 1:
        raise InputError(f"threads {threads} must be at least 1")
    load_policy(
        make_policy(settings.learner, edits=settings.edits, seed=settings.seed), settings.learner, settings.policy
    )


def check_limits(source: Source, problem: Problem, settings: Settings) -> None:
    """Refuse limits that mean nothing for this model: a target where the cost is not known, or more points than 100.

    Raises:
        InputError: Saying what to give instead.
    """
    points = problem.reward is None and problem.objective.unit.difference == "points"
    if points and settings.max_drop is not None and settings.max_drop > 100:
        raise InputError(f"max drop {settings.max_drop} must be points of {problem.objective.measure} from 0 to 100")
    if settings.target_madds is not None and not cost(source.network.architecture).madds:
        raise InputError(f"{source.path}: its MAdds are 0 or unknown, which --target-madds needs; leave it out")
