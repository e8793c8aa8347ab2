"""Compare the edges that two models have, as NAT sees them.

Edges are matched in turn by:

1. *structure*, where both graphs are the same node for node, or are up to there, whatever the names;
2. their *name*;
3. their *ends*: the feature maps that they join. Two maps are the same if they share a tensor's name, be it that of
   the join or of the activation behind it, which a map may gain or lose with its readers;
4. their *nodes*, where one edge of a model holds all nodes of an edge of the other.

What is left was removed or added. It is null now, or was, where the maps on both sides exist in both models.

Exporters give models that have nothing to do with each other the same names of tensors ("relu_3"). So where the models
do not name things alike, only the first two count, and nothing is said to be null.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from natonnx.architecture import Edge, Join, Shape, State
from natonnx.contract.diff import EdgeChange, EdgeChangeKind, EdgeMatch, Edges
from natonnx.contract.rows import EdgeRow, edge_row
from natonnx.frontend import Network
from natonnx.frontend.view import GraphView
from natonnx.frontend.vocabulary import COMPUTE, NORMALISATIONS
from natonnx.verbs.diff.digest import opsets
from natonnx.verbs.diff.operators import attributes, kind, values

__all__ = ["compare_edges"]

_SHAPING = COMPUTE | NORMALISATIONS
_NAMED = frozenset({"kernel_shape", "strides", "group"})
"""Attributes that `Operation` has fields for."""
_MATCHES: tuple[EdgeMatch, ...] = ("name", "structure", "ends", "nodes")


class _Match(NamedTuple):
    """An edge of each model that belong together, and by what."""

    before: str
    after: str
    by: EdgeMatch


def compare_edges(before: Network, after: Network, rename: Mapping[str, str], *, related: bool) -> Edges:
    """Compare the O and S edges of two models.

    Args:
        before: One model.
        after: The other.
        rename: Names of the other's tensors in the one, where the graphs say which is which.
        related: Whether the names of tensors can be gone by.

    Returns:
        Totals, how many edges are the same, and a row for each other one.
    """
    old, new = _Side(before, {}), _Side(after, rename)
    matches = list(_Matching(old, new).run(by_maps=related))
    rows = [_compare(old, new, match) for match in matches]
    used = {match.before for match in matches}, {match.after for match in matches}
    added = [_added(old, new, name, related) for name in new.edges if name not in used[1]]
    rebuilt = {new.edges[row["edge"]].target for row in added if row is not None and row["change"] == "added"}
    rows += [_removed(old, new, name, rebuilt if related else None) for name in old.edges if name not in used[0]]
    rows += added
    order = {name: i for i, name in enumerate(dict.fromkeys((*old.edges, *old.states, *new.edges)))}
    changes = sorted((row for row in rows if row is not None), key=lambda row: order[row["edge"]])
    by = [match.by for match in matches]
    return {
        "before": len(old.edges),
        "after": len(new.edges),
        "same": rows.count(None),
        "related": related,
        "matched": {how: by.count(how) for how in _MATCHES},
        "changes": changes,
    }


class _Side:
    """One model: its edges that exist, and what its feature maps are called.

    Attributes:
        network: The model.
        edges: Its O and S edges, by name.
        states: Of all edges, by name.
        owner: The feature map that each tensor belongs to, by the tensor's name in the other model.
        names: Those names of each map's tensors.
    """

    def __init__(self, network: Network, rename: Mapping[str, str]) -> None:
        topology = network.architecture.topology
        self.network = network
        self.rename = rename
        self.given = frozenset(rename.values())
        self.view = GraphView(network.model, network.shapes, network.dtypes, network.folder)
        self.opsets = opsets(network.model)
        self.states = dict(zip(topology.edge_index, network.architecture.states, strict=True))
        self.edges = {edge.name: edge for edge in topology.edges if self.states[edge.name] != State.N}
        self.nulls = [edge for edge in topology.edges if self.states[edge.name] == State.N]
        self.names: dict[str, tuple[str, ...]] = {}
        for name, binding in network.maps.items():
            chain = [network.model.graph.node[i].output[0] for i in binding.chain]
            self.names[name] = tuple(map(self.told, dict.fromkeys((binding.join_tensor, *chain, binding.value_tensor))))
        self.owner = {tensor: name for name, tensors in self.names.items() for tensor in tensors}

    def told(self, tensor: str) -> str:
        """Return a tensor's name as the other model has it; one that means another tensor there is changed."""
        return self.rename.get(tensor) or (f"\0{tensor}" if tensor in self.given else tensor)

    @cached_property
    def tensors(self) -> set[str]:
        """All that nodes make, by the other model's names."""
        return {self.told(name) for node in self.view.nodes for name in node.output}

    def row(self, name: str) -> EdgeRow:
        """Return an edge in a report."""
        return edge_row(self.edges[name], self.states[name])

    def place(self, edge: Edge) -> tuple[str, ...]:
        """Return what an edge reads, makes, and what it is joined to: its state and tensors by this model's names."""
        maps, tensor = self.network.maps, self.network.edges[edge.name].tensor
        return self.states[edge.name], maps[edge.source].value_tensor, tensor, maps[edge.target].join_tensor

    def nodes(self, name: str) -> list[int]:
        """Return positions of the compute operators and normalisations of an edge."""
        found = self.network.edges[name].nodes
        return [i for i in found if kind(self.network.model.graph.node[i]) in _SHAPING]

    def node_names(self, name: str) -> set[str]:
        """Return the names of all nodes of an edge."""
        return {self.view.name(i) for i in self.network.edges[name].nodes}

    @cached_property
    def holder(self) -> dict[str, str]:
        """The edge that each node of an edge is on, by the node's name."""
        return {node: name for name in self.edges for node in self.node_names(name)}

    @cached_property
    def outside(self) -> set[str]:
        """The nodes that are on no edge, by name."""
        return {self.view.name(i) for i in range(len(self.view.nodes))} - self.holder.keys()

    def shape(self, fmap: str) -> Shape:
        """Return the shape of a feature map, at its join."""
        topology = self.network.architecture.topology
        return topology.maps[topology.map_index[fmap]].shape

    def join(self, fmap: str) -> Join:
        """Return how a feature map is made."""
        topology = self.network.architecture.topology
        return topology.maps[topology.map_index[fmap]].join


def _twins(one: _Side, other: _Side, fmap: str) -> set[str]:
    """Return the other model's maps that share a tensor's name with a map, and its shape but for one axis."""
    found = {other.owner[tensor] for tensor in one.names[fmap] if tensor in other.owner}
    return {name for name in found if _alike(one.shape(fmap), other.shape(name))}


def _alike(one: Shape, other: Shape) -> bool:
    """Return whether shapes differ in one known size at most, as they do where a concat upstream lost a member."""
    pairs = zip(one, other, strict=True) if len(one) == len(other) else [(0, 1), (0, 1)]
    return sum(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs) <= 1


class _Matching:
    """Pairs edges of two models, each once."""

    def __init__(self, old: _Side, new: _Side) -> None:
        self.old = old
        self.new = new
        self.left = dict.fromkeys(old.edges), dict.fromkeys(new.edges)

    def run(self, *, by_maps: bool) -> Iterator[_Match]:
        rename = self.new.rename
        if rename:
            places: dict[tuple[str, ...], str] = {}
            for name, edge in self.new.edges.items():
                state, *tensors = self.new.place(edge)
                if all(tensor in rename for tensor in tensors):
                    places[state, *(rename[tensor] for tensor in tensors)] = name
            for name, edge in self.old.edges.items():
                place = places.get(self.old.place(edge))
                yield from self._take(name, place, "name" if place == name else "structure")
        for name in self.old.edges:
            yield from self._take(name, name, "name")
        if not by_maps:
            return
        for same_state in (True, False):
            for name in list(self.left[0]):
                yield from self._take(name, self._between(name, same_state=same_state), "ends")
        yield from self._parts()

    def _take(self, old: str, new: str | None, by: EdgeMatch) -> Iterator[_Match]:
        if new is not None and old in self.left[0] and new in self.left[1]:
            del self.left[0][old], self.left[1][new]
            yield _Match(old, new, by)

    def _between(self, name: str, *, same_state: bool) -> str | None:
        """Return an edge of the other model that is left, between the same maps."""
        old, new = self.old, self.new
        sources, targets = (_twins(old, new, end) for end in (old.edges[name].source, old.edges[name].target))
        for other in self.left[1]:
            edge = new.edges[other]
            fits = not same_state or old.states[name] == new.states[other]
            if fits and edge.source in sources and edge.target in targets:
                return other
        return None

    def _parts(self) -> Iterator[_Match]:
        """Return edges whose nodes are all in one edge of the other model, which may have several such."""
        for old, new in self._within(self.old, self.new, self.left[0]):
            self.left[1].pop(new, None)
            yield _Match(old, new, "nodes")
        for new, old in self._within(self.new, self.old, self.left[1]):
            yield _Match(old, new, "nodes")

    def _within(self, one: _Side, other: _Side, left: Mapping[str, None]) -> list[tuple[str, str]]:
        found = []
        for name in left:
            holders = {other.holder.get(one.view.name(i)) for i in one.nodes(name)}
            holder = holders.pop() if len(holders) == 1 else None
            if holder is not None:
                found.append((name, holder))
        return found


def _compare(old: _Side, new: _Side, match: _Match) -> EdgeChange | None:
    """Return a row for edges that belong together; None where they are the same."""
    before, after = old.states[match.before], new.states[match.after]
    details = list(_details(old, new, match))
    what: EdgeChangeKind
    if match.by == "nodes" or _is_of_map(old, new, match.before, match.after):
        what = "regrouped"
    elif before != after:
        what = "transition"
    elif not details:
        return None
    else:
        what = "changed" if match.by != "ends" or before == State.S else "replaced"
    return _change(match.before, what, match.by, before, after, old.row(match.before), new.row(match.after), details)


def _is_of_map(one: _Side, other: _Side, edge: str, twin: str) -> bool:
    """Tell whether what an edge carries is the activation of a map at an end of its twin in the other model."""
    nodes = one.node_names(edge)
    maps = [other.network.maps[end] for end in (other.edges[twin].source, other.edges[twin].target)]
    return bool(nodes) and nodes <= {other.view.name(i) for fmap in maps for i in fmap.chain}


def _change(
    edge: str,
    what: EdgeChangeKind,
    by: EdgeMatch | None,
    before: State | None,
    after: State | None,
    old: EdgeRow | None,
    new: EdgeRow | None,
    details: list[str],
) -> EdgeChange:
    return {
        "edge": edge,
        "change": what,
        "from": before.value if before else None,
        "to": after.value if after else None,
        "noted": None,
        "matched_by": by,
        "details": details,
        "before": old,
        "after": new,
    }


def _removed(old: _Side, new: _Side, name: str, rebuilt: Collection[str] | None) -> EdgeChange:
    """Make a row for an edge that is left: null where both its maps are there, and nothing new makes its target.

    Args:
        old: The model that has it.
        new: The other.
        name: The edge.
        rebuilt: Maps of the other model that edges enter which were added; None where its maps are not comparable.
    """
    if rebuilt is None:
        return _change(name, "removed", None, old.states[name], None, old.row(name), None, [])
    nodes = old.node_names(name)
    if nodes and nodes <= new.outside:
        told = ["its nodes are there, on no edge: a feature map's activation"]
        return _change(name, "regrouped", None, old.states[name], None, old.row(name), None, told)
    gone = _missing(old, new, old.edges[name])
    targets = _twins(old, new, old.edges[name].target)
    fixed = {target for target in targets if new.join(target) is Join.OPAQUE}
    if targets & _twins(old, new, old.edges[name].source):  # its nodes are the other map's activation
        gone = [f"its source {old.edges[name].source} is a feature map in one model only"]
    if not gone and (fixed or targets.intersection(rebuilt)):
        gone = [f"its target {old.edges[name].target} is made in another way"]
    if gone:
        return _change(name, "removed", None, old.states[name], None, old.row(name), None, gone)
    return _change(name, "transition", "ends", old.states[name], State.N, old.row(name), None, [])


def _added(old: _Side, new: _Side, name: str, related: bool) -> EdgeChange | None:
    """Return a row for an edge that is left in the other model: it was null where NAT could have put it.

    None where its nodes were there before, on no edge: as the activation of a map that is none any more.
    """
    edge, state = new.edges[name], new.states[name]
    if not related:
        return _change(name, "added", None, None, state, None, new.row(name), [])
    nodes = new.node_names(name)
    if nodes and nodes <= old.outside:
        return None
    sources, targets = (_twins(new, old, end) for end in (edge.source, edge.target))
    null = next((null.name for null in old.nulls if null.source in sources and null.target in targets), None)
    if state == State.S and null is not None:
        return _change(null, "transition", "ends", State.N, state, None, new.row(name), [])
    return _change(name, "added", None, None, state, None, new.row(name), _missing(new, old, edge, "new"))


def _missing(one: _Side, other: _Side, edge: Edge, word: str = "gone") -> list[str]:
    """Return which ends of an edge the other model lacks."""
    ends = (("source", edge.source), ("target", edge.target))
    missing = [(end, name) for end, name in ends if not _twins(one, other, name)]
    return [f"its {end} {name} is {_fate(one, other, name, word)}" for end, name in missing]


def _fate(one: _Side, other: _Side, fmap: str, word: str) -> str:
    """Return what to say of a feature map that the other model lacks: its tensor may still be there, within an edge."""
    return "a feature map in one model only" if other.tensors.intersection(one.names[fmap]) else word


def _details(old: _Side, new: _Side, match: _Match) -> Iterator[str]:
    """Return in what two edges that belong together differ, one thing a line."""
    before, after = old.edges[match.before], new.edges[match.after]
    for end in ("source", "target") if match.by != "nodes" else ():
        was, now = getattr(before, end), getattr(after, end)
        if now not in _twins(old, new, was):
            sizes = _text(old.shape(was)), _text(new.shape(now))
            if was != now:
                yield f"{end} {was} → {now}"
            elif sizes[0] != sizes[1]:
                yield f"{end} {was}: shape {sizes[0]} → {sizes[1]}"
    one, other = before.operation, after.operation
    if match.by == "nodes" or one is None or other is None:
        return
    if old.states[match.before] != new.states[match.after]:
        return
    for field in ("kind", "kernel", "stride", "groups"):
        if getattr(one, field) != getattr(other, field):
            yield f"{field} {_text(getattr(one, field))} → {_text(getattr(other, field))}"
    if one.kind == other.kind:
        yield from _node_details(old, new, match)
    shapes = [
        [side.network.shapes.get(weight.name, ()) for weight in operation.weights]
        for side, operation in ((old, one), (new, other))
    ]
    if shapes[0] != shapes[1]:
        yield f"weights {', '.join(map(_text, shapes[0])) or 'none'} → {', '.join(map(_text, shapes[1])) or 'none'}"


def _node_details(old: _Side, new: _Side, match: _Match) -> Iterator[str]:
    graphs = [side.network.model.graph.node for side in (old, new)]
    nodes = [
        [graph[i] for i in side.nodes(name)]
        for graph, side, name in zip(graphs, (old, new), (match.before, match.after), strict=True)
    ]
    kinds = [[kind(node) for node in own] for own in nodes]
    if kinds[0] != kinds[1]:
        yield f"operators {', '.join(kinds[0])} → {', '.join(kinds[1])}"
        return
    for was, now in zip(*nodes, strict=True):
        given, then = values(attributes(was, old.opsets)), values(attributes(now, new.opsets))
        for name in sorted((given.keys() | then.keys()) - _NAMED):
            if given.get(name) != then.get(name):
                yield f"{kind(was)} {name} {_text(given.get(name))} → {_text(then.get(name))}"


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "×".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
