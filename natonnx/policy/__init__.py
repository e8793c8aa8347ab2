"""Architecture → a distribution over transitions: π(α|β; θ). torch and DGL load with the learner that needs them."""

from typing import TYPE_CHECKING

from natonnx.errors import InputError

if TYPE_CHECKING:
    from natonnx.policy.base import Policy

__all__ = ["LEARNERS", "make_policy"]

LEARNERS = ("gcn", "random")


def make_policy(learner: str, *, edits: float = 3.0, seed: int = 0) -> "Policy":
    """Make an untrained policy.

    Args:
        learner: One of `LEARNERS`.
        edits: How many edges the first α's change on average.
        seed: Of the initial weights.

    Raises:
        InputError: If there is no such learner.
    """
    if learner == "gcn":
        from natonnx.policy.gcn import GCNPolicy

        return GCNPolicy(edits=edits, seed=seed)
    if learner == "random":
        from natonnx.policy.random_search import RandomPolicy

        return RandomPolicy()
    raise InputError(f"unknown learner {learner!r}: choose one of {', '.join(LEARNERS)}")
