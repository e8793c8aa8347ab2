"""What NAT and NAT++ made of networks, by natonnx's edits."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from natonnx.architecture import Edit
from natonnx.errors import InputError
from natonnx.frontend import Network, load
from tools.paper import inspection
from tools.paper.building import find
from tools.paper.catalog import CATALOG, Architecture, Variant, name_of
from tools.paper.cells import stack
from tools.paper.edits import cell_edits, plain_edits, within_transitions
from tools.paper.inspection import Edges
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
    alpha = within_transitions(origin.genotype, architecture.genotype)
    if chosen in origin.plans:
        if cells:
            raise InputError(f"{origin.name}: only networks of cells have another depth")
        plan, other = (origin.plans[chosen](each) for each in (origin.genotype, alpha))
        network = load(model, PLAIN_READING).network
        _check_is(network, inspection.expected_in_plan(plan), f"{model}: no export of {origin.name}")
        return plain_edits(network, plan, other)
    depth = cells or origin.stacks[chosen].cells
    before = stack(origin.genotype, depth)
    network = load(model, CELL_READING).network
    expected = inspection.expected_in_cells(before, chosen, free_skips=True)
    _check_is(network, expected, f"{model}: no export of {origin.name} with {depth} cells and free skips")
    return cell_edits(network, before, stack(alpha, depth))


def _check_is(network: Network, expected: Edges, otherwise: str) -> None:
    """Refuse a file of another network, whose modules may have the same names."""
    found = inspection.found_edges(network)
    if found != expected:
        counts = " and ".join(f"{each.operations} operations, {each.skips} skips" for each in (found, expected))
        raise InputError(f"{otherwise} (found and expected: {counts})")


def transform(architecture: Architecture, *, channels: int = 8, cells: int | None = None) -> Comparison:
    """Apply the edits that NAT released to a CIFAR network, as far as natonnx's transitions have them.

    Args:
        architecture: The original.
        channels: Width of a network of cells.
        cells: Its depth; the paper's where None.
    """
    other = CATALOG[name_of(architecture.family, "NAT")]
    assert architecture.genotype is not None
    assert other.genotype is not None
    if "cifar" in architecture.plans:
        plan = architecture.plans["cifar"]
        return compare_plans(plan(architecture.genotype), plan(other.genotype))
    depth = cells or architecture.stacks["cifar"].cells
    after = within_transitions(architecture.genotype, other.genotype)
    return compare_cells(stack(architecture.genotype, depth), stack(after, depth), channels=channels, size=32)


TRANSFORMED: tuple[str, ...] = tuple(
    entry.family for entry in CATALOG.values() if entry.method == "NAT" and "cifar" in entry.variants
)
"""The CIFAR networks that NAT transformed."""


def transformations(names: Sequence[str], channels: int) -> Iterator[str]:
    """A table in Markdown, of some of `TRANSFORMED`, each by its own name or the original's, or all.

    Raises:
        InputError: If one is none of these.
    """
    wanted = {find(name)[0].family for name in names}
    for family in wanted - set(TRANSFORMED):
        raise InputError(f"{family}: nothing that NAT made of it for CIFAR was published")
    yield "| network | edits | params | by `apply` | built | MAdds | by `apply` | built | difference of outputs |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for family in TRANSFORMED:
        if wanted and family not in wanted:
            continue
        found = transform(CATALOG[family], channels=channels)
        cells = [f"{name_of(family, 'NAT')} | {found.edits}"]
        for i in range(2):
            cells += [f"{found.before[0][i]:,}", f"{found.parsed[i]:,}", f"{found.direct[i]:,}"]
        yield f"| {' | '.join(cells)} | {found.difference:.1e} |"
