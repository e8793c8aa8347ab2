"""Networks of cells as DAGs: what is stacked, and what carries a value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tools.research.cells import Link
from tools.research.networks.genotypes import Genotype

__all__ = ["Cell", "edit", "read_cells", "reductions", "stack"]


@dataclass(frozen=True)
class Cell:
    """A cell as a DAG.

    Attributes:
        links: Its edges; an edge of op "null" carries nothing.
        concat: Nodes whose values are concatenated to its output.
        reduction: Whether it halves the resolution: links from the inputs have stride 2 then.
    """

    links: tuple[Link, ...]
    concat: tuple[int, ...]
    reduction: bool = False

    @cached_property
    def present(self) -> tuple[int, ...]:
        """Positions of the links that are not null."""
        return tuple(i for i, link in enumerate(self.links) if link.op != "null")

    @cached_property
    def active(self) -> tuple[int, ...]:
        """Positions of the links that carry a value from an input to the output."""
        live, needed = {0, 1}, set(self.concat)
        present = [self.links[i] for i in self.present]
        for link in sorted(present, key=lambda link: link.target):
            if link.source in live:
                live.add(link.target)
        for link in sorted(present, key=lambda link: -link.target):
            if link.target in needed and link.source in live:
                needed.add(link.source)
        return tuple(i for i in self.present if self.links[i].source in live and self.links[i].target in needed)

    @cached_property
    def reads(self) -> tuple[int, ...]:
        """Which of the inputs, 0 and 1, some active link reads."""
        return tuple(sorted({link.source for link in map(self.links.__getitem__, self.active)} & {0, 1}))

    @cached_property
    def members(self) -> tuple[int, ...]:
        """Nodes of the concat that have a value."""
        fed = {self.links[i].target for i in self.active}
        return tuple(node for node in self.concat if node in fed)


def reductions(count: int) -> tuple[int, int]:
    """Positions of the reduction cells among so many: after one third and two thirds of them."""
    return count // 3, 2 * count // 3


def stack(genotype: Genotype, count: int) -> tuple[Cell, ...]:
    """The cells of a network."""
    normal = Cell(genotype.normal, genotype.normal_concat)
    reduce = Cell(genotype.reduce, genotype.reduce_concat, reduction=True)
    return tuple(reduce if k in reductions(count) else normal for k in range(count))


def read_cells(cells: Sequence[Cell]) -> tuple[int, ...]:
    """Positions of the cells that lead to the last one's output, and the last one."""
    needed = {len(cells) - 1}
    for k in range(len(cells) - 1, -1, -1):
        if k in needed:
            needed |= {k - 2 + node for node in cells[k].reads}
    return tuple(sorted(k for k in needed if k >= 0))


def edit(cell: Cell, changes: Mapping[tuple[int, int], str]) -> Cell:
    """A cell with other ops on some links, named by their nodes."""
    links = (link._replace(op=changes.get((link.source, link.target), link.op)) for link in cell.links)
    return replace(cell, links=tuple(links))
