"""What NAT and NAT++ made of the CIFAR networks, by natonnx's edits."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from natonnx.api import load
from natonnx.architecture import Edit
from natonnx.errors import InputError
from tools.paper.building import find
from tools.paper.catalog import CATALOG, Architecture, Method, Variant, name_of
from tools.paper.cells import stack
from tools.paper.edits import cell_edits, plain_edits, within_transitions
from tools.paper.rewriting import CELL_READING, PLAIN_READING, Comparison, compare_cells, compare_plans

__all__ = ["TRANSFORMED", "edits_of", "transform", "transformations"]


def edits_of(name: str, model: Path, variant: Variant | None = None, cells: int | None = None) -> tuple[Edit, ...]:
    """The edits that make an architecture of an export of what it was made from.

    Args:
        name: The architecture's name, such as "NAT-DARTS".
        model: The export, by tools/zoo.py.
        variant: What it is for.
        cells: The export's depth; the paper's where None.

    Raises:
        InputError: If the architecture was made from none, is no matter of skips and nulls, or the file is no such
            export.
    """
    architecture, chosen = find(name, variant)
    if architecture.method == "original":
        raise InputError(f"{architecture.name}: it was made from no other; name one of NAT or NAT++")
    origin = CATALOG[architecture.family]
    assert origin.genotype is not None
    assert architecture.genotype is not None
    if chosen in origin.plans:
        plan = origin.plans[chosen]
        return plain_edits(load(model, PLAIN_READING).network, plan(origin.genotype), plan(architecture.genotype))
    depth = cells or origin.stacks[chosen].cells
    after = within_transitions(origin.genotype, architecture.genotype)
    return cell_edits(load(model, CELL_READING).network, stack(origin.genotype, depth), stack(after, depth))


def transform(architecture: Architecture, method: Method, *, channels: int = 8, cells: int | None = None) -> Comparison:
    """Apply the released edits of a method to a CIFAR network, as far as natonnx's transitions have them.

    Args:
        architecture: The original.
        method: Whose edits.
        channels: Width of a network of cells.
        cells: Its depth; the paper's where None.
    """
    other = CATALOG[name_of(architecture.family, method)]
    assert architecture.genotype is not None
    assert other.genotype is not None
    if "cifar" in architecture.plans:
        plan = architecture.plans["cifar"]
        return compare_plans(plan(architecture.genotype), plan(other.genotype))
    depth = cells or architecture.stacks["cifar"].cells
    after = within_transitions(architecture.genotype, other.genotype)
    return compare_cells(stack(architecture.genotype, depth), stack(after, depth), channels=channels, size=32)


TRANSFORMED: tuple[tuple[str, Method], ...] = tuple(
    (entry.family, entry.method) for entry in CATALOG.values() if entry.method == "NAT" and "cifar" in entry.variants
)
"""The CIFAR networks that NAT transformed."""


def transformations(names: Sequence[str], channels: int) -> Iterator[str]:
    """A table in Markdown, of some of `TRANSFORMED` or all."""
    wanted = {name.lower() for name in names}
    yield "| network | edits | params | by `apply` | built | MAdds | by `apply` | built | difference of outputs |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for family, method in TRANSFORMED:
        if wanted and family.lower() not in wanted:
            continue
        found = transform(CATALOG[family], method, channels=channels)
        cells = [f"{name_of(family, method)} | {found.edits}"]
        for i in range(2):
            cells += [f"{found.before[0][i]:,}", f"{found.parsed[i]:,}", f"{found.direct[i]:,}"]
        yield f"| {' | '.join(cells)} | {found.difference:.1e} |"
