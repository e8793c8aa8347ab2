"""What natonnx sees in exports of the paper's networks."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import onnx
import torch

from natonnx.frontend import load
from tools.research.cells import Link
from tools.research.networks.building import Options, build, example, find
from tools.research.networks.catalog import CATALOG, Architecture, Variant
from tools.research.networks.cells import stack
from tools.research.networks.genotypes import Genotype
from tools.research.networks.inspection import (
    Edges,
    cell_nulls,
    expected_in_cells,
    expected_in_plan,
    found_edges,
    plain_nulls,
    reading_of,
)
from tools.research.networks.plain import Plan
from tools.upkeep.export import export
from tools.upkeep.randomise import randomise

__all__ = ["Inspection", "inspect_export", "inspections"]

_WIDE = Options()


class Inspection(NamedTuple):
    """What natonnx finds in an export.

    Attributes:
        found: Its O and S edges.
        expected: Those that genotype and layout have.
        nulls: For every null link of the genotype that could be a shortcut, whether it is an N edge.
        candidates: Number of its N edges.
    """

    found: Edges
    expected: Edges
    nulls: tuple[bool, ...]
    candidates: int


def inspect_export(architecture: Architecture, variant: Variant, options: Options = _WIDE) -> Inspection:
    """Export a network, read the file as `natonnx inspect` does, and count."""
    genotype = architecture.genotype
    assert genotype is not None
    is_stack = variant in architecture.stacks
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model, image = build(architecture, variant, options), example(architecture, variant, 2)
        randomise(model, (image,))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(export(model, (image,), "script", 17, keep_equal=True), path)
        network = load(path, reading_of(is_stack=is_stack)).network
        found = found_edges(network)
        if is_stack:
            cells = stack(genotype, options.cells or architecture.stacks[variant].cells)
            expected = expected_in_cells(cells, variant, free_skips=options.free_skips)
            nulls = tuple(cell_nulls(network, cells, variant))
        else:
            plan = architecture.plans[variant](genotype)
            expected = expected_in_plan(plan)
            nulls = tuple(plain_nulls(network, plan, _filled(architecture.plans[variant], genotype)))
    return Inspection(found, expected, nulls, len(network.architecture.states) - sum(found))


def _filled(make: Callable[[Genotype], Plan], genotype: Genotype) -> Plan:
    """The plan with every shortcut that a null link could be; one that would need a map of its own could not."""
    maps = len(make(genotype).maps)
    for kept in ((), ((0, 2),)):
        normal, reduce = (_without_nulls(part, kept) for part in (genotype.normal, genotype.reduce))
        plan = make(genotype._replace(normal=normal, reduce=reduce))
        if len(plan.maps) == maps:
            break
    return plan


def _without_nulls(links: Sequence[Link], kept: Sequence[tuple[int, int]]) -> tuple[Link, ...]:
    filled = (link.op == "null" and (link.source, link.target) not in kept for link in links)
    return tuple(link._replace(op="skip_connect") if fill else link for link, fill in zip(links, filled, strict=True))


def inspections(names: Sequence[str], *, narrow: bool) -> Iterator[str]:
    """A table in Markdown, of some architectures or all that can be built."""
    chosen = [find(name)[0] for name in names] or [entry for entry in CATALOG.values() if not entry.reason]
    yield "| network | data | operations | skips | the genotype's nulls that are edges | other possible shortcuts |"
    yield "|---|---|---|---|---|---|"
    for architecture in chosen:
        for variant in architecture.variants:
            options = Options(channels=8) if narrow and variant in architecture.stacks else _WIDE
            found, expected, nulls, candidates = inspect_export(architecture, variant, options)
            counts = (_against(*pair) for pair in zip(found, expected, strict=True))
            shown = f"{sum(nulls)} of {len(nulls)}" if nulls else "none"
            yield f"| {architecture.name} | {variant} | {' | '.join(counts)} | {shown} | {candidates - sum(nulls)} |"


def _against(found: int, expected: int) -> str:
    return str(found) if found == expected else f"{found}, not {expected}"
