"""Lists of sizes that a model computes, such as the target of a Reshape: what becomes of the number of channels in one.

A cut of the axis ~k says of such a list that its element k counts channels, some of which are gone.
"""

from collections.abc import Callable, Mapping

from natonnx.frontend.node_cut_rule import NodeCutRule
from natonnx.frontend.view import GraphView

__all__ = ["SIZE_RULES", "concat_rule", "element", "shape_rule"]

_Rule = Callable[[GraphView, int, int], NodeCutRule | None]


def shape_rule(view: GraphView, node: int, axis: int) -> NodeCutRule:
    """A Shape lists the sizes of some axes; it absorbs the cut of another."""
    rank = len(view.shape(view.nodes[node].input[0]))
    start, end = (view.attribute(node, name, default) for name, default in (("start", 0), ("end", rank)))
    axes = range(rank)[slice(start, end)] if isinstance(start, int) and isinstance(end, int) else range(rank)
    return NodeCutRule(~axes.index(axis) if axis in axes else None)


def element(view: GraphView, tensor: str, position: int) -> float | None:
    """A number of a list that is computed, where that number is constant; None where it is not known to be."""
    value = view.constant(tensor)
    if value is not None:
        return float(value.reshape(-1)[position]) if 0 <= position < value.size else None
    node = view.producer.get(tensor)
    if node is None:
        return None
    proto = view.nodes[node]
    if view.kind(node) in {"Cast", "Identity", "Unsqueeze", "Squeeze"}:
        return element(view, proto.input[0], position)
    if view.kind(node) != "Concat":
        return None
    for name in proto.input:
        count = _length(view, name)
        if count is None:
            return None
        if position < count:
            return element(view, name, position)
        position -= count
    return None


def _length(view: GraphView, tensor: str) -> int | None:
    """Number of elements of a list; None where it is unknown."""
    shape = view.shape(tensor)
    return shape[0] if len(shape) == 1 and isinstance(shape[0], int) else None


def _kept(view: GraphView, node: int, position: int) -> NodeCutRule | None:
    """The list stays a list, or a list of one element becomes a number or is made of one."""
    made = view.nodes[node].output[0]
    same = view.kind(node) in {"Cast", "Identity"}
    alone = position == 0 and view.is_known(made) and view.shape(made) in {(), (1,)}
    return NodeCutRule(~position) if same or alone else None


def _gather(view: GraphView, node: int, position: int) -> NodeCutRule | None:
    proto = view.nodes[node]
    length, indices = _length(view, proto.input[0]), view.constant(proto.input[1])
    if length is None or indices is None or indices.ndim > 1:
        return None
    hits = [i for i, index in enumerate(indices.reshape(-1).tolist()) if index % length == position]
    return NodeCutRule(~hits[0] if hits else None) if len(hits) < 2 else None


def _slice(view: GraphView, node: int, position: int) -> NodeCutRule | None:
    length = _length(view, view.nodes[node].input[0])
    starts, ends = view.integers(node, "starts", 1), view.integers(node, "ends", 2)
    steps = view.integers(node, "steps", 4) if len(view.nodes[node].input) > 4 else (1,)
    if length is None or not starts or not ends or not steps:
        return None
    left = range(length)[starts[0] : ends[0] : steps[0]]
    return NodeCutRule(~left.index(position) if position in left else None)


def concat_rule(view: GraphView, node: int, tensor: str, position: int) -> NodeCutRule | None:
    """What becomes of an element of one of several lists that are joined."""
    for name in view.nodes[node].input:
        if name == tensor:
            return NodeCutRule(~position, alike=frozenset({tensor}))
        count = _length(view, name)
        if count is None:
            return None
        position += count
    return None


SIZE_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(("Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape"), _kept),
    "Gather": _gather,
    "Slice": _slice,
    "ConstantOfShape": lambda _view, _node, position: NodeCutRule(position),
}
"""By operator that reads a list of sizes, all else being constant; the position is that of the number of channels."""
