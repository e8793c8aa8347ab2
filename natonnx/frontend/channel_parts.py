"""Nodes that only choose among channels: Slice, Split, Gather.

Where what they read has lost channels, what is left of their choice is a Gather, whatever sizes they are written for.
"""

import itertools
import operator
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from natonnx.frontend.node_cut_rule import NodeCutRule
from natonnx.frontend.view import GraphView

__all__ = ["gather_rule", "slice_rule", "split_rule", "takes_all"]

_ANY_SIZE = 2**31 - 1
"""What exporters write for the end of an axis of any size."""

_MOST_NODES = 64
"""That compute a bound."""
_LARGEST = 2**63 - 1
_MOST_LISTED = 256
"""Numbers in one list of them."""


class _Bounds(NamedTuple):
    """What a Slice takes, by axis: first entry and end, each None where it is not known, and step."""

    first: int | None
    end: int | None
    step: int

    def whole(self, size: int | str | None) -> bool:
        """Whether that is all entries of an axis, and would be of fewer."""
        least = size if isinstance(size, int) else _ANY_SIZE
        return (self.first, self.step) == (0, 1) and self.end is not None and self.end >= least


def _bounds(view: GraphView, node: int) -> Mapping[int, _Bounds] | None:
    """What a Slice takes of the axes that it names; None where it is not known which."""
    proto, rank = view.nodes[node], len(view.shape(view.nodes[node].input[0]))
    starts, ends = (_integers(view, node, name, position) for name, position in (("starts", 1), ("ends", 2)))
    axes = view.integers(node, "axes", 3)
    if axes is None and starts is not None and len(proto.input) <= 3:
        axes = tuple(range(len(starts)))
    if axes is None or not rank:
        return None
    unknown = (None,) * len(axes)
    steps = view.integers(node, "steps", 4) if len(proto.input) > 4 else (1,) * len(axes)
    limits = [one if one and len(one) == len(axes) else unknown for one in (starts, ends, steps)]
    found = zip(axes, *limits, strict=True)
    return {axis % rank: _Bounds(first if step else None, end, step or 1) for axis, first, end, step in found}


def takes_all(view: GraphView, node: int) -> bool:
    """Whether a Slice takes all entries of a tensor."""
    source = view.nodes[node].input[0] if view.kind(node) == "Slice" else ""
    bounds = _bounds(view, node) if view.variable_inputs(node) == [source] else None
    return bool(bounds) and all(one.whole(view.shape(source)[axis]) for axis, one in (bounds or {}).items())


def slice_rule(view: GraphView, node: int, axis: int) -> NodeCutRule | None:
    """A Slice of other axes, of all channels, or of channels alone."""
    channels, bounds = view.shape(view.nodes[node].input[0])[axis], _bounds(view, node)
    if bounds is None:
        return None
    own, alone = bounds.get(axis), len(view.variable_inputs(node)) == 1
    if own is None or (alone and own.whole(channels)):
        return NodeCutRule(axis)
    if own.first is None or own.end is None or len(bounds) > 1 or not isinstance(channels, int):
        return None
    chosen = tuple(range(channels)[own.first : own.end : own.step])
    return NodeCutRule(axis, parts=(chosen,)) if chosen else None


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
    return found if found is not None or position >= len(inputs) else _computed(view, inputs[position], {})


_Numbers = tuple[int | None, ...] | None


def _computed(view: GraphView, tensor: str, known: dict[str, _Numbers]) -> _Numbers:
    """A list, or a number, that is computed of sizes; an element is None where it is not known.

    Args:
        view: The graph.
        tensor: The list.
        known: What was found of other tensors, each looked at once, as several nodes may read one.
    """
    if tensor not in known:
        known[tensor] = None
        found = _listed(view, tensor, known) if len(known) <= _MOST_NODES else None
        known[tensor] = found if found is None or len(found) <= _MOST_LISTED else None
    return known[tensor]


def _listed(view: GraphView, tensor: str, known: dict[str, _Numbers]) -> _Numbers:
    constant, node = view.constant(tensor), view.producer.get(tensor)
    if constant is not None:
        is_list = constant.dtype.kind == "i" and constant.size <= _MOST_LISTED
        return tuple(map(int, constant.reshape(-1))) if is_list else None
    if node is None or not view.nodes[node].input:
        return None
    kind, proto = view.kind(node), view.nodes[node]
    if kind == "Shape":
        sizes = view.shape(proto.input[0])
        start, end = view.attribute(node, "start", 0), view.attribute(node, "end", len(sizes))
        listed = sizes[start:end] if isinstance(start, int) and isinstance(end, int) else ()
        return tuple(size if isinstance(size, int) else None for size in listed)
    read = [_computed(view, name, known) for name in proto.input[: 1 if kind in _SAME else None]]
    first = read[0]
    if kind in _SAME or first is None:
        return first
    if None in read:
        return None
    lists = [one for one in read if one is not None]
    if kind == "Concat":
        return tuple(number for one in lists for number in one)
    if kind == "Gather" and all(i is not None and -len(first) <= i < len(first) for i in lists[1]):
        return tuple(first[i] for i in lists[1] if i is not None)
    if kind in _ARITHMETIC and len(lists) == 2 and len(lists[0]) == len(lists[1]):
        return tuple(_ARITHMETIC[kind](a, b) for a, b in zip(*lists, strict=True))
    return None


def _number(operation: Callable[[int, int], int]) -> Callable[[int | None, int | None], int | None]:
    """An operation of positive integers that may be unknown; unknown too where it gives more than a size can be."""

    def apply(a: int | None, b: int | None) -> int | None:
        made = operation(a, b) if a is not None and b is not None and a >= 0 and b > 0 else None
        return made if made is None or abs(made) <= _LARGEST else None

    return apply


_SAME = {"Cast", "Identity", "Squeeze", "Unsqueeze"}

_ARITHMETIC = {
    "Add": _number(operator.add),
    "Div": _number(operator.floordiv),
    "Mul": _number(operator.mul),
    "Sub": _number(operator.sub),
}
