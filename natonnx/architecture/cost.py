"""Parameters and multiply-adds of an architecture.

Conventions (docs/design/dag.md#cost): one MAdd is one multiply-add of a convolution or of a matrix product with a
constant, per sample, at the model's input shape; normalisation, pooling, activations and sums count nothing. Per sample
is the count for a batch, divided by its size, wherever the batch stands ([T, N, C], or as a factor of an axis of T * N
rows); work that does not grow with the batch counts once. Where a size other than the batch is open, or work grows
otherwise, the count is unknown. Parameters are trainable scalars (weights, biases, normalisation scales and shifts; not
running statistics); a shared tensor counts once. Only what still matters counts: an operation behind a null edge costs
nothing, and a convolution behind a concat that lost a member counts without that member's channels.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from natonnx.architecture.cut import Cut, Cuts, cuts, find_cut_rule
from natonnx.architecture.graph import Architecture, ChannelCutRule, State, Weight
from natonnx.architecture.liveness import Liveness, find_liveness

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


def cost(architecture: Architecture, liveness: Liveness | None = None, lost: Cuts | None = None) -> Cost:
    """Count an architecture's parameters and multiply-adds, dead and unneeded parts left out.

    Args:
        architecture: The architecture.
        liveness: Its null propagation, where the caller has it already.
        lost: What its maps have lost, likewise.
    """
    liveness = liveness or find_liveness(architecture)
    lost = lost or cuts(architecture, liveness)
    topology = architecture.topology
    weights: dict[tuple[str, bytes], int] = {}
    madds: int | None = 0
    for e in np.flatnonzero(liveness.active).tolist():
        operation = topology.edges[e].operation
        if operation is None or architecture.states[e] is not State.O:
            continue
        cut = lost.values.get(topology.ends[e][0])
        own = find_cut_rule(operation.cut_rules, cut.axis) if cut else None
        _add(weights, operation.weights, cut, own)
        madds = None if madds is None or operation.madds is None else madds + operation.madds
        if madds is not None and cut and own:
            madds -= cut.saved(own)
    for i in np.flatnonzero(liveness.live & liveness.needed).tolist():
        cut = lost.joins.get(i)
        own = find_cut_rule(topology.maps[i].cut_rules, cut.axis) if cut else None
        _add(weights, topology.maps[i].weights, cut, own)
    return Cost(sum(weights.values()), madds)


def _add(
    total: dict[tuple[str, bytes], int], weights: Iterable[Weight], cut: Cut | None, own: ChannelCutRule | None
) -> None:
    """Count weights once by name; one that nodes share and that loses channels, once for all that keep the same."""
    chosen = cut.chosen(own) if cut and own else None
    for name, size in weights:
        if chosen and own and name in own.weights and not chosen.kept.all():
            total[name, chosen.kept.tobytes()] = chosen.scaled(size)
        else:
            total[name, b""] = size
