"""Architectures as text."""

from natonnx.architecture import Architecture, State, find_liveness

__all__ = ["from_key", "key", "signature"]


def key(architecture: Architecture) -> str:
    """Return the states of an architecture as text; `from_key` undoes it."""
    return "".join(architecture.states)


def from_key(beta: Architecture, text: str) -> Architecture:
    """Return the architecture with these states."""
    return beta.with_states(tuple(State(letter) for letter in text))


def signature(architecture: Architecture) -> str:
    """Return a text that is equal for architectures that compute the same: N stands for edges that carry nothing."""
    active = find_liveness(architecture).active.tolist()
    pairs = zip(architecture.states, active, strict=True)
    return "".join([state.value if carries else "N" for state, carries in pairs])
