"""What `natonnx inspect` must find in an exported network, by its genotype and its layout alone, and what it finds."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from natonnx.architecture import State
from natonnx.errors import InputError
from natonnx.frontend import Granularity, Network, ParseOptions
from natonnx.frontend.vocabulary import ACTIVATIONS
from tools.research.networks.catalog import Variant
from tools.research.networks.cells import Cell, read_cells
from tools.research.networks.edits import as_skip, node_map, plan_map
from tools.research.networks.plain import Plan

__all__ = ["Edges", "cell_nulls", "expected_in_cells", "expected_in_plan", "found_edges", "plain_nulls", "reading_of"]

_STEMS: Mapping[Variant, int] = {"cifar": 1, "imagenet": 3}


class Edges(NamedTuple):
    """Numbers of O and S edges."""

    operations: int
    skips: int


def reading_of(*, is_stack: bool) -> ParseOptions:
    """How natonnx reads a network, so that a link of a cell is one edge, and every shortcut of a cell a candidate."""
    return ParseOptions(window=16, granularity=Granularity.BRANCH if is_stack else Granularity.LAYER)


def expected_in_cells(cells: tuple[Cell, ...], variant: Variant, *, free_skips: bool = False) -> Edges:
    """Count the edges of a network of cells at granularity `branch`.

    Operations: the stem's convolutions, every link that is no skip, the preprocessing of every input that is read, and
    the classifier; where one alone leads to another one alone, and from there to a join, the two are one branch. Skips:
    every skip into a sum, and every member of a concat; a node that only copies another is that node, and one that one
    operation makes and one skip reads is the operation's edge into the sum. A FactorizedReduce is two operations and
    two skips into its concat, and as a link into a sum one skip more.
    """
    operations, skips = _STEMS[variant] + 1, 0
    for k in read_cells(cells):
        cell, factorized = cells[k], _factorized(cells, k, variant)
        branches = _Branches(cell, factorized)
        operations += len(cell.reads) + len(factorized) - len(branches.merged)
        skips += 2 * len(factorized) + (len(cell.members) if len(cell.members) > 1 else 0)
        for i in cell.active:
            link = cell.links[i]
            alone = branches.entering[link.target] == 1
            if as_skip(cell, i) != "skip_connect":
                operations += 1
            elif not (cell.reduction and link.source < 2):
                skips += int(not alone and not branches.ends_in_reader(link.source))
            elif link.op == "skip_connect" and not free_skips:
                operations, skips = operations + 2, skips + (2 if alone else 3)
            else:
                skips += 1
    return Edges(operations, skips)


def _factorized(cells: tuple[Cell, ...], k: int, variant: Variant) -> set[int]:
    """The inputs of a cell that a FactorizedReduce preprocesses."""
    after_reduction = cells[k - 1].reduction if k else variant == "imagenet"
    return {0} & set(cells[k].reads) if after_reduction else set()


class _Branches:
    """Which nodes of a cell vanish into a branch: what one operation writes and one reads, before a join.

    Attributes:
        entering: How many active links enter each node.
        merged: The nodes that vanish.
    """

    def __init__(self, cell: Cell, factorized: set[int]) -> None:
        self.cell, self.factorized = cell, factorized
        self.entering = Counter(cell.links[i].target for i in cell.active)
        nodes = {*cell.reads, *self.entering} - set(cell.members)
        self.merged = {node for node in nodes if self._writes(node) and self._leads_to_join(node)}

    def vanishes(self, node: int) -> bool:
        """Whether no feature map is a node's own."""
        return node in self.merged or self.ends_in_reader(node) or self._copies(node)

    def ends_in_reader(self, node: int) -> bool:
        """Whether one operation alone makes a node and one link alone reads it."""
        readers = [i for i in self.cell.active if self.cell.links[i].source == node]
        return len(readers) == 1 and node not in self.cell.members and self._writes(node)

    def _copies(self, node: int) -> bool:
        """Whether an identity alone makes a node."""
        makers = [self.cell.links[i] for i in self.cell.active if self.cell.links[i].target == node]
        same = not (self.cell.reduction and makers[0].source < 2) if makers else False
        return len(makers) == 1 and makers[0].op == "skip_connect" and same

    def _writes(self, node: int) -> bool:
        """Whether one operation alone makes a node."""
        if node < 2:
            return node not in self.factorized
        makers = [i for i in self.cell.active if self.cell.links[i].target == node]
        return len(makers) == 1 and as_skip(self.cell, makers[0]) != "skip_connect"

    def _leads_to_join(self, node: int) -> bool:
        """Whether one operation alone reads a node, and leads to a join."""
        readers = [i for i in self.cell.active if self.cell.links[i].source == node]
        if len(readers) != 1 or as_skip(self.cell, readers[0]) == "skip_connect":
            return False
        target = self.cell.links[readers[0]].target
        return self.entering[target] > 1 or target in self.cell.members or self._leads_to_join(target)


def expected_in_plan(plan: Plan) -> Edges:
    """Count the edges of a plain network: every entry of every map, and the linear layers.

    A separable convolution is two operations, for there is an activation between its halves. A sum of more than two is
    a chain of sums, each joined to the next by a skip. A map that only copies another is that one.
    """
    operations, skips = len(plan.hidden) + 1, 0
    for own in plan.maps:
        skips += max(0, len(own.entries) - 2)
        for entry in own.entries.values():
            if entry.op != "skip_connect":
                operations += 2 if entry.op.startswith("sep_conv") else 1
            elif len(own.entries) > 1 or (own.size, own.channels) != _extent(plan, entry.source):
                skips += 1
    return Edges(operations, skips)


def _extent(plan: Plan, i: int) -> tuple[int, int]:
    return plan.maps[i].size, plan.maps[i].channels


def found_edges(network: Network) -> Edges:
    """Count those that natonnx finds, without activations that nodes of several kinds read."""
    topology, states = network.architecture.topology, network.architecture.states
    free = {i for i, edge in enumerate(topology.edges) if edge.operation and edge.operation.kind in ACTIVATIONS}
    found = Counter(state for i, state in enumerate(states) if i not in free)
    return Edges(found[State.O], found[State.S])


def cell_nulls(network: Network, cells: tuple[Cell, ...], variant: Variant) -> Iterator[bool]:
    """For every null link between maps that are there and not joined otherwise: whether natonnx has it as an N edge."""
    candidates = _candidates(network)
    for k in read_cells(cells):
        cell = cells[k]
        branches = _Branches(cell, _factorized(cells, k, variant))
        alive = {node for i in cell.active for node in cell.links[i][1:] if not branches.vanishes(node)}
        joined = {cell.links[i][1:] for i in cell.active}
        for op, source, target in cell.links:
            if op == "null" and {source, target} <= alive and (source, target) not in joined:
                try:
                    ends = tuple(node_map(network, k, cell, node) for node in (source, target))
                except InputError:  # only skips enter and leave one of them
                    continue
                yield ends in candidates


def plain_nulls(network: Network, plan: Plan, filled: Plan) -> Iterator[bool]:
    """For every shortcut that a plan gets where its genotype's null links become skips: whether it is an N edge."""
    candidates = _candidates(network)
    for i, (own, other) in enumerate(zip(plan.maps, filled.maps, strict=True)):
        present = {entry.source for entry in own.entries.values()}
        for name, entry in other.entries.items():
            if name in own.entries or entry.source in present:
                continue
            try:
                ends = tuple(plan_map(network, plan, node) for node in (entry.source, i))
            except InputError:  # only skips make one of them
                continue
            yield ends in candidates


def _candidates(network: Network) -> set[tuple[str, ...]]:
    architecture = network.architecture
    pairs = zip(architecture.topology.edges, architecture.states, strict=True)
    return {(edge.source, edge.target) for edge, state in pairs if state == State.N}
