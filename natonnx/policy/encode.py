"""What a policy sees of an architecture: features that any graph has, one row an edge, and which edges touch.

Nothing here is particular to one topology, so one set of policy weights serves every architecture.
"""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from natonnx.architecture import Architecture, FeatureMap, Join, Operation, State, Topology, flow, transition_mask

__all__ = ["FEATURES", "adjacency", "encode"]

_KINDS = ("Conv", "depthwise", "pointwise", "ConvTranspose", "dense", "MaxPool", "AveragePool", "other", "none")
_OCTAVES = 4
_STATIC = len(_KINDS) + 13 + 2 * _OCTAVES
FEATURES = 3 + _STATIC + 3 + 3
"""Number of features of an edge."""


def encode(architecture: Architecture) -> NDArray[np.float32]:
    """Describe every edge of an architecture.

    Returns:
        Array [edges, FEATURES]: state, operation kind, geometry, cost, channels, resolution, degrees, join, depth, and
        which states the edge may take.
    """
    topology = architecture.topology
    static = _static(topology)
    active = flow(architecture).active
    entering, leaving = np.zeros(len(topology.maps)), np.zeros(len(topology.maps))
    for e in np.flatnonzero(active):
        source, target = topology.ends[e]
        leaving[source] += 1
        entering[target] += 1
    states = np.array([[state is option for option in State] for state in architecture.states], float).reshape(-1, 3)
    ends = np.array(topology.ends, int).reshape(-1, 2)
    dynamic = np.stack([np.log2(1 + entering[ends[:, 1]]), np.log2(1 + leaving[ends[:, 0]]), active], axis=1)
    mask = transition_mask(architecture)
    return np.concatenate([states, static, dynamic, mask], axis=1).astype(np.float32)


@functools.lru_cache(maxsize=64)
def adjacency(topology: Topology) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of edges (e, f) where f reads what e writes, directly or through opaque maps.

    Null edges count, as in the paper. No self-loops and no reverse pairs: the learner adds what it wants.

    Returns:
        Positions of the first and of the second edge of each pair.
    """
    feeders: list[set[int]] = []
    for i, fmap in enumerate(topology.maps):
        through = {e for source in topology.fixed_inputs[i] for e in feeders[source]}
        feeders.append(through if fmap.join is Join.OPAQUE else set(topology.incoming[i]))
    pairs = [(e, f) for f, (source, _) in enumerate(topology.ends) for e in sorted(feeders[source])]
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    return first, second


@functools.lru_cache(maxsize=64)
def _static(topology: Topology) -> NDArray[np.float64]:
    """The features that no transition changes."""
    operations = [edge.operation for edge in topology.edges]
    all_params = sum(op.params for op in operations if op) or 1
    all_madds = sum(op.madds or 0 for op in operations if op) or 1
    count = len(topology.maps)
    rows: list[list[float]] = []
    for edge, (source, target) in zip(topology.edges, topology.ends, strict=True):
        op = edge.operation
        params, madds = (op.params, op.madds or 0) if op else (0, 0)
        start, end = topology.maps[source], topology.maps[target]
        depth = target / count
        rows.append(
            [
                *(float(_kind(op, start) == kind) for kind in _KINDS),
                math.log2(math.prod(op.kernel)) / 4 if op and op.kernel else 0.0,
                math.log2(math.prod(op.stride)) / 2 if op and op.stride else 0.0,
                math.log10(1 + params) / 6,
                math.log10(1 + madds) / 8,
                params / all_params,
                madds / all_madds,
                _log_size(start, 1, 2) / 8,
                _log_size(end, 1, 2) / 8,
                _log_size(start, 2, None) / 12,
                _log_size(end, 2, None) / 12,
                float(end.join is Join.SUM),
                float(edge.skip is not None and edge.skip.is_identity),
                (target - source) / count,
                *(f(2**k * math.pi * depth) for k in range(_OCTAVES) for f in (math.sin, math.cos)),
            ]
        )
    return np.array(rows, float).reshape(-1, _STATIC)


def _kind(operation: Operation | None, source: FeatureMap) -> str:
    if operation is None:
        return "none"
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
