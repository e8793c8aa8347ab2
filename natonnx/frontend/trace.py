"""Follow every cut that a concat may cause through the architecture, and note what each part of it would do."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from natonnx.architecture import ChannelCutRule, FeatureMap, Join, State
from natonnx.frontend.cut_rules import NodeCutRule, node_cut_rule
from natonnx.frontend.draft import Draft
from natonnx.frontend.operation import madds
from natonnx.frontend.view import GraphView

__all__ = ["trace_cuts"]


def trace_cuts(draft: Draft, view: GraphView) -> Mapping[tuple[int, int], NodeCutRule]:
    """Give operations and feature maps behind a concat their cut rules.

    Args:
        draft: Its edges and maps get them.
        view: The graph.

    Returns:
        What each node on the way does, by its position and the axis of its input.
    """
    trace = _Trace(view)
    if not any(fmap.join is Join.CONCAT for fmap in draft.maps.values()):
        return trace.nodes
    entering: dict[str, list[str]] = {}
    for name, edge in draft.edges.items():
        if draft.states[name] is not State.N:
            entering.setdefault(edge.target, []).append(name)
    axes: dict[str, set[int]] = {}
    for name, fmap in draft.maps.items():
        arriving = {fmap.axis} if fmap.join is Join.CONCAT and fmap.axis is not None else set()
        for edge_name in entering.get(name, ()):
            arriving |= _cross(draft, trace, edge_name, axes.get(draft.edges[edge_name].source, set()))
        if fmap.join is Join.OPAQUE and len(fmap.inputs) == 1:
            arriving |= axes.get(fmap.inputs[0], set())
        cut_rules = tuple(_own(draft, trace, fmap, arriving))
        if cut_rules:
            draft.maps[name] = replace(fmap, cut_rules=cut_rules)
        axes[name] = {one.out for one in cut_rules if one.out is not None}
    return trace.nodes


def _cross(draft: Draft, trace: "_Trace", name: str, axes: Iterable[int]) -> set[int]:
    """Lead cuts along an edge; return the axes along which they arrive."""
    edge, binding = draft.edges[name], draft.edge_bindings[name]
    source = draft.map_bindings[edge.source].value_tensor
    cut_rules = [trace.run(binding.nodes, source, axis, binding.tensor) for axis in sorted(axes)]
    found = tuple(one for one in cut_rules if one is not None)
    arriving = {one.out for one in found if one.out is not None}
    if edge.operation is not None:
        draft.edges[name] = replace(edge, operation=replace(edge.operation, cut_rules=found))
        if edge.skip is not None and not edge.skip.pad_channels:  # what the edge would do as a skip
            arriving |= {axis for axis in axes if not edge.skip.pool or axis == 1}
    return arriving


def _own(draft: Draft, trace: "_Trace", fmap: FeatureMap, axes: Iterable[int]) -> Iterable[ChannelCutRule]:
    binding = draft.map_bindings[fmap.name]
    for axis in sorted(axes):
        if fmap.join is Join.OPAQUE:
            source = draft.map_bindings[fmap.inputs[0]].value_tensor
            nodes = (*(() if binding.join_node is None else (binding.join_node,)), *binding.chain)
            rule = trace.run(nodes, source, axis, binding.value_tensor)
        else:
            rule = trace.run(binding.chain, binding.join_tensor, axis, binding.value_tensor)
        if rule is not None:
            yield rule


class _Trace:
    """Remembers what each node does."""

    def __init__(self, view: GraphView) -> None:
        self.view = view
        self.nodes: dict[tuple[int, int], NodeCutRule] = {}

    def run(self, nodes: Iterable[int], source: str, axis: int, result: str) -> ChannelCutRule | None:
        """What nodes in order make of a cut of the tensor `source`; None where one of them has no rule."""
        view = self.view
        cut = {source: (axis, 1)}  # tensor -> axis, entries a channel
        weights: set[str] = set()
        count = 0
        for node in nodes:
            arriving = [cut[name] for name in view.reads(node) if name in cut]
            if not arriving:
                continue
            if len(arriving) < len(view.variable_inputs(node)) or len(set(arriving)) > 1:
                return None
            on, repeat = arriving[0]
            rule = node_cut_rule(view, node, on)
            if rule is None:
                return None
            self.nodes[node, on] = rule
            owned = {view.holder(view.nodes[node].input[one.position]) for one in rule.slices}
            weights.update(weight.name for weight in view.weights(node) if weight.name in owned)
            count += madds(view, node) or 0
            if rule.out is not None:
                entries = repeat * rule.repeat
                cut.update((name, (rule.out, entries)) for name in view.nodes[node].output if name)
        if result not in cut:
            return ChannelCutRule(axis, None, 1, frozenset(weights), count)
        return ChannelCutRule(axis, cut[result][0], cut[result][1], frozenset(weights), count)
