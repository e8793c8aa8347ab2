"""A network rewritten by `natonnx apply`, against the one that torch builds with those edges directly."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import onnx
import torch
from torch import Tensor, nn

from natonnx.architecture import Cost, Edit, apply_edits, cost
from natonnx.frontend import Network, ParseOptions, parse, parse_with
from natonnx.rewrite.trial import relative_difference
from natonnx.session import run, session
from natonnx.verbs.apply import apply
from tools.conformance.paper.count import Count, count
from tools.research.networks.cell_network import CellNetwork, copy_weights
from tools.research.networks.cells import Cell, edit
from tools.research.networks.edits import cell_edits, plain_edits
from tools.research.networks.genotypes import GENOTYPES
from tools.research.networks.plain import Plan
from tools.research.networks.plain_network import PlainNetwork
from tools.research.networks.transformed import CELL_READING, PLAIN_READING
from tools.upkeep.export import Exporter, export
from tools.upkeep.randomise import randomise

__all__ = [
    "NAT_DARTS",
    "Comparison",
    "Exporting",
    "compare_cells",
    "compare_plans",
    "in_normal_cells",
]

_LINKS = zip(GENOTYPES["DARTS"].normal, GENOTYPES["NAT_DARTS"].normal, strict=True)
NAT_DARTS = {(new.source, new.target): new.op for old, new in _LINKS if old != new}
"""What the released NAT-DARTS genotype changes in the normal cell of DARTS."""


class Exporting(NamedTuple):
    """How both networks are exported: see `export`."""

    exporter: Exporter = "script"
    opset: int = 17
    keep_norm: bool = False


class Comparison(NamedTuple):
    """A rewritten file and the export of the network built directly.

    Attributes:
        difference: Between their outputs in onnxruntime, relative to the largest.
        edits: How many edges the rewriting changed.
        rewritten: Cost of α as the edits make it.
        parsed: Cost of α as the written file says.
        direct: Count of the direct network.
        before: Cost of β, and its direct count.
    """

    difference: float
    edits: int
    rewritten: Cost
    parsed: Cost
    direct: Count
    before: tuple[Cost, Count]


def in_normal_cells(
    cells: Sequence[Cell], changes: dict[tuple[int, int], str], only: Sequence[int] | None = None
) -> tuple[Cell, ...]:
    """The cells with some links changed in every normal cell, or in those of some positions only."""
    return tuple(
        cell if cell.reduction or (only is not None and k not in only) else edit(cell, changes)
        for k, cell in enumerate(cells)
    )


def compare_cells(
    before: Sequence[Cell],
    after: Sequence[Cell],
    *,
    channels: int = 4,
    size: int = 16,
    exporting: Exporting | None = None,
) -> Comparison:
    """Rewrite one network of cells into another, and compare it with that other one, built with the same weights.

    Skips at stride 2 are natonnx's, without parameters, in both. β is read at granularity `branch`: at `layer` the ReLU
    between the halves of a separable convolution belongs to the feature map there and survives both skips, so α's skips
    would not be the paper's identities.

    Args:
        before: Cells of β.
        after: Cells of α, which differ by edges turned into skips or null.
        channels: See `tools.research.networks.cell_network.CellNetwork`.
        size: Height and width of the image.
        exporting: How both are exported.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        image = torch.randn(2, 3, size, size)
        source, target = (CellNetwork(cells, channels, free_skips=True) for cells in (before, after))
        randomise(source, (image,))
    copy_weights(source, target)
    return _compare(
        source,
        target,
        image,
        exporting or Exporting(),
        CELL_READING,
        lambda network: cell_edits(network, before, after),
    )


def compare_plans(before: Plan, after: Plan) -> Comparison:
    """The same for plain networks, whose skips are all natonnx's."""
    size = before.maps[0].size
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        image = torch.randn(2, 3, size, size)
        source, target = PlainNetwork(before), PlainNetwork(after)
        randomise(source, (image,))
    state = source.state_dict()
    target.load_state_dict({name: state[name] for name in target.state_dict()})
    return _compare(
        source,
        target,
        image,
        Exporting(),
        PLAIN_READING,
        lambda network: plain_edits(network, before, after),
    )


def _compare(
    source: nn.Module,
    target: nn.Module,
    image: Tensor,
    exporting: Exporting,
    reading: ParseOptions,
    find_edits: Callable[[Network], Sequence[Edit]],
) -> Comparison:
    def write(model: nn.Module) -> onnx.ModelProto:
        exporter, opset, keep_norm = exporting
        return export(model, (image,), exporter, opset, keep_norm=keep_norm, keep_equal=True)

    beta = write(source)
    network = parse_with(beta, reading)
    edits = find_edits(network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "beta.onnx"
        onnx.save(beta, path)
        output, _ = apply(path, edits, reading=reading)
        rewritten = onnx.load(output)
    found, expected = (run(session(each), {"x0": image.numpy()})["y"] for each in (rewritten, write(target)))
    folded = not exporting.keep_norm
    return Comparison(
        difference=relative_difference(found, expected),
        edits=len(edits),
        rewritten=cost(apply_edits(network.architecture, edits)),
        parsed=cost(parse(rewritten).architecture),
        direct=count(target, (image,), folded=folded),
        before=(cost(network.architecture), count(source, (image,), folded=folded)),
    )
