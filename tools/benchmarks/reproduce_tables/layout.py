"""Where the nodes and edges of a DAG are drawn: in layers, with few crossings, long edges in lanes beside the nodes.

The method of Sugiyama, Tagawa and Toda (1981): a node's layer is its longest path from a source, an edge over several
layers gets a joint in each, layers are sorted by the mean place of neighbours, and all is moved towards its neighbours
as far as order and distances let.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["Layout", "Point", "lay_out"]

_SWEEPS = 16
_NODE, _WIDE, _NARROW = 92.0, 44.0, 18.0
"""Room across of a node, of a joint of an edge with a label, and of one without."""
_GAP, _ROOM, _MOST = 46.0, 10.0, 100.0
"""Between layers; more for each label beyond the first; at most."""
_STRAIGHT = 8.0
"""How much more a joint wants to be below a joint, and what an operation enters below its source, than others."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """A DAG as drawn, its upper left corner at the origin.

    Attributes:
        nodes: The middle of each node.
        paths: The points that each edge goes through, from the middle of its source to that of its target.
        width: Of all.
        height: Of all.
    """

    nodes: list[Point]
    paths: list[list[Point]]
    width: float
    height: float


def lay_out(count: int, edges: Sequence[tuple[int, int]], labelled: Sequence[bool], margin: float) -> Layout:
    """Place nodes and edges.

    Args:
        count: Of nodes, 0 to count − 1 in topological order.
        edges: Source and target of each; several between the same two go apart.
        labelled: Of each edge, whether it needs room for a label.
        margin: Left around the middles of nodes.
    """
    levels = _levels(count, edges)
    chains, level = _chains(edges, levels)
    graph = _Layers(count, chains, labelled, level)
    for sweep in range(_SWEEPS):
        graph.sort(downwards=sweep % 2 == 0)
    across = graph.place()
    entering = Counter(levels[target] for (_, target), label in zip(edges, labelled, strict=True) if label)
    gaps = [min(_MOST, _GAP + _ROOM * max(0, entering[row] - 1)) for row in range(1, max(level) + 1)]
    down = np.concatenate([[0.0], np.cumsum(gaps)])
    across = across - across.min()
    points = [(float(x) + margin, float(down[row]) + margin) for x, row in zip(across, level, strict=True)]
    paths = [[points[place] for place in chain] for chain in chains]
    return Layout(points[:count], paths, float(across.max()) + 2 * margin, float(down[-1]) + 2 * margin)


def _levels(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Longest path from a source; where several edges join two nodes there is a layer between, for their joints."""
    length = {ends: 2 if times > 1 else 1 for ends, times in Counter(edges).items()}
    levels = [0] * count
    for node in range(count):
        levels[node] = max((levels[s] + steps for (s, t), steps in length.items() if t == node), default=0)
    sources = set(range(count)) - {target for _, target in edges}
    for node in sources:  # right above the first that reads it
        levels[node] = min((levels[t] - steps for (s, t), steps in length.items() if s == node), default=0)
    return levels


def _chains(edges: Sequence[tuple[int, int]], levels: Sequence[int]) -> tuple[list[list[int]], list[int]]:
    """The nodes and joints that each edge goes through, and the layer of each of these."""
    chains, level = [], list(levels)
    for source, target in edges:
        between = range(levels[source] + 1, levels[target])
        joints = range(len(level), len(level) + len(between))
        level += between
        chains.append([source, *joints, target])
    return chains, level


class _Layers:
    """Nodes and joints in layers, each in an order."""

    def __init__(
        self, count: int, chains: Sequence[Sequence[int]], labelled: Sequence[bool], level: Sequence[int]
    ) -> None:
        self.room = [_NODE] * count + [_NARROW] * (len(level) - count)
        self.layers: list[list[int]] = [[] for _ in range(max(level) + 1)]
        for place, row in enumerate(level):
            self.layers[row].append(place)
        self.above: dict[int, list[tuple[int, float]]] = defaultdict(list)
        self.below: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for chain, label in zip(chains, labelled, strict=True):
            for joint in chain[1:-1] if label else ():
                self.room[joint] = _WIDE
            for upper, lower in pairwise(chain):
                weight = _STRAIGHT if min(upper, lower) >= count or (label and len(chain) == 2) else 1.0
                self.below[upper].append((lower, weight))
                self.above[lower].append((upper, weight))

    def sort(self, *, downwards: bool) -> None:
        """Sort each layer by the mean place of its neighbours in the layer before, from the top or the bottom."""
        neighbours = self.above if downwards else self.below
        for layer in self.layers if downwards else reversed(self.layers):
            order = {place: float(i) for row in self.layers for i, place in enumerate(row)}
            own = {place: _mean(order, neighbours[place]) if neighbours[place] else order[place] for place in layer}
            layer.sort(key=own.__getitem__)

    def place(self) -> np.ndarray:
        """Where each stands across, all in their order and far enough apart."""
        across = np.zeros(sum(map(len, self.layers)))
        for layer in self.layers:
            offsets = self._offsets(layer)
            across[layer] = offsets - offsets.mean()
        for sweep in range(2 * _SWEEPS):
            for layer in self.layers if sweep % 2 == 0 else reversed(self.layers):
                offsets = self._offsets(layer)
                wanted, weights = zip(*(self._wanted(place, across) for place in layer), strict=True)
                across[layer] = _isotonic(np.array(wanted) - offsets, np.array(weights)) + offsets
        return across

    def _offsets(self, layer: Sequence[int]) -> np.ndarray:
        """Where each stands when all are as close as they may be."""
        rooms = [self.room[place] for place in layer]
        return np.cumsum([0.0, *((one + other) / 2 for one, other in pairwise(rooms))])

    def _wanted(self, place: int, across: np.ndarray) -> tuple[float, float]:
        """Where a place wants to be, and how much."""
        neighbours = [*self.above[place], *self.below[place]]
        if not neighbours:
            return float(across[place]), 1.0
        return _mean(across, neighbours), sum(weight for _, weight in neighbours)


def _mean(values: Mapping[int, float] | np.ndarray, neighbours: Sequence[tuple[int, float]]) -> float:
    """The mean of the values of some, by their weights."""
    total = sum(weight for _, weight in neighbours)
    return float(sum(values[other] * weight for other, weight in neighbours) / total)


def _isotonic(wanted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The numbers that never fall and are nearest to those wanted, by least squares: pool adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(wanted.tolist(), weights.tolist(), strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (one, more, many), (other, most, several) = pools.pop(), pools.pop()
            together = more + most
            pools.append(((one * more + other * most) / together, together, many + several))
    return np.repeat([value for value, _, _ in pools], [times for _, _, times in pools])
