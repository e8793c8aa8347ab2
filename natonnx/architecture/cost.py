"""Parameters and multiply-adds of an architecture.

Conventions (facts/nat.md): one MAdd is one multiply-add of a convolution or of a matrix product with a constant, per
sample, at the model's input shape; normalisation, pooling, activations and sums count nothing. Parameters are trainable
scalars (weights, biases, normalisation scales and shifts; not running statistics); a shared tensor counts once. Only
what still matters counts: an operation behind a null edge costs nothing.
"""

from typing import NamedTuple

import numpy as np

from natonnx.architecture.flow import Flow, flow
from natonnx.architecture.graph import Architecture, State

__all__ = ["Cost", "cost"]


class Cost(NamedTuple):
    """Trainable scalars, and multiply-adds per sample (None where a shape is unknown)."""

    params: int
    madds: int | None

    def exceeds(self, other: "Cost") -> bool:
        """Whether either count is larger than the other's; one that is unknown there cannot be seen to be."""
        if self.params > other.params:
            return True
        return other.madds is not None and (self.madds is None or self.madds > other.madds)


def cost(architecture: Architecture, state: Flow | None = None) -> Cost:
    """Count an architecture's parameters and multiply-adds, dead and unneeded parts left out.

    Args:
        architecture: The architecture.
        state: Its null propagation, where the caller has it already.
    """
    state = state or flow(architecture)
    weights: dict[str, int] = {}
    madds: int | None = 0
    for i in np.flatnonzero(state.active):
        operation = architecture.topology.edges[i].operation
        if operation is None or architecture.states[i] is not State.O:
            continue
        weights.update(operation.weights)
        madds = None if madds is None or operation.madds is None else madds + operation.madds
    for i in np.flatnonzero(state.live & state.needed):
        weights.update(architecture.topology.maps[i].weights)
    return Cost(sum(weights.values()), madds)
