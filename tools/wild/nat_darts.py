"""DARTS to NAT-DARTS by rewriting its ONNX file, against the network that torch builds with those edges directly."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from natonnx.api import require
from natonnx.architecture import Cost, Edit, State, apply_edits, cost
from natonnx.frontend import Granularity, Network, parse
from natonnx.rewrite import build, verify
from natonnx.session import run, session
from natonnx.supernet import Supernet
from tools.genotypes import GENOTYPES
from tools.wild import darts
from tools.wild.check import relative_difference
from tools.wild.darts import Cell, Count, copy_weights, count, edit, stack
from tools.wild.export import Exporter, export
from tools.wild.torch_models import randomise

__all__ = ["NAT_DARTS", "Comparison", "cell_edits", "compare", "in_normal_cells"]

_LINKS = zip(GENOTYPES["DARTS"].normal, GENOTYPES["NAT_DARTS"].normal, strict=True)
NAT_DARTS = {(new.source, new.target): new.op for old, new in _LINKS if old != new}
"""What the released NAT-DARTS genotype changes in the normal cell of DARTS."""


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


def compare(
    before: Sequence[Cell],
    after: Sequence[Cell],
    *,
    channels: int = 4,
    size: int = 16,
    exporter: Exporter = "script",
    opset: int = 17,
    keep_norm: bool = False,
    granularity: Granularity = Granularity.BRANCH,
    seed: int = 0,
) -> Comparison:
    """Rewrite one network of cells into another, and compare it with that other one, built with the same weights.

    Args:
        before: Cells of β.
        after: Cells of α, which differ by edges turned into skips or null.
        channels: See `tools.wild.darts.Network`.
        size: Height and width of the image.
        exporter: See `export`.
        opset: See `export`.
        keep_norm: See `export`.
        granularity: See `natonnx.frontend.parse`. At `layer` the ReLU between the halves of a separable convolution
            belongs to the feature map there and survives both skips, so α's skips are not the paper's identities.
        seed: Of weights and statistics.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        image = torch.randn(2, 3, size, size)
        source, target = darts.Network(before, channels), darts.Network(after, channels)
        randomise(source, (image,))
    copy_weights(source, target)
    model = export(source, (image,), exporter, opset, keep_norm=keep_norm)
    network = parse(model, granularity=granularity)
    edits = cell_edits(network, before, after)
    alpha = apply_edits(network.architecture, edits)
    rewritten = build(network, alpha)
    require(verify(network, alpha, rewritten, Supernet(network).as_reference(alpha)))
    direct = export(target, (image,), exporter, opset, keep_norm=keep_norm)
    found, expected = (run(session(each), {"x0": image.numpy()})["y"] for each in (rewritten, direct))
    return Comparison(
        difference=relative_difference(found, expected),
        edits=len(edits),
        rewritten=cost(alpha),
        parsed=cost(parse(rewritten).architecture),
        direct=count(target, (image,), folded=not keep_norm),
        before=(cost(network.architecture), count(source, (image,), folded=not keep_norm)),
    )


def cell_edits(network: Network, before: Sequence[Cell], after: Sequence[Cell]) -> tuple[Edit, ...]:
    """The edits of an exported network's edges that turn its cells into others.

    A link of several operations in series (a separable convolution at layer granularity) is an edit of each.
    """
    edits: list[Edit] = []
    for k, (old, new) in enumerate(zip(before, after, strict=True)):
        for i, (was, becomes) in enumerate(zip(old.links, new.links, strict=True)):
            if was.op == becomes.op:
                continue
            now = State.S if was.op == "skip_connect" else State.O
            then = State.S if becomes.op == "skip_connect" else State.N
            names = _skips(network, k, old, i) if now is State.S else _operations(network, k, i)
            edits += [Edit(name, now, then) for name in names]
    return tuple(edits)


def _operations(network: Network, cell: int, link: int) -> list[str]:
    """O edges of a link: TorchScript puts the module's path into node names, dynamo into the names of weights."""
    path, weights = f"/cells.{cell}/links.{link}/", f"cells.{cell}.links.{link}."
    found = [
        edge.name
        for edge in network.architecture.topology.edges
        if edge.operation
        and (edge.name.startswith(path) or any(weight.name.startswith(weights) for weight in edge.operation.weights))
    ]
    assert found, f"no edge of {path}"
    return found


def _skips(network: Network, cell: int, old: Cell, link: int) -> list[str]:
    """The S edge of a skip that joins another link, which has operations, in one node."""
    topology = network.architecture.topology
    node = old.links[link].target
    other = next(i for i, each in enumerate(old.links) if each.target == node and each.op.startswith(("sep", "dil")))
    joined = topology.edges[topology.edge_index[_operations(network, cell, other)[-1]]].target
    found = [
        edge.name
        for edge, state in zip(topology.edges, network.architecture.states, strict=True)
        if edge.target == joined and state is State.S
    ]
    assert len(found) == 1, f"skips of cell {cell} into {joined}: {found}"
    return found


def main() -> None:
    """The full network of the DARTS paper, both exporters: the acceptance of the rewriting."""
    cells = stack(GENOTYPES["DARTS"], 20)
    emptied = in_normal_cells(cells, {(0, 4): "null"}, only=[4])
    exporters: tuple[Exporter, ...] = ("script", "dynamo")
    for exporter in exporters:
        for name, before, after in (
            ("NAT-DARTS in every normal cell", cells, in_normal_cells(cells, NAT_DARTS)),
            ("one O→N empties a concat member", emptied, in_normal_cells(emptied, {(1, 4): "null"}, only=[4])),
        ):
            print(name, exporter, compare(before, after, channels=36, size=32, exporter=exporter, opset=18), flush=True)


if __name__ == "__main__":
    main()
