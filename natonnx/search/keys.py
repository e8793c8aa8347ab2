"""Architectures as text: a letter an edge, or the name of a cheaper operation in angle brackets."""

import re
from collections.abc import Iterable

from natonnx.architecture import Architecture, State, find_liveness

__all__ = ["effective", "from_key", "key", "signature", "text"]

_STATE = re.compile(r"<([^>]*)>|([^<>])")


def text(states: Iterable[State]) -> str:
    """Return states as text."""
    return "".join([state if len(state) == 1 else f"<{state}>" for state in states])


def key(architecture: Architecture) -> str:
    """Return the states of an architecture as text; `from_key` undoes it."""
    return text(architecture.states)


def from_key(beta: Architecture, text: str) -> Architecture:
    """Return the architecture with these states."""
    return beta.with_states(tuple(State(name or letter) for name, letter in _STATE.findall(text)))


def effective(architecture: Architecture) -> list[State]:
    """Return the states of edges, N for those that carry nothing: equal for architectures that compute the same."""
    active = find_liveness(architecture).active.tolist()
    return [state if carries else State.N for state, carries in zip(architecture.states, active, strict=True)]


def signature(architecture: Architecture) -> str:
    """Return the effective states of an architecture as text."""
    return text(effective(architecture))
