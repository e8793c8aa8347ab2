"""Parameters and multiply-adds of an architecture.

Conventions (docs/design/dag.md#cost): one MAdd is one multiply-add of a convolution or of a matrix product with a
constant, per sample, at the model's input shape; normalisation, pooling, activations and sums count nothing. Per sample
is the count for a batch, divided by its size, wherever the batch stands ([T, N, C], or as a factor of an axis of T * N
rows); work that does not grow with the batch counts once. Where a size other than the batch is open, or work grows
otherwise, the count is unknown. Parameters are trainable scalars (weights, biases, normalisation scales and shifts; not
running statistics); a shared tensor counts once. Only what still matters counts: an operation behind a null edge costs
nothing, and a convolution behind a concat that lost a member counts without that member's channels.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from natonnx.architecture.cut import Cut, Cuts, cuts, find_cut_rule
from natonnx.architecture.graph import Architecture, ChannelCutRule, Stated, Topology, Weight
from natonnx.architecture.liveness import Liveness, find_liveness

__all__ = ["Cost", "Stored", "cost", "edge_cost", "map_cost"]


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
    weights: dict[tuple[str, bytes], int] = {}
    madds: int | None = 0
    for e in np.flatnonzero(liveness.active).tolist():
        stored, counted = edge_cost(architecture, e, lost.values)
        weights |= stored
        madds = None if madds is None or counted is None else madds + counted
    for i in np.flatnonzero(liveness.live & liveness.needed).tolist():
        weights |= map_cost(architecture.topology, i, lost.joins)
    return Cost(sum(weights.values()), madds)


Stored = Mapping[tuple[str, bytes], int]
"""Sizes of weights by name, and of one that nodes share by what it keeps where it loses channels."""


def edge_cost(architecture: Stated, e: int, values: Mapping[int, Cut]) -> tuple[Stored, int | None]:
    """What an active edge stores and multiplies, `values` being the cuts of values."""
    operation = architecture.topology.edges[e].operations.get(architecture.states[e])
    if operation is None:
        return {}, 0
    cut = values.get(architecture.topology.ends[e][0])
    own = find_cut_rule(operation.cut_rules, cut.axis) if cut else None
    madds = operation.madds
    if madds is not None and cut and own:
        madds -= cut.saved(own)
    return _stored(operation.weights, cut, own), madds


def map_cost(topology: Topology, i: int, joins: Mapping[int, Cut]) -> Stored:
    """What a map that is alive and needed stores, `joins` being the cuts at joins."""
    cut = joins.get(i)
    own = find_cut_rule(topology.maps[i].cut_rules, cut.axis) if cut else None
    return _stored(topology.maps[i].weights, cut, own)


def _stored(weights: Iterable[Weight], cut: Cut | None, own: ChannelCutRule | None) -> Stored:
    """Weights once by name; one that nodes share and that loses channels, once for all that keep the same."""
    chosen = cut.chosen(own) if cut and own else None
    if chosen is None or own is None or chosen.kept.all():
        return {(name, b""): size for name, size in weights}
    kept, cut_weights = chosen.kept.tobytes(), own.weights
    return {
        (name, kept if name in cut_weights else b""): chosen.scaled(size) if name in cut_weights else size
        for name, size in weights
    }
