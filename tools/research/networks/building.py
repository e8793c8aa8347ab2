"""Torch models of the catalog's architectures."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from natonnx.errors import InputError
from tools.research.networks.catalog import CATALOG, CLASSES, SIZES, Architecture, Variant
from tools.research.networks.cell_network import CellNetwork
from tools.research.networks.cells import stack
from tools.research.networks.plain_network import PlainNetwork

__all__ = ["Options", "build", "example", "find"]


class Options(NamedTuple):
    """How to build a network of cells; of the others all but `keep_dead`, which changes nothing there, are refused.

    Attributes:
        channels: Width, in place of the paper's.
        cells: Depth, likewise.
        free_skips: See `tools.research.networks.cell_ops.make_op`.
        keep_dead: See `tools.research.networks.cell_network.CellModule`.
    """

    channels: int | None = None
    cells: int | None = None
    free_skips: bool = False
    keep_dead: bool = False


def find(name: str, variant: Variant | None = None) -> tuple[Architecture, Variant]:
    """Look up an architecture; case does not matter.

    Args:
        name: Its name.
        variant: What it shall be built for; its first variant where None.

    Raises:
        InputError: If it is unknown, cannot be built, or not for that.
    """
    found = {known.lower(): architecture for known, architecture in CATALOG.items()}.get(name.lower())
    if found is None:
        raise InputError(f"{name}: no architecture is called so; `python -m tools.research.networks list` shows all")
    if found.reason:
        raise InputError(f"{found.name}: it cannot be built: {found.reason}")
    chosen = variant or found.variants[0]
    if chosen not in found.variants:
        raise InputError(f"{found.name}: the paper has it for {' and '.join(found.variants)} only, not for {variant}")
    return found, chosen


def build(architecture: Architecture, variant: Variant, options: Options | None = None) -> nn.Module:
    """Build an architecture with fresh weights.

    Raises:
        InputError: If options are given for one that has none.
    """
    options = options or Options()
    assert architecture.genotype is not None, architecture.reason
    if variant in architecture.plans:
        if options.channels or options.cells or options.free_skips:
            raise InputError(f"{architecture.name}: only networks of cells have another width, depth or kind of skip")
        return PlainNetwork(architecture.plans[variant](architecture.genotype))
    size = architecture.stacks[variant]
    return CellNetwork(
        stack(architecture.genotype, options.cells or size.cells),
        options.channels or size.channels,
        CLASSES[variant],
        variant=variant,
        free_skips=options.free_skips,
        keep_dead=options.keep_dead,
    )


def example(architecture: Architecture, variant: Variant, batch: int = 1, size: int | None = None) -> Tensor:
    """Random images [batch, 3, size, size] for an architecture, of the variant's size where None.

    Raises:
        InputError: If the architecture is not made for that size.
    """
    size = size or SIZES[variant]
    step = 8 if variant == "imagenet" else 1
    if variant in architecture.plans and size != SIZES[variant]:
        raise InputError(f"{architecture.name}: it takes images of {SIZES[variant]} only")
    if size % (4 * step) or size == 4 * step:
        raise InputError(
            f"{architecture.name}: size {size} cannot be halved often enough; give a multiple of {4 * step} above it"
        )
    return torch.randn(batch, 3, size, size)
