"""What NAT and NAT++ made of networks, by natonnx's edits."""

from collections.abc import Iterator, Sequence

from natonnx.errors import InputError
from tools.conformance.paper.rewriting import Comparison, compare_cells, compare_plans
from tools.research.networks.building import find
from tools.research.networks.catalog import CATALOG, Architecture, name_of
from tools.research.networks.cells import stack
from tools.research.networks.edits import within_transitions

__all__ = ["TRANSFORMED", "transform", "transformations"]


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
