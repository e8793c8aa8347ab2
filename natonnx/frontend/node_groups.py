"""What several nodes together do with a cut that each of them alone could not take.

A shuffle of channels is a Reshape, a Transpose and a Reshape; the sizes that a Reshape or a Slice needs are computed by
nodes of their own; a normalisation of groups is a Reshape, an InstanceNormalization and a Reshape.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np

from natonnx.architecture import Shape
from natonnx.frontend.channel_parts import slice_rule
from natonnx.frontend.node_cut_rule import NodeCutRule
from natonnx.frontend.view import GraphView

__all__ = ["find_groups"]

_MOST_NODES = 64
"""That compute the sizes which a group needs."""


def find_groups(view: GraphView) -> Mapping[tuple[int, str, int], NodeCutRule]:
    """Find what several nodes together do with a cut.

    Of a shuffle, the last node chooses among the channels of the source itself; that alone is run.

    Returns:
        By position of each node, of the Shapes of the source too that they alone read sizes of, by the tensor that has
        lost channels, and by their axis.
    """
    found: dict[tuple[int, str, int], NodeCutRule] = {}
    slices: dict[str, set[int]] = {}
    for node in range(len(view.nodes)):
        if view.kind(node) == "Reshape":
            found.update(_shuffle(view, node) or _group_norm(view, node))
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


def _group_norm(view: GraphView, first: int) -> Mapping[tuple[int, str, int], NodeCutRule]:
    """The rules of a normalisation of groups whose last Reshape leads to the source's sizes, be they what they may."""
    source, parted = view.nodes[first].input[0], view.nodes[first].output[0]
    middle = view.only_reader(parted)
    normalised = view.nodes[middle].output[0] if middle is not None else ""
    last = view.only_reader(normalised)
    if middle is None or view.kind(middle) != "InstanceNormalization" or last is None or view.kind(last) != "Reshape":
        return {}
    sizes = view.producer.get(view.nodes[last].input[1]) if len(view.nodes[last].input) > 1 else None
    shape, parts = view.shape(source), view.shape(parted)
    if sizes is None or _sizes(view, source, {last}) != {sizes} or view.ints(sizes, "axes"):
        return {}
    whole = not view.attribute(sizes, "start", 0) and view.attribute(sizes, "end") is None
    channels, groups = (shape[1], parts[1]) if len(shape) > 2 and len(parts) == 3 else (None, None)
    if not whole or not isinstance(channels, int) or not isinstance(groups, int) or not groups or channels % groups:
        return {}
    return {
        (sizes, source, 1): NodeCutRule(None),
        (last, normalised, 1): NodeCutRule(1, repeat=channels // groups, alike=frozenset({normalised})),
    }


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
