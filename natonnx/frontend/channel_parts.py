"""Nodes that only choose among channels: Slice, Split, Gather.

Where what they read has lost channels, what is left of their choice is a Gather, whatever sizes they are written for.
"""

import itertools
import operator
from collections.abc import Callable

import numpy as np

from natonnx.frontend.node_cut_rule import NodeCutRule
from natonnx.frontend.view import GraphView

__all__ = ["gather_rule", "slice_rule", "split_rule"]

_MOST_NODES = 64
"""Behind one another, that compute a bound."""


def slice_rule(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """A Slice of other axes, of all channels, or of channels alone."""
    proto = view.nodes[node]
    shape = view.shape(proto.input[0])
    starts, ends = (_integers(view, node, name, position) for name, position in (("starts", 1), ("ends", 2)))
    axes = view.integers(node, "axes", 3)
    if axes is None and starts is not None and len(proto.input) <= 3:
        axes = tuple(range(len(starts)))
    if axes is None:
        return None
    along = [one % len(shape) for one in axes]
    if axis not in along:
        return NodeCutRule(axis)
    steps = view.integers(node, "steps", 4) if len(proto.input) > 4 else (1,) * len(along)
    channels, at = shape[axis], along.index(axis)
    if not (starts and ends and steps and isinstance(channels, int) and len(starts) == len(ends) == len(along)):
        return None
    first, end = starts[at], ends[at]
    if first is None or end is None:
        return None
    if (first, steps[at]) == (0, 1) and end >= channels and len(view.variable_inputs(node)) == 1:
        return NodeCutRule(axis)
    chosen = tuple(range(channels)[first : end : steps[at]])
    return NodeCutRule(axis, parts=(chosen,)) if len(along) == 1 and chosen else None


def split_rule(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """A Split of another axis, or of the channels."""
    proto, own = view.nodes[node], view.attribute(node, "axis", 0)
    shape = view.shape(proto.input[0])
    if not isinstance(own, int) or own % len(shape) != axis:
        return NodeCutRule(axis) if isinstance(own, int) else None
    made = [view.shape(name)[axis] if view.is_known(name) else None for name in proto.output]
    sizes = [size for size in made if isinstance(size, int)]
    if len(sizes) < len(made) or sum(sizes) != shape[axis]:
        return None
    bounds = np.cumsum([0, *sizes]).tolist()
    return NodeCutRule(axis, parts=tuple(tuple(range(a, b)) for a, b in itertools.pairwise(bounds)))


def gather_rule(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """A Gather by a constant list of indices."""
    proto, own = view.nodes[node], view.attribute(node, "axis", 0)
    shape, indices = view.shape(proto.input[0]), view.constant(proto.input[1])
    if not isinstance(own, int) or proto.input[0] in view.constants or indices is None or indices.ndim != 1:
        return None
    channels = shape[axis]
    if own % len(shape) != axis:
        return NodeCutRule(axis)
    if not isinstance(channels, int) or not indices.size or np.any((indices < -channels) | (indices >= channels)):
        return None
    return NodeCutRule(axis, parts=(tuple((indices % channels).tolist()),))


def _integers(view: GraphView, node: int, attribute: str, position: int) -> tuple[int | None, ...] | None:
    """Integers that a node takes as an attribute or as an input, constant or computed of sizes that are known."""
    found = view.integers(node, attribute, position)
    inputs = view.nodes[node].input
    return found if found is not None or position >= len(inputs) else _computed(view, inputs[position], _MOST_NODES)


def _computed(view: GraphView, tensor: str, depth: int) -> tuple[int | None, ...] | None:
    """A list, or a number, that is computed of sizes; an element is None where it is not known."""
    constant, node = view.constant(tensor), view.producer.get(tensor)
    if constant is not None:
        return tuple(map(int, constant.reshape(-1))) if constant.dtype.kind == "i" else None
    if node is None or not depth or not view.nodes[node].input:
        return None
    kind, proto = view.kind(node), view.nodes[node]
    if kind == "Shape":
        sizes = view.shape(proto.input[0])
        start, end = view.attribute(node, "start", 0), view.attribute(node, "end", len(sizes))
        listed = sizes[start:end] if isinstance(start, int) and isinstance(end, int) else ()
        return tuple(size if isinstance(size, int) else None for size in listed)
    read = [_computed(view, name, depth - 1) for name in proto.input[: 1 if kind in _SAME else None]]
    first = read[0]
    if kind in _SAME or first is None or None in read:
        return first
    lists = [one for one in read if one is not None]
    if kind == "Concat":
        return tuple(number for one in lists for number in one)
    if kind == "Gather" and all(i is not None and -len(first) <= i < len(first) for i in lists[1]):
        return tuple(first[i] for i in lists[1] if i is not None)
    if kind in _ARITHMETIC and len(lists) == 2 and len(lists[0]) == len(lists[1]):
        return tuple(_ARITHMETIC[kind](a, b) for a, b in zip(*lists, strict=True))
    return None


def _number(operation: Callable[[int, int], int]) -> Callable[[int | None, int | None], int | None]:
    """An operation of positive integers that may be unknown."""
    return lambda a, b: operation(a, b) if a is not None and b is not None and a >= 0 and b > 0 else None


_SAME = {"Cast", "Identity", "Squeeze", "Unsqueeze"}

_ARITHMETIC = {
    "Add": _number(operator.add),
    "Div": _number(operator.floordiv),
    "Mul": _number(operator.mul),
    "Sub": _number(operator.sub),
}
