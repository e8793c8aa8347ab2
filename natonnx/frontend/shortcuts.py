"""The N edges: shortcuts that could exist and do not."""

from natonnx.architecture import Edge, FeatureMap, Join, State
from natonnx.frontend.draft import Draft
from natonnx.frontend.network import EdgeBinding
from natonnx.frontend.skips import find_skip
from natonnx.frontend.view import GraphView

__all__ = ["add_shortcuts"]


def add_shortcuts(draft: Draft, view: GraphView, window: int) -> None:
    """Add an N edge from each of the last few feature maps that fits a map and is not joined to it yet.

    Args:
        draft: Gets the edges.
        view: The graph.
        window: How many feature maps back a shortcut may start.
    """
    joined = {(edge.source, edge.target) for edge in draft.edges.values()}
    usable = [fmap for fmap in draft.maps.values() if _can_start(fmap, view)]
    for k, target in enumerate(usable):
        if target.join not in (Join.SINGLE, Join.SUM):
            continue
        made = draft.map_bindings[target.name].join_tensor
        for source in usable[max(0, k - window) : k]:
            if (source.name, target.name) in joined:
                continue
            skip, _ = find_skip(view, source.name, made)
            if skip is not None:
                name = draft.unique(f"{source.name}->{target.name}")
                draft.add_edge(Edge(name, source.name, target.name, None, skip), State.N, EdgeBinding((), source.name))


def _can_start(fmap: FeatureMap, view: GraphView) -> bool:
    if fmap.join is Join.INPUT:
        return view.is_float(fmap.name)
    return fmap.join is not Join.OPAQUE
