"""Follow every cut that a concat may cause through the architecture, and note what each part of it would do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import gcd, lcm
from typing import NamedTuple

from natonnx.architecture import ChannelCutRule, Choice, FeatureMap, Join, Operation, State, place
from natonnx.frontend.cut_rules import node_cut_rule
from natonnx.frontend.draft import Draft
from natonnx.frontend.node_cut_rule import NodeCutRule
from natonnx.frontend.node_groups import find_groups
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
        if draft.states[name] != State.N:
            entering.setdefault(edge.target, []).append(name)
    axes: dict[str, set[int]] = {}
    for name, fmap in draft.maps.items():
        arriving = {fmap.axis} if fmap.join is Join.CONCAT and fmap.axis is not None else set()
        for edge_name in entering.get(name, ()):
            arriving |= _cross(draft, trace, edge_name, axes)
        if fmap.join is Join.OPAQUE:
            cut_rules = tuple(_opaque(draft, trace, fmap, axes))
        else:
            cut_rules = tuple(_own(draft, trace, fmap, arriving))
        if cut_rules:
            draft.maps[name] = replace(fmap, cut_rules=cut_rules)
        axes[name] = {one.out for one in cut_rules if one.out is not None}
    return trace.nodes


def _cross(draft: Draft, trace: "_Trace", name: str, axes: Mapping[str, set[int]]) -> set[int]:
    """Lead cuts along an edge; return the axes along which they arrive."""
    edge, binding = draft.edges[name], draft.edge_bindings[name]
    sources = (edge.source, *(edge.operation.inputs if edge.operation else ()))
    found = tuple(_met(draft, trace, sources, binding.nodes, binding.tensor, axes))
    arriving = {one.out for one in found if one.out is not None}
    if edge.operation is not None:
        cheaper: list[Choice] = []
        for choice in edge.cheaper:
            assert isinstance(choice.carries, Operation)
            own = binding.cheaper[choice.state]
            rules = tuple(_met(draft, trace, sources, own.nodes, own.tensor, axes))
            arriving |= {one.out for one in rules if one.out is not None}
            cheaper.append(choice._replace(carries=replace(choice.carries, cut_rules=rules)))
        if found != edge.operation.cut_rules or cheaper:
            operation = replace(edge.operation, cut_rules=found)
            draft.edges[name] = replace(edge, operation=operation, cheaper=tuple(cheaper))
        if edge.skip is not None and not edge.skip.pad_channels:  # what the edge would do as a skip
            arriving |= {axis for axis in axes.get(edge.source, ()) if not edge.skip.pool or axis == 1}
    return arriving


def _own(draft: Draft, trace: "_Trace", fmap: FeatureMap, axes: Iterable[int]) -> Iterable[ChannelCutRule]:
    binding = draft.map_bindings[fmap.name]
    for axis in () if binding.constants else sorted(axes):
        rule = trace.run(binding.chain, {binding.join_tensor: axis}, binding.value_tensor)
        if rule is not None:
            yield rule


def _opaque(draft: Draft, trace: "_Trace", fmap: FeatureMap, axes: Mapping[str, set[int]]) -> Iterable[ChannelCutRule]:
    binding = draft.map_bindings[fmap.name]
    nodes = (*(() if binding.join_node is None else (binding.join_node,)), *binding.chain)
    return _met(draft, trace, fmap.inputs, nodes, binding.value_tensor, axes)


def _met(
    draft: Draft,
    trace: "_Trace",
    sources: Sequence[str],
    nodes: Sequence[int],
    result: str,
    axes: Mapping[str, set[int]],
) -> Iterable[ChannelCutRule]:
    """Where nodes read several maps, their cuts meet that stand in one place."""
    meeting: dict[int, dict[str, int]] = {}
    for name in sources:
        for axis in axes.get(name, set()):
            at = axis if len(sources) == 1 else place(axis)
            meeting.setdefault(at, {})[draft.map_bindings[name].value_tensor] = axis
    for at, cut in sorted(meeting.items()):
        rule = trace.run(nodes, cut, result)
        if rule is not None:
            yield rule if rule.axis == at else replace(rule, axis=at)


class _Way(NamedTuple):
    """What has become of the channels of a source: see `ChannelCutRule`."""

    axis: int
    unit: int = 1
    repeat: int = 1
    tile: int = 1
    select: tuple[int, ...] | None = None

    def through(self, rule: NodeCutRule, output: int) -> "_Way | None":
        """Behind one more node, in one of its outputs, where that passes them on; None where it is not known."""
        if rule.parts:
            part = rule.parts[output]
            select = part if self.select is None else tuple(self.select[i] for i in part)
            return _Way(rule.out or 0, select=select) if (self.unit, self.repeat, self.tile) == (1, 1, 1) else None
        if (self.tile > 1 and (rule.unit, rule.repeat) != (1, 1)) or (self.select is not None and rule.unit > 1):
            return None
        shared = gcd(self.repeat, rule.unit)
        unit, repeat = self.unit * (rule.unit // shared), self.repeat // shared * rule.repeat
        return _Way(self.axis if rule.out is None else rule.out, unit, repeat, self.tile * rule.tile, self.select)


class _Trace:
    """Remembers what each node does."""

    def __init__(self, view: GraphView) -> None:
        self.view = view
        self.nodes: dict[tuple[int, int], NodeCutRule] = {}
        self.groups = find_groups(view)

    def run(self, nodes: Iterable[int], sources: Mapping[str, int], result: str) -> ChannelCutRule | None:
        """What nodes in order make of tensors that lose the same channels; None where one of them has no rule.

        Args:
            nodes: Their positions.
            sources: By tensor: the axis that gets shorter.
            result: The tensor in question.
        """
        view = self.view
        cut = {name: _Way(axis) for name, axis in sources.items()}
        weights: set[str] = set()
        alike: set[str] = set()
        whole: set[str] = set()
        count, unit = 0, 1
        for node in nodes:
            arriving = {name: cut[name] for name in view.reads(node) if name in cut}
            if not arriving:
                continue
            way = next(iter(arriving.values()))
            if any(other._replace(axis=way.axis) != way for other in arriving.values()):
                return None
            several = len(set(view.variable_inputs(node))) > 1
            lost = {name: one.axis for name, one in arriving.items()}
            rule = self.groups.get((node, *next(iter(lost.items())))) if len(lost) == 1 else None
            rule = rule or node_cut_rule(view, node, lost)
            if rule is None or (several and not rule.alike >= arriving.keys()):
                return None
            operands = {view.nodes[node].input[one.position] for one in rule.slices}
            missing = rule.alike - arriving.keys()
            if not missing <= operands:
                return None
            alike |= rule.alike & sources.keys() | missing
            whole |= rule.alike & operands
            self.nodes[node, place(way.axis) if several else way.axis] = rule
            owned = set(map(view.holder, operands))
            weights.update(weight.name for weight in view.weights(node) if weight.name in owned)
            count += madds(view, node) or 0
            if rule.parts and (weights or count):  # of these goes another fraction than of what is chosen
                return None
            for position, name in enumerate(view.nodes[node].output):
                beyond = way.through(rule, position)
                if beyond is None:
                    return None
                unit = lcm(unit, beyond.unit)
                if rule.out is not None and name:
                    cut[name] = beyond
        first = next(iter(sources.values()))
        end = cut.get(result, _Way(first))
        return ChannelCutRule(
            axis=first,
            out=end.axis if result in cut else None,
            repeat=end.repeat * (unit // end.unit),
            weights=frozenset(weights),
            madds=count,
            alike=frozenset(alike),
            whole=frozenset(whole),
            unit=unit,
            tile=end.tile,
            select=end.select,
        )
