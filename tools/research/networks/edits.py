"""From a genotype to edits: what `natonnx apply` must change in an exported network to make another of it.

Cells: every repeat of a cell gets the genotype's changes. A link is found by the names that the exporter gives to its
nodes or weights, and a skip, which has none, as the S edge between the maps of its two nodes. Parse such files at
granularity `branch`, where a link is one edge.

Plain networks: every map is found by what makes it; an entry that becomes a skip is O→S, and a new one N→S between the
maps that it joins.
"""

from collections.abc import Iterator, Sequence

from natonnx.architecture import Edit, State
from natonnx.errors import InputError
from natonnx.frontend import Network
from tools.research.cells import Link
from tools.research.networks.cells import Cell, read_cells
from tools.research.networks.genotypes import Genotype
from tools.research.networks.plain import Plan

__all__ = ["as_skip", "cell_edits", "node_map", "plain_edits", "plan_map", "within_transitions"]


def within_transitions(before: Genotype, after: Genotype) -> Genotype:
    """What natonnx can make of a genotype: links that become another operation, and no skip or null, stay."""

    def kept(old: Sequence[Link], new: Sequence[Link]) -> tuple[Link, ...]:
        pairs = zip(old, new, strict=True)
        return tuple(becomes if becomes.op in ("skip_connect", "null") else was for was, becomes in pairs)

    return before._replace(normal=kept(before.normal, after.normal), reduce=kept(before.reduce, after.reduce))


def cell_edits(network: Network, before: Sequence[Cell], after: Sequence[Cell]) -> tuple[Edit, ...]:
    """The edits that turn the cells of an exported network into others.

    A link of several operations in series (a separable convolution at layer granularity) is an edit of each. One that
    leads nowhere, or in a cell that does, is not in the file.

    Raises:
        InputError: If a link becomes anything but a skip or null, or is not found in the file.
    """
    edits: list[Edit] = []
    for k in read_cells(before):
        for i in before[k].active:
            was, becomes = (as_skip(cell, i) for cell in (before[k], after[k]))
            if was == becomes:
                continue
            if becomes not in ("skip_connect", "null"):
                raise InputError(f"cell {k}: {was} cannot become {becomes}, only a skip or null")
            edits += _link_edits(network, k, before[k], i, State.S if becomes == "skip_connect" else State.N)
    return tuple(edits)


def as_skip(cell: Cell, link: int) -> str:
    """The op of a link as natonnx has it: average pooling by two is its skip at stride 2."""
    op, source, _ = cell.links[link]
    return "skip_connect" if op == "avg_pool_2x2" and cell.reduction and source < 2 else op


def _link_edits(network: Network, cell: int, before: Cell, link: int, then: State) -> Iterator[Edit]:
    _, source, target = before.links[link]
    if as_skip(before, link) == "skip_connect":
        start, end = (node_map(network, cell, before, node) for node in (source, target))
        yield Edit(_between(network, start, end, State.S), State.S, then)
        return
    for name in _operations(network, cell, link):
        if then == State.S and name.startswith(f"/cells.{cell}/inputs."):
            raise InputError(
                f"cell {cell}: link {link} is one branch with its input's preprocessing, and no skip alone"
            )
        yield Edit(name, State.O, then)


def _operations(network: Network, cell: int, link: int) -> list[str]:
    """O edges of a link: TorchScript puts the module's path into node names, dynamo into the names of weights."""
    found = _named(network, f"/cells.{cell}/links.{link}/", f"cells.{cell}.links.{link}.")
    if not found:
        raise InputError(
            f"cell {cell}: no edge carries link {link}; export it by tools.research.networks, parse it by branch"
        )
    return found


def node_map(network: Network, cell: int, structure: Cell, node: int) -> str:
    """The feature map of a cell's node: what an operation that enters or leaves it writes or reads.

    Raises:
        InputError: If only skips enter and leave it.
    """
    topology = network.architecture.topology
    for i in structure.active:
        _, source, target = structure.links[i]
        if as_skip(structure, i) == "skip_connect" or node not in (source, target):
            continue
        names = _operations(network, cell, i)
        edge = topology.edges[topology.edge_index[names[0] if source == node else names[-1]]]
        return edge.source if source == node else edge.target
    raise InputError(f"cell {cell}: no operation enters or leaves node {node}, so that it cannot be found")


def plain_edits(network: Network, before: Plan, after: Plan) -> tuple[Edit, ...]:
    """The edits that turn an exported network into another.

    Raises:
        InputError: If they differ by more than skips, or an edge is not found in the file.
    """
    if len(before.maps) != len(after.maps):
        raise InputError("genotype: it adds a feature map, which no edit can do")
    found: list[Edit] = []
    for i, (old, new) in enumerate(zip(before.maps, after.maps, strict=True)):
        if old.entries.keys() - new.entries.keys():
            raise InputError("genotype: some link becomes null, which no genotype of a plain network does")
        for name, entry in new.entries.items():
            was = old.entries.get(name)
            if was == entry:
                continue
            if entry.op != "skip_connect":
                raise InputError("genotype: some link becomes another operation, and not a skip or null")
            if was is None:
                edge = _between(network, plan_map(network, before, entry.source), plan_map(network, before, i), State.N)
                found.append(Edit(edge, State.N, State.S))
            else:
                found += [Edit(edge, State.O, State.S) for edge in _entry(network, i, name)]
    return tuple(found)


def plan_map(network: Network, plan: Plan, i: int) -> str:
    """The feature map of a plan's map.

    Raises:
        InputError: If only skips make it.
    """
    topology = network.architecture.topology
    if i == 0:
        return topology.maps[0].name
    name = next((name for name, entry in plan.maps[i].entries.items() if entry.op != "skip_connect"), None)
    if name is None:
        raise InputError(f"map {i}: only skips make it, so that it cannot be found")
    return topology.edges[topology.edge_index[_entry(network, i, name)[-1]]].target


def _entry(network: Network, i: int, name: str) -> list[str]:
    found = _named(network, f"/maps.{i - 1}/{name}/", f"maps.{i - 1}.entries.{name}.")
    if not found:
        raise InputError(f"map {i}: no edge carries {name!r}; export it by tools.research.networks")
    return found


def _named(network: Network, path: str, weights: str) -> list[str]:
    return [
        edge.name
        for edge in network.architecture.topology.edges
        if edge.operation
        and (edge.name.startswith(path) or any(weight.name.startswith(weights) for weight in edge.operation.weights))
    ]


def _between(network: Network, source: str, target: str, state: State) -> str:
    """The edge in a state between two maps."""
    topology = network.architecture.topology
    for edge, now in zip(topology.edges, network.architecture.states, strict=True):
        if now == state and (edge.source, edge.target) == (source, target):
            return edge.name
    raise InputError(f"no edge in state {state} leads from {source} to {target}")
