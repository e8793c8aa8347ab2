"""What a policy sees of an architecture: features that any graph has, one row an edge, and one a choice of it.

Nothing here is particular to one topology, so one set of policy weights serves every architecture.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from natonnx.architecture import (
    LETTERS,
    Architecture,
    FeatureMap,
    Join,
    Operation,
    Topology,
    find_liveness,
    transition_mask,
)

__all__ = ["CHOICE", "FEATURES", "OF_OPERATION", "encode", "encode_choices"]

_KINDS = ("Conv", "depthwise", "pointwise", "ConvTranspose", "dense", "MaxPool", "AveragePool", "other", "none")
_OCTAVES = 4
_OPERATION = len(_KINDS) + 6
FEATURES = 3 + _OPERATION + 6 + 4 + 2 * _OCTAVES + 3
"""Number of features of an edge."""
OF_OPERATION = slice(3, 3 + _OPERATION)
"""Those of its operation; its shares of all parameters and MAdds are the last two."""
CHOICE = len(LETTERS) + 1 + len(_KINDS) + 3
"""Number of features of a choice."""


def encode(architecture: Architecture) -> NDArray[np.float32]:
    """Describe every edge of an architecture.

    What carries nothing looks like null, and where an edge stands is told by the longest path to it of edges that carry
    something. So architectures that compute the same look the same, whatever their files name and list first.

    Returns:
        Array [edges, FEATURES]: state (an operation, S, N), operation kind, geometry and cost, channels, resolution,
        join, degrees, span, whether it carries anything, depth, and whether the edge may be an operation, S or N.
    """
    topology = architecture.topology
    active = find_liveness(architecture).active
    edges, states = np.arange(len(topology.edges)), np.zeros((len(topology.edges), 3))
    pairs = zip(topology.edges, architecture.states, strict=True)
    columns = np.array([edge.columns[state] for edge, state in pairs], int)
    states[edges, np.where(columns < len(LETTERS), columns, 0)] = 1
    states[~active] = (0, 0, 1)
    operations, shapes = _operations(topology)[edges, columns], _shapes(topology)
    operations[~active] = _NOTHING
    operations[:, -2:] /= np.maximum(operations[:, -2:].sum(0), 1e-9)
    sources, targets = np.array(topology.ends, int).reshape(-1, 2).T
    entering = np.bincount(targets[active], minlength=len(topology.maps))
    leaving = np.bincount(sources[active], minlength=len(topology.maps))
    depth = _depth(topology, active.tolist())
    reached, span = depth[targets], depth[targets] - depth[sources]
    waves = [f(2**k * math.pi * reached) for k in range(_OCTAVES) for f in (np.sin, np.cos)]
    dynamic = [np.log2(1 + entering[targets]), np.log2(1 + leaving[sources]), span, active, *waves]
    mask = transition_mask(architecture)
    mask[:, 0] |= mask[:, len(LETTERS) :].any(1)
    mask = mask[:, : len(LETTERS)]
    return np.concatenate([states, operations, shapes, np.stack(dynamic, 1), mask], axis=1).astype(np.float32)


def _depth(topology: Topology, active: Sequence[bool]) -> NDArray[np.float64]:
    """Edges on the longest path to each map that carries something, as a fraction of the longest of all [maps]."""
    depth = [0] * len(topology.maps)
    for i, ends in enumerate(topology.incoming):
        before = [depth[topology.ends[e][0]] for e in ends if active[e]] + [depth[s] for s in topology.fixed_inputs[i]]
        depth[i] = 1 + max(before, default=-1)
    return np.array(depth, float) / max(1, *depth)


_NOTHING = np.array([float(kind == "none") for kind in _KINDS] + [0.0] * 6)


@functools.lru_cache(maxsize=64)
def _operations(topology: Topology) -> NDArray[np.float64]:
    """Operations of each edge by what it has become: kind, geometry, cost; parameters and MAdds last.

    Returns:
        Array [edges, width, _OPERATION]; its own stands for skip and null, too.
    """
    table = np.tile(_NOTHING, (len(topology.edges), topology.width, 1))
    for row, edge, (source, _) in zip(table, topology.edges, topology.ends, strict=True):
        for state, operation in edge.operations.items():
            column = edge.columns[state]
            row[column or slice(len(LETTERS))] = _describe(operation, topology.maps[source])
    return table


def _describe(operation: Operation, source: FeatureMap) -> NDArray[np.float64]:
    kind, params, madds = _kind(operation, source), operation.params, operation.madds or 0
    sizes = math.log2(math.prod(operation.kernel)) / 4, math.log2(math.prod(operation.stride)) / 2
    costs = math.log10(1 + params) / 6, math.log10(1 + madds) / 8
    return np.array([*(float(kind == one) for one in _KINDS), *sizes, *costs, params, madds])


@functools.lru_cache(maxsize=64)
def encode_choices(topology: Topology) -> NDArray[np.float32]:
    """Describe what every edge may become, whether it is legal now or not.

    Returns:
        Array [edges, width, CHOICE]: its letter; of a cheaper operation a one in the letter's place, its kind, and
        kernel, parameters and MAdds, logarithms, relative to the edge's own. Zeros where an edge has fewer choices.
    """
    table = np.zeros((len(topology.edges), topology.width, CHOICE), np.float32)
    table[:, range(len(LETTERS)), range(len(LETTERS))] = 1
    for row, edge, (source, _), known in zip(table, topology.edges, topology.ends, _operations(topology), strict=True):
        for state, operation in edge.operations.items():
            column = edge.columns[state]
            if column:
                kinds = [_kind(operation, topology.maps[source]) == one for one in _KINDS]
                relative = (known[column] - known[0])[[len(_KINDS), len(_KINDS) + 2, len(_KINDS) + 3]]
                row[column, len(LETTERS) :] = [1, *kinds, *relative]
    return table


@functools.lru_cache(maxsize=64)
def _shapes(topology: Topology) -> NDArray[np.float64]:
    """Channels and resolution at both ends of each edge, and its join [edges, 6]."""
    rows: list[list[float]] = []
    for edge, ends in zip(topology.edges, topology.ends, strict=True):
        start, end = (topology.maps[i] for i in ends)
        rows.append(
            [
                _log_size(start, 1, 2) / 8,
                _log_size(end, 1, 2) / 8,
                _log_size(start, 2, None) / 12,
                _log_size(end, 2, None) / 12,
                float(end.join is Join.SUM),
                float(edge.skip is not None and edge.skip.is_identity),
            ]
        )
    return np.array(rows, float).reshape(-1, 6)


def _kind(operation: Operation, source: FeatureMap) -> str:
    if operation.kind == "Conv":
        if operation.groups > 1 and source.shape[1:2] == (operation.groups,):
            return "depthwise"
        return "pointwise" if math.prod(operation.kernel) == 1 else "Conv"
    if operation.kind in {"Gemm", "MatMul"}:
        return "dense"
    return operation.kind if operation.kind in _KINDS else "other"


def _log_size(fmap: FeatureMap, first: int, last: int | None) -> float:
    sizes = [size for size in fmap.shape[first:last] if isinstance(size, int)]
    return math.log2(max(1, math.prod(sizes)))
