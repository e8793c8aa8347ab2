"""Merge whole branches between two joins into single edges (granularity `branch` and `auto`).

A branch ends in a member of a sum or of a concat, and starts where `natonnx.frontend.branch` says. Whatever lies in
between becomes the operation of one edge, fixed nodes included: an attention block can go as a whole, though its
products cannot be edited.
"""

from dataclasses import replace

from natonnx.architecture import Edge, Join, State
from natonnx.frontend.branch import Branch, BranchFinder
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
        self.position = {name: i for i, name in enumerate(draft.edges)}
        self.finder = BranchFinder(draft)

    def run(self) -> None:
        entering = self.finder.entering
        for name, fmap in list(self.draft.maps.items()):
            if fmap.join is Join.SUM:
                for edge in list(entering[name]):
                    self._merge(edge)
            elif fmap.join is Join.CONCAT:
                for member in [self.draft.edges[edge].source for edge in entering[name]]:
                    if self.draft.maps[member].join is Join.SINGLE:
                        for edge in list(entering[member]):
                            self._merge(edge)
        order = sorted(self.draft.edges, key=self.position.__getitem__)
        self.draft.edges = {name: self.draft.edges[name] for name in order}
        self.draft.states = {name: self.draft.states[name] for name in order}

    def _merge(self, last: str) -> None:
        """Merge the branch that ends with an edge, if there is one."""
        draft, view = self.draft, self.view
        edge, tensor = draft.edges[last], draft.edge_bindings[last].tensor
        maker = view.producer.get(tensor)
        branch = self.finder.find(last)
        if not branch.inner or maker is None or view.nodes[maker].output[0] != tensor:
            return
        edges = {last, *(e for fmap in branch.inner for e in self.finder.entering[fmap])}
        if not self._is_wanted(edges, branch):
            return
        nodes = self._nodes(edges, branch)
        name = draft.unique(self._name(nodes))
        operation = replace(describe_branch(view, nodes), inputs=branch.further)
        source, target = draft.map_bindings[branch.source], draft.map_bindings[edge.target]
        skip, reason = find_skip(view, branch.source, target.join_tensor)
        if not view.is_float(source.value_tensor):
            skip, reason = None, "its source does not hold floating-point numbers"
        self.position[name] = self.position[last]
        draft.add_edge(
            Edge(name, branch.source, edge.target, operation, skip, reason), State.O, EdgeBinding(nodes, tensor)
        )
        self.finder.replace(edges, branch, name)
        self._remove(edges, branch)

    def _nodes(self, edges: set[str], branch: Branch) -> tuple[int, ...]:
        """Positions of the nodes of edges and of maps, in file order."""
        nodes = {node for edge in edges for node in self.draft.edge_bindings[edge].nodes}
        for fmap in branch.inner:
            binding = self.draft.map_bindings[fmap]
            nodes.update(binding.chain, () if binding.join_node is None else (binding.join_node,))
        return tuple(sorted(nodes))

    def _name(self, nodes: tuple[int, ...]) -> str:
        """The first and the last compute operator; of other nodes where there is none."""
        compute = [i for i in nodes if self.view.kind(i) in COMPUTE] or list(nodes)
        return "..".join(dict.fromkeys(self.view.name(i) for i in (compute[0], compute[-1])))

    def _is_wanted(self, edges: set[str], branch: Branch) -> bool:
        if self.granularity is Granularity.BRANCH:
            return True
        has_fixed = any(self.draft.maps[name].join is Join.OPAQUE for name in branch.inner)
        layers = [self.draft.edges[name] for name in edges]
        return has_fixed or not any(layer.operation and layer.skip for layer in layers)

    def _remove(self, edges: set[str], branch: Branch) -> None:
        """Take out what was merged."""
        draft = self.draft
        for name in edges:
            del draft.edges[name], draft.states[name]
            for node in draft.edge_bindings.pop(name).nodes:
                draft.opaque.pop(node, None)
        for name in branch.inner:
            join_node = draft.map_bindings[name].join_node
            if join_node is not None:
                draft.opaque.pop(join_node, None)
            del draft.maps[name], draft.map_bindings[name]
