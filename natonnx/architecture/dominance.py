"""The dominator tree of a DAG whose edges come and go, and what hangs on each of its nodes; see `dominators`.

A change moves nodes below others. How far that reaches is told by the joins that a node feeds and does not dominate,
its dominance frontier (Cytron et al. 1991); so the work hangs on what is near, not on the size of the graph.
"""

from collections.abc import Iterator, Sequence

from natonnx.architecture.settle import settle

__all__ = ["Dominance"]

_ROOT = -1


class Dominance:
    """Which nodes every path to a node runs through.

    Nodes are in topological order; those that nobody feeds are below the root. Call `settle` after edges have come or
    gone, before anything is asked.

    Args:
        count: How many nodes there are; no edges yet.
    """

    def __init__(self, count: int) -> None:
        self._parent = [_ROOT] * count
        self._meet = [_ROOT] * count  # where the sources meet: the parent, once it is settled
        self._sources: list[list[int]] = [[] for _ in range(count)]
        self._crossing: dict[
            int, dict[int, int]
        ] = {}  # by node and join of its frontier: the sources that it dominates
        self._marks, self._marked_children = [0] * count, [0] * count
        self._unsettled: set[int] = set()

    def frontier(self, node: int) -> Iterator[int]:
        """The nodes that would lose some of their sources, and keep others, if a node fell away."""
        return iter(self._crossing.get(node, ()))

    def has_marks(self, node: int) -> bool:
        """Whether a node would fall away with this one that is marked, this one included."""
        return self._marks[node] > 0 or self._marked_children[node] > 0

    def mark(self, node: int, change: int) -> None:
        """Add to the marks of a node, or take some away."""
        before = self.has_marks(node)
        self._marks[node] += change
        if self.has_marks(node) is not before:
            self._count_child(self._parent[node], -1 if before else 1)

    def add(self, source: int, node: int) -> None:
        """An edge comes, perhaps beside others of the same ends."""
        sources = self._sources[node]
        before = self._meet[node] if sources else source
        after = self._lowest_common(before, source)
        for one in self._up(before, after):
            self._cross(one, node, len(sources))
        for one in self._up(source, after):
            self._cross(one, node, 1)
        sources.append(source)
        self._meet[node] = after
        self._unsettled.add(node)

    def remove(self, source: int, node: int) -> None:
        """An edge goes."""
        sources = self._sources[node]
        for one in self._up(source, self._meet[node]):
            self._cross(one, node, -1)
        sources.remove(source)
        if sources:
            self._descend(node, [*self._up(sources[0], self._meet[node])])
        else:
            self._meet[node] = _ROOT
        self._unsettled.add(node)

    def settle(self) -> None:
        """Bring the tree up to date."""
        settle(self._unsettled, lambda node: self._parent[node] != self._meet[node], self._move)
        self._unsettled.clear()

    def _move(self, node: int) -> list[int]:
        """Hang a node below where its sources meet; return the nodes whose sources meet elsewhere for that."""
        before, below = self._parent[node], self._meet[node]
        common = self._lowest_common(before, below)
        old, new = [*self._up(before, common)], [*self._up(below, common)]
        moved: list[int] = []
        for join, count in self._crossing.get(node, {}).items():
            meet = self._meet[join]
            if meet > common:  # on the old way up: the sources meet above it now
                rest = len(self._sources[join]) - count
                for one in old:
                    if one > meet:
                        self._cross(one, join, -count)
                    else:
                        self._cross(one, join, rest)
                self._meet[join] = common
            else:
                for one in old:
                    self._cross(one, join, -count)
            for one in new:
                self._cross(one, join, count)
            if meet == common:
                self._descend(join, new)
            if self._meet[join] != meet:
                moved.append(join)
        if self.has_marks(node):
            self._count_child(below, 1)
            self._count_child(before, -1)
        self._parent[node] = below
        return moved

    def _descend(self, node: int, way: Sequence[int]) -> None:
        """Let sources meet as far down a way, from its lower end up to where they met, as all of them are below it."""
        for one in reversed(way):
            if self._crossing.get(one, {}).get(node, 0) != len(self._sources[node]):
                return
            self._meet[node] = one
            self._cross(one, node, -len(self._sources[node]))

    def _cross(self, node: int, join: int, change: int) -> None:
        """Count how many sources of a join a node dominates, below where all of them meet."""
        crossing = self._crossing.setdefault(node, {})
        count = crossing.get(join, 0) + change
        if count:
            crossing[join] = count
        else:
            del crossing[join]

    def _count_child(self, node: int, change: int) -> None:
        while node != _ROOT:
            before = self.has_marks(node)
            self._marked_children[node] += change
            if self.has_marks(node) is before:
                return
            node = self._parent[node]

    def _up(self, node: int, top: int) -> Iterator[int]:
        """The nodes from one up to below another one that dominates it."""
        while node != top:
            yield node
            node = self._parent[node]

    def _lowest_common(self, a: int, b: int) -> int:
        while a != b:
            if a > b:
                a = self._parent[a]
            else:
                b = self._parent[b]
        return a
