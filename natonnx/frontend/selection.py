"""Which edges the user lets change: patterns of node names to include, to exclude, and to keep the outputs of."""

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from natonnx.architecture import Architecture, find_liveness
from natonnx.errors import InputError
from natonnx.frontend.draft import Draft
from natonnx.frontend.network import ParseOptions
from natonnx.frontend.view import GraphView

__all__ = ["keep_dead_code", "select"]

_DEAD = "it would join or change what no output of the model depends on"


def select(draft: Draft, view: GraphView, options: ParseOptions) -> frozenset[int]:
    """Mark the edges that may not change with the reason.

    A pattern means an edge if it fits a node of the edge, its name, or a node of the feature map that it enters.

    Args:
        draft: Its edges are marked.
        view: The graph.
        options: The patterns.

    Returns:
        Positions of the nodes that `freeze_outputs_of` covers: the named ones and all that lead to them.

    Raises:
        InputError: If a pattern matches no node, or no edge where it is to pick edges.
    """
    if not (options.include or options.exclude or options.freeze_outputs_of):
        return frozenset()
    frozen = _upstream(view, [i for p in options.freeze_outputs_of for i in _matching(view, p, "--freeze-outputs-of")])
    included = _named(draft, view, options.include, "--include")
    excluded = _named(draft, view, options.exclude, "--exclude")
    for name, edge in draft.edges.items():
        reason = ""
        if name in excluded:
            reason = f"--exclude {excluded[name]!r} keeps it as it is"
        elif options.include and name not in included:
            reason = "--include does not name it"
        elif frozen.intersection((*draft.edge_bindings[name].nodes, *_entered(draft, view, name))):
            reason = "--freeze-outputs-of keeps what it leads to as it is"
        if reason:
            draft.edges[name] = replace(edge, fixed=reason, kept=name in excluded)
    return frozen


def keep_dead_code(architecture: Architecture) -> Architecture:
    """Mark what no output depends on: it is dead code of the file, which stays as it is, bit for bit.

    An excluded edge that carries nothing in the file has nothing to go on carrying.
    """
    liveness, topology = find_liveness(architecture), architecture.topology
    alive = (liveness.live & liveness.needed).tolist()
    edges = list(topology.edges)
    for i, ((source, target), active) in enumerate(zip(topology.ends, liveness.active.tolist(), strict=True)):
        fixed = edges[i].fixed or ("" if alive[source] and alive[target] else _DEAD)
        kept = edges[i].kept and active
        if (fixed, kept) != (edges[i].fixed, edges[i].kept):
            edges[i] = replace(edges[i], fixed=fixed, kept=kept)
    if all(edge is own for edge, own in zip(edges, topology.edges, strict=True)):
        return architecture
    return replace(architecture, topology=replace(topology, edges=tuple(edges)))


def _entered(draft: Draft, view: GraphView, edge: str) -> tuple[int, ...]:
    """The nodes that make the feature map that an edge enters."""
    target = draft.map_bindings[draft.edges[edge].target]
    join = view.producer.get(target.join_tensor)
    return (*(() if join is None else (join,)), *target.chain)


def _named(draft: Draft, view: GraphView, patterns: Iterable[str], option: str) -> dict[str, str]:
    """The edges that patterns mean, each with the first such pattern."""
    found: dict[str, str] = {}
    owners: dict[int, list[str]] = {}
    for name, binding in draft.edge_bindings.items():
        for node in (*binding.nodes, *_entered(draft, view, name)):
            owners.setdefault(node, []).append(name)
    for pattern in patterns:
        nodes = _matching(view, pattern, option, also=draft.edges)
        meant = [name for i in nodes for name in owners.get(i, ())]
        meant += [name for name in draft.edges if fnmatchcase(name, pattern)]
        if not meant:
            raise InputError(f"{option} {pattern}: matches no edge; natonnx inspect lists their names")
        for name in meant:
            found.setdefault(name, pattern)
    return found


def _matching(view: GraphView, pattern: str, option: str, also: Iterable[str] = ()) -> list[int]:
    nodes = [i for i in range(len(view.nodes)) if fnmatchcase(view.name(i), pattern)]
    if not nodes and not any(fnmatchcase(name, pattern) for name in also):
        names = ", ".join(view.name(i) for i in range(min(3, len(view.nodes))))
        raise InputError(f"{option} {pattern}: matches no node of the model, whose names are such as {names}")
    return nodes


def _upstream(view: GraphView, nodes: Iterable[int]) -> frozenset[int]:
    found = set(nodes)
    pending = list(found)
    while pending:
        for name in view.reads(pending.pop()):
            maker = view.producer.get(name)
            if maker is not None and maker not in found:
                found.add(maker)
                pending.append(maker)
    return frozenset(found)
