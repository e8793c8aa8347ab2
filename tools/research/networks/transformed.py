"""The edits by which an exported network becomes what NAT or NAT++ made of it."""

from pathlib import Path

from natonnx.architecture import Edit
from natonnx.errors import InputError
from natonnx.frontend import Granularity, Network, ParseOptions, load
from tools.research.networks import inspection
from tools.research.networks.building import find
from tools.research.networks.catalog import CATALOG, Variant
from tools.research.networks.cells import stack
from tools.research.networks.edits import cell_edits, plain_edits, within_transitions
from tools.research.networks.inspection import Edges

__all__ = ["CELL_READING", "PLAIN_READING", "edits_of"]

CELL_READING = ParseOptions(granularity=Granularity.BRANCH)
"""A link of a cell is one edge."""

PLAIN_READING = ParseOptions(window=6)
"""NAT's shortcuts over a cell of VGG or MobileNetV2 start six feature maps back."""


def edits_of(name: str, model: Path, variant: Variant | None = None, cells: int | None = None) -> tuple[Edit, ...]:
    """The edits that make an architecture of an export of what it was made from.

    Args:
        name: The architecture's name, such as "NAT-DARTS".
        model: The export, by `python -m tools.research.networks export`.
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
