"""The paper's networks, narrower and shallower, as ONNX files with random weights."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from natonnx.errors import InputError
from natonnx.frontend import Granularity, ParseOptions, Source, load
from tools.research.networks.building import Options, build, find
from tools.research.networks.catalog import Architecture
from tools.research.networks.genotypes import Genotype
from tools.research.networks.plain import Plan, resnet
from tools.research.networks.plain_network import PlainNetwork
from tools.upkeep.export import export, save
from tools.upkeep.randomise import randomise

__all__ = ["NETWORKS", "Scale", "channels_of", "genotype_of", "open_network"]

NETWORKS = ("VGG16", "ResNet-20", "MobileNetV2", "ENAS", "DARTS", "NAONet")
"""Those of the paper's tables that are compared, by their names in `tools.research.networks.catalog`."""
_FEWEST = 2
_OPSET = 17
_SHAPE = (2, 3, 32, 32)


class Scale(NamedTuple):
    """How much smaller than the paper's a network is.

    Attributes:
        width: Channels, as a fraction of the paper's.
        cells: Of a network of cells.
        blocks: Of each stage of ResNet; 3 make it the paper's ResNet-20.
    """

    width: float = 0.25
    cells: int = 5
    blocks: int = 3


def open_network(name: str, scale: Scale, folder: Path, genotype: Genotype | None = None) -> Source:
    """Read a network as its paper's edges: operations, or, of networks of cells, the links of a cell.

    Args:
        name: Which.
        scale: How small.
        folder: Where its file is, or is written.
        genotype: Of a network of cells, in place of its own.

    Raises:
        InputError: If there is no such network for CIFAR.
    """
    architecture, _ = find(name, "cifar")
    digest = f"-{hashlib.sha256(repr(genotype).encode()).hexdigest()[:12]}" if genotype else ""
    path = folder / f"{name}-{scale.width:g}-{scale.cells}-{scale.blocks}{digest}.onnx"
    if not path.exists():
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            model, image = (
                _module(replace(architecture, genotype=genotype or architecture.genotype), scale),
                torch.randn(_SHAPE),
            )
            randomise(model, (image,))
        save(export(model, (image,), "script", _OPSET, keep_norm=True, keep_equal=True), path)
    options = ParseOptions(granularity=Granularity.BRANCH) if architecture.stacks else ParseOptions(window=6)
    return load(path, options)


def genotype_of(name: str) -> Genotype:
    """The genotype of a network of cells.

    Raises:
        InputError: If it is another network.
    """
    architecture, _ = find(name, "cifar")
    if not architecture.stacks or architecture.genotype is None:
        raise InputError(f"{name}: NAO chooses operations of cells, and this network has none; leave it out")
    return architecture.genotype


def channels_of(name: str, scale: Scale) -> int:
    """The width of the nodes of the first cells of a network of cells."""
    return max(_FEWEST, round(scale.width * find(name, "cifar")[0].stacks["cifar"].channels))


def _module(architecture: Architecture, scale: Scale) -> nn.Module:
    if architecture.stacks:
        channels = channels_of(architecture.name, scale)
        return build(architecture, "cifar", Options(channels, scale.cells, free_skips=True))
    assert architecture.genotype is not None
    if architecture.family.startswith("ResNet"):
        plan = resnet((scale.blocks,) * 3, architecture.genotype)
    else:
        plan = architecture.plans["cifar"](architecture.genotype)
    return PlainNetwork(_narrow(plan, scale.width))


def _narrow(plan: Plan, width: float) -> Plan:
    """Take a fraction of the channels of all maps but the image's, and of hidden layers."""
    if not 0 < width <= 1:
        raise InputError(f"--width {width}: must be above 0 and at most 1, the paper's")
    image, *maps = plan.maps
    narrow = [replace(own, channels=max(_FEWEST, round(width * own.channels))) for own in maps]
    hidden = tuple(max(_FEWEST, round(width * each)) for each in plan.hidden)
    return replace(plan, maps=[image, *narrow], hidden=hidden)
