"""Cells as text or tuples ↔ architectures: the paper's cells and those of NAS-Bench-201.

A cell is an architecture like that of any model: same transitions, null propagation and cost. Its edges stand in the
order of the text or of the tuples, and the name of an O edge begins with its operation, as in "sep_conv_3x3:2->4"; the
states of cheaper operations are their names.
One thing differs from the papers on purpose: a skip at stride 2 is parameter-free (see `match_skip`), no
FactorizedReduce.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from natonnx.architecture import (
    Architecture,
    ChannelCutRule,
    Choice,
    Edge,
    FeatureMap,
    Join,
    Skip,
    State,
    Topology,
    match_skip,
)
from natonnx.errors import InputError
from tools.research.cells.cheaper import Transitions, cheaper_ops
from tools.research.cells.operations import CELL_OPS, cell_op, preprocessing

__all__ = ["Link", "cell", "links", "nasbench201_cell", "nasbench201_ops", "nasbench201_text", "transformed"]

_STATE_OPS = {State.S: "skip_connect", State.N: "null"}
_OP_STATES = {op: state for state, op in _STATE_OPS.items()}
_OPS = (*CELL_OPS, *_OP_STATES)
_PAPER_OPS = tuple(op for op in _OPS if not op.startswith("nor_"))
_CHEAPER_OPS = tuple(
    f"{kind}_{k}x{k}" for kind in ("conv", "sep_conv", "dil_conv", "max_pool", "avg_pool") for k in (5, 3, 1)
)
"""What the paper's operations may become by NAT++, as far as there is such an operation."""
_NASBENCH201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_NASBENCH201_FORM = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
_NASBENCH201_ENDS = tuple((source, target) for target in range(1, 4) for source in range(target))
_NASBENCH201_PATTERN = re.compile(re.escape(_NASBENCH201_FORM).replace("op", f"({'|'.join(_NASBENCH201_OPS)})"))
_MEMBER = "a cell joins all the nodes of its concat"
_NEXT = "it belongs to the next cell"


class Link(NamedTuple):
    """One edge of a cell, the paper's tuple.

    Attributes:
        op: What it carries; "skip_connect" for state S, "null" for state N.
        source: The node that it reads.
        target: The node that it enters, a later one.
    """

    op: str
    source: int
    target: int


def nasbench201_cell(
    text: str, *, channels: int = 16, size: int = 32, transitions: Transitions = "nat"
) -> Architecture:
    """Read a cell of NAS-Bench-201 (Dong and Yang 2020).

    Args:
        text: Such as "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|".
        channels: Width of every node.
        size: Height and width.
        transitions: Whether operations may become cheaper ones.

    Returns:
        Nodes 0 (the input) to 3 (the output) of shape [batch, channels, size, size], and six edges in the text's order.

    Raises:
        InputError: If the text has another form or names an unknown operation.
    """
    ops = ("null" if op == "none" else op for op in nasbench201_ops(text))
    made = (Link(op, *ends) for op, ends in zip(ops, _NASBENCH201_ENDS, strict=True))
    cheaper = _NASBENCH201_OPS if transitions == "nat++" else ()
    return _architecture(*_graph(made, "0123", (size,) * 4, channels, cheaper))


def nasbench201_ops(text: str) -> tuple[str, ...]:
    """Read the operations of a cell of NAS-Bench-201 alone, in the text's order.

    Raises:
        InputError: If the text has another form or names an unknown operation.
    """
    match = _NASBENCH201_PATTERN.fullmatch(text)
    if match is None:
        known = ", ".join(_NASBENCH201_OPS)
        raise InputError(f"cell {text!r}: it is not {_NASBENCH201_FORM}; write one of {known} for each op")
    return match.groups()


def nasbench201_text(architecture: Architecture) -> str:
    """Write a cell of NAS-Bench-201, or an α that comes from one by transitions, as text.

    Raises:
        InputError: If the architecture is no such cell.
    """
    found = links(architecture)
    if tuple((link.source, link.target) for link in found) != _NASBENCH201_ENDS:
        raise InputError("architecture: it is no cell of NAS-Bench-201; make it by nasbench201_cell")
    ops = iter(["none" if link.op == "null" else link.op for link in found])
    return re.sub("op", lambda _: next(ops), _NASBENCH201_FORM)


def cell(
    links: Iterable[tuple[str, int, int]],
    concat: Iterable[int],
    *,
    reduction: bool = False,
    channels: int = 16,
    size: int = 32,
    transitions: Transitions = "nat",
) -> Architecture:
    """Make a cell of the NAT, DARTS, ENAS or NAO papers, with the 1×1 convolution by which the next cell reads it.

    Args:
        links: Its edges, in any order; nodes 0 and 1 are the outputs of the two cells before, already brought to the
            cell's width, later nodes are sums.
        concat: Nodes whose values are joined along axis 1. None can be dropped by itself, but one that null has killed
            leaves the join, and the next cell's convolution gets narrower.
        reduction: Whether links from nodes 0 and 1 have stride 2.
        channels: Width of every node.
        size: Height and width of the inputs; even if `reduction`.
        transitions: Whether operations may become cheaper ones.

    Returns:
        Inputs [batch, channels, size, size]; output, the next cell's input, of the same shape or half that size. Edges
        stand in the order of the links, then those of the concat.

    Raises:
        InputError: If an operation or a node is unknown, a link does not run forwards, nothing enters a node, a concat
            is empty or names a node twice, or the size cannot be halved.
    """
    made, members = tuple(Link(*link) for link in links), tuple(concat)
    if reduction and size % 2:
        raise InputError(f"reduction cell: size {size} cannot be halved; choose an even one")
    inner, within = _inner_nodes(made, members, reduction=reduction), size // 2 if reduction else size
    names, sizes = ("c_{k-2}", "c_{k-1}", *map(str, inner)), (size, size, *(within for _ in inner))
    cheaper = [op for op in _CHEAPER_OPS if op in CELL_OPS] if transitions == "nat++" else ()
    maps, edges, states = _graph(made, names, sizes, channels, cheaper)
    wide = len(members) * channels
    joined = FeatureMap(
        "concat", ("batch", wide, within, within), Join.CONCAT, axis=1, cut_rules=(ChannelCutRule(1, 1),)
    )
    edges += (Edge(f"{node}->concat", str(node), "concat", None, Skip(4), fixed=_MEMBER) for node in members)
    name = "conv_1x1:concat->next"
    edges.append(Edge(name, "concat", "next", preprocessing(name, wide, channels, within), None, _NEXT, fixed=_NEXT))
    states += [State.S] * len(members) + [State.O]
    return _architecture([*maps, joined, _node("next", Join.SINGLE, channels, within)], edges, states)


def links(architecture: Architecture) -> tuple[Link, ...]:
    """The edges of a cell, or of an α that comes from one by transitions: the inverse of `cell`.

    Raises:
        InputError: If the architecture is no cell.
    """
    topology = architecture.topology
    found: list[Link] = []
    for e in _cell_edges(topology):
        name, (source, target), state = topology.edges[e].name, topology.ends[e], architecture.states[e]
        op = name.partition(":")[0] if state == State.O else _STATE_OPS.get(state, str(state))
        found.append(Link(op, source, target))
        if found[-1].op not in _OPS:
            raise InputError(f"architecture: edge {name!r} is not a cell's; make it by cell or nasbench201_cell")
    return tuple(found)


def transformed(beta: Architecture, wanted: Iterable[tuple[str, int, int]]) -> Architecture:
    """Give a cell the states by which its links become others; `violation` judges whether they may.

    Args:
        beta: A cell.
        wanted: Links between the same nodes in the same order.

    Raises:
        InputError: If the nodes differ, or a link would need an operation that it does not carry.
    """
    now, then = links(beta), tuple(Link(*link) for link in wanted)
    if [link[1:] for link in now] != [link[1:] for link in then]:
        raise InputError("cell: its links run between other nodes than those wanted; name the same nodes in that order")
    states = list(beta.states)
    for e, old, new in zip(_cell_edges(beta.topology), now, then, strict=True):
        if old.op != new.op:
            cheaper = {str(choice.state): choice.state for choice in beta.topology.edges[e].cheaper}
            options = _OP_STATES | cheaper
            if new.op not in options:
                *most, last = options
                raise InputError(f"link {tuple(old)}: it cannot become {new.op}, only {', '.join(most)} or {last}")
            states[e] = options[new.op]
    return beta.with_states(tuple(states))


# Graphs


def _inner_nodes(made: Sequence[Link], members: Sequence[int], *, reduction: bool) -> range:
    """The nodes of a cell that are no inputs, if it is well-formed."""
    for link in made:
        if link.op not in _PAPER_OPS:
            raise InputError(f"link {tuple(link)}: unknown operation {link.op!r}; write one of {', '.join(_PAPER_OPS)}")
        if not 0 <= link.source < link.target or link.target < 2:
            raise InputError(f"link {tuple(link)}: it does not run to a later node; number from 2, inputs are 0 and 1")
        if link.op.endswith("2x2") and not (reduction and link.source < 2):
            raise InputError(
                f"link {tuple(link)}: at stride 1 it would change the size; start it at a reduction's input"
            )
    entered = {link.target for link in made}
    inner = range(2, max(entered, default=1) + 1)
    for node in inner:
        if node not in entered:
            raise InputError(f"cell: no link enters node {node}; number the nodes from 2 without a gap")
    if not members or len({*members}) < len(members) or not {*members} <= entered:
        raise InputError(f"concat {tuple(members)}: name at least one of the nodes {tuple(inner)}, each once at most")
    return inner


def _graph(
    made: Iterable[Link], names: Sequence[str], sizes: Sequence[int], channels: int, among: Sequence[str]
) -> tuple[list[FeatureMap], list[Edge], list[State]]:
    """Nodes of those names and sizes, inputs where no link enters, and the links between them.

    Operations may become those `among` which are cheaper.
    """
    if channels < 1 or min(sizes) < 1:
        raise InputError(f"cell: {channels} channels of size {min(sizes)}; choose at least 1 of each")
    made = tuple(made)
    entered = {link.target for link in made}
    maps = [
        _node(name, Join.SUM if node in entered else Join.INPUT, channels, size)
        for node, (name, size) in enumerate(zip(names, sizes, strict=True))
    ]
    edges: dict[str, Edge] = {}
    for link in made:
        source, target = maps[link.source], maps[link.target]
        plain = f"{'' if link.op in _OP_STATES else link.op + ':'}{source.name}->{target.name}"
        count = sum(name.partition("#")[0] == plain for name in edges)
        name = f"{plain}#{count + 1}" if count else plain
        skip = match_skip(source.shape, target.shape)
        assert isinstance(skip, Skip)  # the nodes of a cell differ by a factor of two at most
        size, within = sizes[link.source], sizes[link.target]
        operation = None if link.op in _OP_STATES else cell_op(link.op, name, channels, size, size // within)
        cheaper = tuple(
            Choice(
                State(op),
                cell_op(op, f"{name}/{op}", channels, size, size // within),
                (State.S, State.N, *map(State, cheaper_ops(op, among))),
            )
            for op in cheaper_ops(link.op, among)
        )
        edges[name] = Edge(name, source.name, target.name, operation, skip, cheaper=cheaper)
    return maps, list(edges.values()), [_OP_STATES.get(link.op, State.O) for link in made]


def _node(name: str, join: Join, channels: int, size: int) -> FeatureMap:
    return FeatureMap(name, ("batch", channels, size, size), join)


def _cell_edges(topology: Topology) -> list[int]:
    """Positions of the edges that are a cell's links: those into sums."""
    return [e for e, (_, target) in enumerate(topology.ends) if topology.maps[target].join is Join.SUM]


def _architecture(maps: Sequence[FeatureMap], edges: Sequence[Edge], states: Sequence[State]) -> Architecture:
    return Architecture(Topology(tuple(maps), tuple(edges), (maps[-1].name,)), tuple(states))
