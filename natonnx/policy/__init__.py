"""Architecture → a distribution over transitions: π(α|β; θ). torch and DGL load with what needs them."""

from typing import TYPE_CHECKING, Any

from natonnx.policy.registry import LEARNERS, is_learner, make_policy, register_learner

if TYPE_CHECKING:
    from natonnx.policy.base import Head, Policy
    from natonnx.policy.encode import FEATURES
    from natonnx.policy.graph import Graph

__all__ = [
    "FEATURES",
    "LEARNERS",
    "PROPOSERS",
    "Graph",
    "Head",
    "Policy",
    "is_learner",
    "make_policy",
    "register_learner",
]

PROPOSERS = (*LEARNERS, "greedy", "beam", "evolution")
"""What `natonnx.search.propose.make_proposer` knows: policies, and what they are compared with."""

_MODULES = {"FEATURES": "encode", "Graph": "graph", "Policy": "base", "Head": "base"}

if not TYPE_CHECKING:  # a type checker takes the names above, and knows of no others

    def __getattr__(name: str) -> Any:
        """Import a name when it is first asked for (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module 'natonnx.policy' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"natonnx.policy.{_MODULES[name]}"), name)
