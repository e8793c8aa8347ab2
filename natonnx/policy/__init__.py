"""Architecture → a distribution over transitions: π(α|β; θ). torch and DGL load with the learner that needs them."""

from typing import TYPE_CHECKING, Any

from natonnx.errors import InputError

if TYPE_CHECKING:
    from natonnx.policy.base import Policy

__all__ = ["LEARNERS", "PROPOSERS", "make_policy"]

LEARNERS = ("gcn-directed", "gcn", "gcn-max", "lstm", "random")
"""Policies."""
PROPOSERS = (*LEARNERS, "greedy", "beam", "evolution")
"""What `natonnx.search.propose.make_proposer` knows: policies, and what they are compared with."""


def make_policy(learner: str, *, edits: float = 3.0, seed: int = 0, **options: Any) -> "Policy":
    """Make an untrained policy.

    Args:
        learner: One of `LEARNERS`.
        edits: How many edges the first α's change on average.
        seed: Of the initial weights.
        options: Of the learner's own, such as its width; see its class.

    Raises:
        InputError: If there is no such learner.
    """
    match learner:
        case "gcn-directed":
            from natonnx.policy.directed import DirectedGCNPolicy

            return DirectedGCNPolicy(edits=edits, seed=seed, **options)
        case "gcn":
            from natonnx.policy.gcn import GCNPolicy

            return GCNPolicy(edits=edits, seed=seed, **options)
        case "gcn-max":
            from natonnx.policy.gcn import MaximumGCNPolicy

            return MaximumGCNPolicy(edits=edits, seed=seed, **options)
        case "lstm":
            from natonnx.policy.lstm import LSTMPolicy

            return LSTMPolicy(edits=edits, seed=seed, **options)
        case "random":
            from natonnx.policy.random_search import RandomPolicy

            return RandomPolicy()
    raise InputError(f"unknown learner {learner!r}: choose one of {', '.join(LEARNERS)}")
