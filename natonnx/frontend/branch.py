"""Which feature maps belong to the branch that ends with an edge, and which it reads.

A branch is made of maps that nothing but the branch reads. It begins at one map, its source, and may read further ones
from outside: an attention block reads the mask, a decoder's block the encoder's output, and both the sizes that other
nodes computed. Of several maps that a branch reads, its source is

1. the one that enters the branch's sum as it is: the residual;
2. else the highest map that all paths into the branch run through, those left out that start at inputs of the model
   and run through fixed nodes only (masks, sizes).

What leads from a further input to the paths from the source belongs to the branch as well, if nothing else reads it:
fixed nodes, and one operation, such as the projection of the encoder's output to keys.
"""

from collections.abc import Collection, Set
from typing import NamedTuple

from natonnx.architecture import Join
from natonnx.architecture.dominators import dominators
from natonnx.frontend.draft import Draft

__all__ = ["Branch", "BranchFinder"]


class Branch(NamedTuple):
    """A branch.

    Attributes:
        source: The map where it starts.
        inner: The maps that it consists of, the one where it ends not included.
        further: Other maps that it reads, in topological order.
    """

    source: str
    inner: Collection[str]
    further: tuple[str, ...]


class BranchFinder:
    """An index over a draft: who reads which map. Edges are known by name, opaque nodes by position.

    Args:
        draft: Maps and edges; what is merged in it must be told by `replace`.
    """

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.entering: dict[str, list[str]] = {name: [] for name in draft.maps}
        self._index = {name: i for i, name in enumerate(draft.maps)}
        self._first: dict[str, str] = {}  # of the maps that the same fixed node makes
        self._together: dict[str, list[str]] = {}  # by the first: all of them
        self._readers: dict[str, set[str | int]] = {}  # by the first: who reads any of them
        self._given: set[str] = set()  # maps between which and the model's inputs there is no edge
        first_of: dict[int, str] = {}
        for name, fmap in draft.maps.items():
            first = first_of.setdefault(self._node(name), name) if fmap.join is Join.OPAQUE else name
            self._first[name] = first
            self._together.setdefault(first, []).append(name)
            self._readers.setdefault(first, set())
            for source in fmap.inputs:
                self._readers[self._first[source]].add(self._node(name))
            if fmap.join in (Join.INPUT, Join.OPAQUE) and self._given.issuperset(fmap.inputs):
                self._given.add(name)
        for name, edge in draft.edges.items():
            self.entering[edge.target].append(name)
            for source in self._read(name):
                self._readers[self._first[source]].add(name)
        self._fixed = {self._first[name] for name in draft.outputs}
        self._fixed |= {name for name, fmap in draft.maps.items() if fmap.join not in (Join.SINGLE, Join.OPAQUE)}

    def find(self, last: str) -> Branch:
        """The branch that ends with an edge; with no inner maps where that is the edge alone."""
        edge = self.draft.edges[last]
        inner, read = self._absorb(last)
        if not inner:
            return Branch(edge.source, inner, ())
        source = self._source(last, inner, read)
        if read != {source}:
            inner, read = self._absorb(last, source, self._below(source, inner))
        return Branch(source, inner, tuple(sorted(read - {source}, key=self._index.__getitem__)))

    def replace(self, edges: Collection[str], branch: Branch, merged: str) -> None:
        """Record that a branch, the edges of which have left the draft, is one edge now."""
        gone = {*edges, *(self._node(name) for name in branch.inner if self.draft.maps[name].join is Join.OPAQUE)}
        for name in (branch.source, *branch.further):
            readers = self._readers[self._first[name]]
            readers -= gone
            readers.add(merged)
        target = self.draft.edges[merged].target
        kept = [name for name in self.entering[target] if name not in edges]
        self.entering[target] = [*kept, merged]

    def _node(self, opaque: str) -> int:
        node = self.draft.map_bindings[opaque].join_node
        assert node is not None
        return node

    def _sources(self, name: str) -> list[str]:
        """The maps that a map is made of."""
        read = list(self.draft.maps[name].inputs)
        for edge in self.entering[name]:
            read += self._read(edge)
        return read

    def _read(self, edge: str) -> tuple[str, ...]:
        """The maps that an edge reads."""
        own = self.draft.edges[edge]
        return (own.source, *(own.operation.inputs if own.operation else ()))

    def _absorb(self, last: str, source: str | None = None, below: Set[str] | None = None) -> tuple[set[str], set[str]]:
        """Grow a branch upwards from its last edge, as long as nothing else reads what it takes in.

        Args:
            last: The edge.
            source: Where to stop; None to stop nowhere.
            below: The maps that depend on the source. Of the others, no operation of an operation is taken in.

        Returns:
            The maps that are taken in, and those besides that they and the edge read.
        """
        inner: set[str] = set()
        read: set[str] = set()
        barred = set() if source is None else {self._first[source]}
        inside: dict[str, int] = {}  # readers that have been taken in, of the maps that are made together
        pending = [self._read(last)]
        while pending:
            names = pending.pop()
            read.update(names)
            for first in dict.fromkeys(self._first[name] for name in names):
                inside[first] = inside.get(first, 0) + 1
                if inside[first] < len(self._readers[first]) or first in self._fixed or first in barred:
                    continue
                together, entering = self._together[first], self.entering[first]
                inner.update(together)
                pending.append(self.draft.maps[first].inputs)
                pending += [self._read(edge) for edge in entering]
                if below is not None and below.isdisjoint(together):
                    barred.update(self._first[self.draft.edges[edge].source] for edge in entering)
        return inner, read - inner

    def _source(self, last: str, inner: set[str], read: set[str]) -> str:
        """Where the branch starts that consists of some maps and reads others."""
        if len(read) == 1:
            return next(iter(read))
        edges = self.draft.edges
        beside = [edges[name] for name in self.entering[edges[last].target] if name != last]
        residual = read.intersection(edge.source for edge in beside if edge.operation is None)
        if len(residual) == 1:
            return residual.pop()
        order = sorted((*inner, *read), key=self._index.__getitem__)
        place = {name: i for i, name in enumerate(order)}
        feeding = [self._flowing(name) if name in inner else [] for name in order]
        parent = dominators([[place[source] for source in sources] for sources in feeding]).parent
        start = place[edges[last].source]
        while parent[start] != len(order):
            start = parent[start]
        return order[start]

    def _flowing(self, name: str) -> list[str]:
        """The maps that a map is made of, without masks and sizes where there are others."""
        sources = self._sources(name)
        return [source for source in sources if source not in self._given] or sources

    def _below(self, source: str, inner: Set[str]) -> set[str]:
        """The inner maps that depend on the source."""
        below = {source}
        for name in sorted(inner, key=self._index.__getitem__):
            if not below.isdisjoint(self._sources(name)):
                below.add(name)
        return below
