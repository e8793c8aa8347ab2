"""Baselines that look at no data: what is removed follows from the graph, or from the weights, alone."""

from collections.abc import Iterable

import numpy as np

from natonnx.architecture import Architecture, State
from natonnx.search import Price
from natonnx.search.keys import signature
from natonnx.supernet import Supernet
from tools.benchmarks.bench_search.selection import Change, legal_savers, with_change, with_states

__all__ = ["blocks", "last", "magnitude", "uniform"]

_LEAST = 0.05
"""Of what the largest block saves: what saves less, such as the convolution of a shortcut, is none."""


def blocks(beta: Architecture, price: Price) -> list[Change]:
    """List the transitions that remove blocks, in the order of the network.

    A block is what one transition to null removes, unless another one removes that and more; what one to a skip
    removes where nothing may be null, as in a chain.
    """
    savings = {change: price.full - price.cost(with_states(beta, change)) for change in legal_savers(beta, price)}
    if any(state == State.N for _, state in savings):
        savings = {change: saved for change, saved in savings.items() if change[1] == State.N}
    changes = [change for change, saved in savings.items() if saved >= _LEAST * max(savings.values())]
    removed = [_removed(beta, change) for change in changes]
    found: dict[frozenset[int], Change] = {}
    for change, gone in zip(changes, removed, strict=True):
        if not any(gone < other for other in removed):
            found.setdefault(gone, change)
    return sorted(found.values())


def last(beta: Architecture, price: Price, target: float) -> Architecture:
    """Drop the last blocks first."""
    return _drop(beta, price, target, reversed(blocks(beta, price)))


def uniform(beta: Architecture, price: Price, target: float) -> Architecture:
    """Drop blocks at even distances, as few as will do."""
    found = blocks(beta, price)
    alpha = beta
    for count in range(1, len(found) + 1):
        chosen = [found[int((i + 0.5) * len(found) / count)] for i in range(count)]
        alpha = _drop(beta, price, target, chosen)
        if price.cost(alpha) <= target * price.full:
            break
    return alpha


def magnitude(beta: Architecture, price: Price, target: float, supernet: Supernet) -> Architecture:
    """Drop what has the smallest weights on average first."""
    tensors = supernet.weights()

    def size(change: Change) -> float:
        edges = [beta.topology.edges[i] for i in _removed(beta, change)]
        names = {weight.name for edge in edges if edge.operation is not None for weight in edge.operation.weights}
        values = [np.abs(tensors[name]).ravel() for name in sorted(names & tensors.keys()) if tensors[name].ndim > 1]
        return float(np.concatenate(values).mean()) if values else 0.0

    return _drop(beta, price, target, sorted(legal_savers(beta, price), key=size))


def _removed(beta: Architecture, change: Change) -> frozenset[int]:
    """Return the positions of the edges that do not carry what they carried."""
    before, after = signature(beta), signature(with_states(beta, change))
    return frozenset(i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new)


def _drop(beta: Architecture, price: Price, target: float, changes: Iterable[Change]) -> Architecture:
    """Make transitions in an order, what is illegal or saves nothing by then left out, until the target is met."""
    alpha = beta
    for change in changes:
        if price.cost(alpha) <= target * price.full:
            break
        changed = with_change(alpha, change, beta)
        if changed is not None and price.cost(changed) < price.cost(alpha):
            alpha = changed
    return alpha
