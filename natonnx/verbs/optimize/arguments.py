"""Refuse arguments of `optimize` that fit no model, or not this one."""

from natonnx.architecture import cost
from natonnx.errors import InputError
from natonnx.frontend import Source
from natonnx.search import REWARDS, Settings

__all__ = ["check_arguments", "check_target"]


def check_arguments(reward: object, threads: int | None) -> None:
    """Refuse arguments that contradict each other.

    Raises:
        InputError: Saying which.
    """
    if reward is not None and not callable(reward):
        raise InputError(
            f"reward {reward!r} is no function of a model; {' and '.join(REWARDS)} are for Settings(reward=...)"
        )
    if threads is not None and threads < 1:
        raise InputError(f"threads {threads} must be at least 1")


def check_target(source: Source, settings: Settings) -> None:
    """Refuse a target in multiply-adds for a model whose own are not known.

    Raises:
        InputError: Saying what to give instead.
    """
    if settings.target_madds is not None and not cost(source.network.architecture).madds:
        raise InputError(f"{source.path}: its MAdds are 0 or unknown, which --target-madds needs; leave it out")
