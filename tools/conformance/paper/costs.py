"""What the paper's networks cost: ours against its tables."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch

from tools.conformance.paper.count import Count, count_both
from tools.conformance.paper.published import REASONS, ROWS, Row
from tools.research.networks.building import Options, build
from tools.research.networks.catalog import CATALOG, CLASSES, SIZES, Architecture, Variant
from tools.research.networks.cell_network import CellNetwork, auxiliary_head
from tools.research.networks.cells import edit, stack

__all__ = ["Costs", "Verdict", "costs", "costs_of", "markdown", "verdict"]

_HEADER = "params, M | + head, M | MAdds, M | authors' counter, M | + head, M"


class Costs(NamedTuple):
    """Of a network; the auxiliary head, which only training has, is counted apart and is 0 where there is none.

    Attributes:
        params: Trainable scalars.
        madds: Multiply-adds of convolutions and linear layers by the size of what they write.
        authors: The same by the authors' counter.
        head_params: Trainable scalars of the auxiliary head.
        head_authors: Its multiply-adds by the authors' counter.
    """

    params: int
    madds: int
    authors: float
    head_params: int = 0
    head_authors: float = 0.0


class Verdict(NamedTuple):
    """How a printed pair of figures comes about; "" for a figure that none of ours is."""

    params: str
    madds: str


def costs(architecture: Architecture, variant: Variant) -> Costs:
    """Count an architecture as the authors' code builds it: with dead operations and zero maps."""
    with torch.device("meta"):
        return costs_of(build(architecture, variant, Options(keep_dead=True)), variant)


def costs_of(model: torch.nn.Module, variant: Variant) -> Costs:
    """Count a network on the device meta."""
    found, authors = _counted(model, torch.zeros(1, 3, SIZES[variant], SIZES[variant], device="meta"))
    if not isinstance(model, CellNetwork):
        return Costs(*found, authors)
    with torch.device("meta"):
        head, features = auxiliary_head(model, variant, CLASSES[variant])
    extra, head_authors = _counted(head, features)
    return Costs(*found, authors, extra.params, head_authors)


def _counted(model: torch.nn.Module, images: torch.Tensor) -> tuple[Count, float]:
    return count_both(model, (images,), folded=False)


def verdict(row: Row, found: Costs) -> Verdict:
    """Which of our figures a row's are, to the last digit that it prints."""
    with_head = "with the auxiliary head"
    params: dict[str, float] = {"without head" if found.head_params else "our count": found.params}
    madds: dict[str, float] = {"our count": found.madds, "authors' counter": found.authors}
    if found.head_params:
        params[with_head] = found.params + found.head_params
        madds[f"authors' counter {with_head}"] = found.authors + found.head_authors
    return Verdict(_source(row.params, params), _source(row.madds, madds))


def _source(printed: str, figures: Mapping[str, float]) -> str:
    if printed == "-":
        return "not printed"
    digits = len(printed.partition(".")[2])
    for name, value in figures.items():
        millions = value / 1e6
        if f"{millions:.{digits}f}" == printed:
            return f"{name}, rounded"
        if f"{math.floor(millions * 10**digits) / 10**digits:.{digits}f}" == printed:
            return f"{name}, truncated"
    return ""


def markdown() -> Iterator[str]:
    """Both tables, and what else was released, as lines of Markdown."""
    for variant, title in (("cifar", "CIFAR-10, images of 32×32"), ("imagenet", "ImageNet, images of 224×224")):
        yield f"## {title}\n"
        yield from _table(row for row in ROWS if row.variant == variant)
        yield ""
        if variant == "cifar":
            yield _nat_darts() + "\n"
    yield "## Released, but in neither table\n"
    yield f"| network | data | {_HEADER} |\n|---|---|---|---|---|---|---|"
    listed = {(row.variant, row.name) for row in ROWS}
    for architecture in CATALOG.values():
        for variant in architecture.variants:
            if (variant, architecture.name) not in listed:
                yield f"| {architecture.name} | {variant} | {_figures(costs(architecture, variant))} |"


def _table(rows: Iterable[Row]) -> Iterator[str]:
    yield (
        f"| network | paper: params, MAdds | {_HEADER} | the paper's params are | its MAdds are | remark |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )
    for row in rows:
        architecture = CATALOG[row.name]
        printed = f"{row.params}, {row.madds}"
        if architecture.reason:
            yield f"| {row.name} | {printed} | | | | | | | | not built: {architecture.reason} |"
            continue
        found = costs(architecture, row.variant)
        params, madds = verdict(row, found)
        remark = REASONS.get((row.variant, row.name), "")
        assert remark or (params and madds), row
        shown = (params or "not reproduced", madds or "not reproduced")
        yield f"| {row.name} | {printed} | {_figures(found)} | {' | '.join(shown)} | {remark} |"


def _figures(found: Costs) -> str:
    head = found.head_params
    cells = (
        f"{found.params / 1e6:.3f}",
        f"{(found.params + head) / 1e6:.3f}" if head else "",
        f"{found.madds / 1e6:.1f}",
        f"{found.authors / 1e6:.1f}",
        f"{(found.authors + found.head_authors) / 1e6:.1f}" if head else "",
    )
    return " | ".join(cells)


def _nat_darts() -> str:
    """Whose figures the row NAT-DARTS has, instead of the released genotype's."""
    darts = CATALOG["DARTS"]
    assert darts.genotype is not None
    size = darts.stacks["cifar"]
    cells = [
        edit(cell, {(1, 2): "skip_connect"} if cell.reduction else {(0, 3): "skip_connect"})
        for cell in stack(darts.genotype, size.cells)
    ]
    with torch.device("meta"):
        found = costs_of(CellNetwork(cells, size.channels), "cifar")
    row = next(row for row in ROWS if (row.variant, row.name) == ("cifar", "NAT-DARTS"))
    params, madds = verdict(row, found)
    return (
        f"NAT-DARTS as printed, {row.params} and {row.madds}, is DARTS with one separable convolution of the normal "
        f"cell and one pooling of the reduction turned into skips: {found.params / 1e6:.3f} million parameters "
        f"({params}) and {found.authors / 1e6:.1f} million MAdds ({madds}). The released genotype turns more of them."
    )
