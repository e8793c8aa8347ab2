"""The dominator tree of a DAG in topological order (Cooper, Harvey and Kennedy 2001), in near linear time."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Dominators", "dominators"]


class Dominators(NamedTuple):
    """A tree over nodes 0 … n − 1 and a root n above those that nothing feeds.

    Attributes:
        parent: Per node: the nearest other node through which every path to it runs; n for the root itself.
        depth: Per node: its depth; 0 below the root, −1 for the root.
    """

    parent: Sequence[int]
    depth: Sequence[int]


def dominators(sources: Sequence[Iterable[int]]) -> Dominators:
    """Find what every path to a node runs through.

    Args:
        sources: Per node: the nodes that feed it, all of them before it.
    """
    count = len(sources)
    parent = [count] * (count + 1)
    depth = [0] * count + [-1]
    for node, feeding in enumerate(sources):
        meet: int | None = None
        for source in feeding:
            meet = source if meet is None else _meet(meet, source, parent, depth)
        parent[node] = count if meet is None else meet
        depth[node] = depth[parent[node]] + 1
    return Dominators(parent, depth)


def _meet(a: int, b: int, parent: Sequence[int], depth: Sequence[int]) -> int:
    while a != b:
        if depth[a] >= depth[b]:
            a = parent[a]
        else:
            b = parent[b]
    return a
