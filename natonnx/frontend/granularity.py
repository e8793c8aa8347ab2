"""Merge whole branches between two joins into single edges (granularity `branch` and `auto`).

A branch ends in a member of a sum or of a concat. From there it grows upwards, from each feature map to the one that
all paths to it run through, as long as nothing outside the branch reads what is merged, and it stops at the model's
input and at joins. Whatever lies in between becomes the operation of one edge, fixed nodes included: an attention
block can go as a whole, though its products cannot be edited.
"""

from natonnx.architecture import Edge, Join, State
from natonnx.architecture.dominators import dominators
from natonnx.frontend.draft import Draft
from natonnx.frontend.network import EdgeBinding, Granularity
from natonnx.frontend.operation import describe_branch
from natonnx.frontend.skips import find_skip
from natonnx.frontend.view import GraphView
from natonnx.frontend.vocabulary import COMPUTE

__all__ = ["merge_branches"]


def merge_branches(draft: Draft, view: GraphView, granularity: Granularity) -> None:
    """Merge branches in place.

    Args:
        draft: Maps and edges of the file, before shortcuts are added.
        view: The graph.
        granularity: `branch` merges every branch, `auto` those whose layers cannot be edited one by one.
    """
    _Merger(draft, view, granularity).run()


class _Merger:
    def __init__(self, draft: Draft, view: GraphView, granularity: Granularity) -> None:
        self.draft, self.view, self.granularity = draft, view, granularity
        self.outputs = frozenset(draft.outputs)
        self.position = {name: i for i, name in enumerate(draft.edges)}
        self.entering: dict[str, list[str]] = {name: [] for name in draft.maps}
        self.readers: dict[str, set[str]] = {name: set() for name in draft.maps}  # edges, and opaque maps
        for name, edge in draft.edges.items():
            self.entering[edge.target].append(name)
            self.readers[edge.source].add(name)
        for name, fmap in draft.maps.items():
            for source in fmap.inputs:
                self.readers[source].add(name)
        names = list(draft.maps)
        index = {name: i for i, name in enumerate(names)}
        sources = [[index[source] for source in self._sources(name)] for name in names]
        tree = dominators(sources)
        self.above = {name: names[p] if (p := tree.parent[i]) < len(names) else None for i, name in enumerate(names)}

    def _sources(self, name: str) -> list[str]:
        return [*self.draft.maps[name].inputs, *(self.draft.edges[e].source for e in self.entering[name])]

    def run(self) -> None:
        for name, fmap in list(self.draft.maps.items()):
            if fmap.join is Join.SUM:
                for edge in list(self.entering[name]):
                    self._merge(edge, self.above[name])
            elif fmap.join is Join.CONCAT:
                for member in [self.draft.edges[edge].source for edge in self.entering[name]]:
                    if self.draft.maps[member].join is Join.SINGLE:
                        for edge in list(self.entering[member]):
                            self._merge(edge, self.above[name])
        order = sorted(self.draft.edges, key=self.position.__getitem__)
        self.draft.edges = {name: self.draft.edges[name] for name in order}
        self.draft.states = {name: self.draft.states[name] for name in order}

    def _merge(self, last: str, limit: str | None) -> None:
        """Merge the branch that ends with an edge and starts at a map or below it, if there is one."""
        edge, tensor = self.draft.edges[last], self.draft.edge_bindings[last].tensor
        maker = self.view.producer.get(tensor)
        start, inner = self._grow(edge, limit)
        if not inner or not self._is_wanted(last, inner) or maker is None or self.view.nodes[maker].output[0] != tensor:
            return
        edges = {last, *(e for fmap in inner for e in self.entering[fmap])}
        nodes = self._nodes(edges, inner)
        name = self.draft.unique(self._name(nodes))
        target = self.view.shape(self.draft.map_bindings[edge.target].join_tensor)
        skip, reason = find_skip(self.view.shape(start), target)
        merged = Edge(name, start, edge.target, describe_branch(self.view, nodes), skip, reason)
        self.position[name] = self.position[last]
        self._replace(last, edges, inner, merged)
        self.draft.add_edge(merged, State.O, EdgeBinding(nodes, tensor))

    def _nodes(self, edges: set[str], inner: set[str]) -> tuple[int, ...]:
        """Positions of the nodes of edges and of maps, in file order."""
        nodes = {node for edge in edges for node in self.draft.edge_bindings[edge].nodes}
        for fmap in inner:
            binding = self.draft.map_bindings[fmap]
            nodes.update(binding.chain, () if binding.join_node is None else (binding.join_node,))
        return tuple(sorted(nodes))

    def _name(self, nodes: tuple[int, ...]) -> str:
        """The first and the last compute operator; of other nodes where there is none."""
        compute = [i for i in nodes if self.view.kind(i) in COMPUTE] or list(nodes)
        return "..".join(dict.fromkeys(self.view.name(i) for i in (compute[0], compute[-1])))

    def _grow(self, edge: Edge, limit: str | None) -> tuple[str, set[str]]:
        """Where the branch that ends with an edge starts, and the maps in between."""
        maps = self.draft.maps
        inner: set[str] = set()
        inside = {edge.name}  # edges and opaque maps that may read what is merged
        start = edge.source
        while start != limit and maps[start].join in (Join.SINGLE, Join.OPAQUE):
            above = self.above[start]
            if above is None or above not in maps:
                break
            part = self._between(above, start)
            inside |= {name for name in part if maps[name].join is Join.OPAQUE}
            inside |= {e for name in part for e in self.entering[name]}
            private = all(self.readers[name] <= inside and name not in self.outputs for name in part)
            if not private or any(maps[name].join not in (Join.SINGLE, Join.OPAQUE) for name in part):
                break
            inner, start = inner | part, above
        return start, inner

    def _between(self, above: str, below: str) -> set[str]:
        """The maps on all paths from one map, not itself included, to another."""
        found, pending = {below}, [below]
        while pending:
            for source in self._sources(pending.pop()):
                if source != above and source not in found:
                    found.add(source)
                    pending.append(source)
        return found

    def _is_wanted(self, last: str, inner: set[str]) -> bool:
        if self.granularity is Granularity.BRANCH:
            return True
        edges = [self.draft.edges[e] for e in (last, *(e for name in inner for e in self.entering[name]))]
        has_fixed = any(self.draft.maps[name].join is Join.OPAQUE for name in inner)
        return has_fixed or not any(edge.operation and edge.skip for edge in edges)

    def _replace(self, last: str, edges: set[str], inner: set[str], merged: Edge) -> None:
        """Take out what was merged."""
        draft = self.draft
        for name in edges:
            del draft.edges[name], draft.states[name]
            for node in draft.edge_bindings.pop(name).nodes:
                draft.opaque.pop(node, None)
        for name in inner:
            join_node = draft.map_bindings[name].join_node
            if join_node is not None:
                draft.opaque.pop(join_node, None)
            del draft.maps[name], draft.map_bindings[name], self.entering[name], self.readers[name]
        self.readers[merged.source] -= edges | inner
        self.readers[merged.source].add(merged.name)
        self.entering[merged.target] = [merged.name if e == last else e for e in self.entering[merged.target]]
