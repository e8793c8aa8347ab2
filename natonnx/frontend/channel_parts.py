"""Nodes that only choose among channels: parts (Slice, Split, Gather) and shuffles (Reshape, Transpose, Reshape).

Where what they read has lost channels, what is left of their choice is a Gather, whatever sizes they are written for.
"""

import itertools
import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod

import numpy as np

from natonnx.architecture import Shape
from natonnx.frontend.node_cut_rule import NodeCutRule
from natonnx.frontend.view import GraphView

__all__ = ["find_choices", "gather_rule", "slice_rule", "split_rule"]

_MOST_NODES = 64
"""That compute the sizes of a shuffle."""


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


def find_choices(view: GraphView) -> Mapping[tuple[int, str, int], NodeCutRule]:
    """Find what several nodes together do with a cut: shuffles, and Slices with the nodes that compute their bounds.

    Of a shuffle, the last node chooses among the channels of the source itself; that alone is run.

    Returns:
        By position of each node, of the Shapes of the source too that they alone read sizes of, by the tensor that has
        lost channels, and by their axis.
    """
    found: dict[tuple[int, str, int], NodeCutRule] = {}
    slices: dict[str, set[int]] = {}
    for node in range(len(view.nodes)):
        if view.kind(node) == "Reshape":
            found.update(_shuffle(view, node))
        elif view.kind(node) == "Slice" and len(view.variable_inputs(node)) > 1:
            slices.setdefault(view.nodes[node].input[0], set()).add(node)
    for source, nodes in slices.items():
        found.update(_computed_slices(view, source, nodes))
    return found


def _computed_slices(view: GraphView, source: str, nodes: set[int]) -> Mapping[tuple[int, str, int], NodeCutRule]:
    """The rules of Slices of one tensor whose bounds are computed of its sizes; none where one of them has none."""
    sizes = _sizes(view, source, nodes)
    found: dict[tuple[int, str, int], NodeCutRule] = {}
    for axis in range(len(view.shape(source))) if sizes and source not in view.constants else ():
        rules = {node: slice_rule(view, node, axis) for node in nodes}
        chosen = {node: rule for node, rule in rules.items() if rule is not None and rule.parts}
        if len(chosen) == len(nodes):
            alike = frozenset({source})
            found.update({(node, source, axis): replace(rule, alike=alike) for node, rule in chosen.items()})
            found.update({(node, source, axis): NodeCutRule(None) for node in sizes or ()})
    return found


def _shuffle(view: GraphView, first: int) -> Mapping[tuple[int, str, int], NodeCutRule]:
    """The rules of a shuffle that begins with a Reshape; none where there is none."""
    source, parted = view.nodes[first].input[0], view.nodes[first].output[0]
    middle = view.only_reader(parted)
    if middle is None or view.kind(middle) != "Transpose":
        return {}
    moved = view.nodes[middle].output[0]
    last = view.only_reader(moved)
    if last is None or view.kind(last) != "Reshape" or view.nodes[last].input[0] != moved:
        return {}
    shape, parts = view.shape(source), view.shape(parted)
    perm = view.ints(middle, "perm", tuple(reversed(range(len(parts)))))
    found = _order(shape, parts, perm) if view.shape(view.nodes[last].output[0]) == shape else None
    sizes = _sizes(view, source, {first, last})
    if found is None or sizes is None:
        return {}
    axis, order = found
    return {
        (first, source, axis): NodeCutRule(axis, alike=frozenset({source})),
        (middle, parted, axis): NodeCutRule(axis),
        (last, moved, axis): NodeCutRule(axis, parts=(order,), source=source, alike=frozenset({moved})),
        **{(node, source, axis): NodeCutRule(None) for node in sizes},
    }


def _order(shape: Shape, parts: Shape, perm: tuple[int, ...]) -> tuple[int, tuple[int, ...]] | None:
    """The axis that is parted and put together again in another order, and that order; None where there is more."""
    rank, more = len(parts), len(parts) - len(shape)
    axis = next((i for i, (a, b) in enumerate(zip(shape, parts, strict=False)) if a != b), None)
    if axis is None or more < 1 or len(perm) != rank:
        return None
    end = axis + more + 1
    inner, groups = perm[axis:end], [size for size in parts[axis:end] if isinstance(size, int)]
    behind = all(isinstance(size, int) for size in shape[axis:])  # and one in front may be open: products tell it
    known = behind and len(groups) == more + 1 and sum(not isinstance(size, int) for size in shape[:axis]) <= 1
    if not known or parts[end:] != shape[axis + 1 :] or prod(groups) != shape[axis]:
        return None
    if (*perm[:axis], *sorted(inner), *perm[end:]) != tuple(range(rank)):
        return None
    order = np.arange(prod(groups)).reshape(groups).transpose([one - axis for one in inner])
    return axis, tuple(order.reshape(-1).tolist())


def _sizes(view: GraphView, source: str, users: set[int]) -> set[int] | None:
    """The Shapes of a tensor that further inputs of nodes are computed of; None where others use what they list."""
    queue = [name for i in users for name in view.nodes[i].input[1:]]
    nodes: set[int] = set()
    while queue:
        tensor = queue.pop()
        node = view.producer.get(tensor)
        if tensor in view.constants or node is None or node in nodes:
            continue
        nodes.add(node)
        if len(nodes) > _MOST_NODES:
            return None
        queue += [] if view.kind(node) == "Shape" else view.variable_inputs(node)
    shapes = {node for node in nodes if view.kind(node) == "Shape" and view.nodes[node].input[0] == source}
    counting = set(shapes)
    for node in sorted(nodes):
        counting |= {node} if any(view.producer.get(name) in counting for name in view.variable_inputs(node)) else set()
    made = [name for node in counting for name in view.nodes[node].output]
    alone = all({*view.readers.get(name, ())} <= nodes | users and name not in view.outputs for name in made)
    return shapes if alone else None


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
