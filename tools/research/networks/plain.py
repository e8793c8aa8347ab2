"""VGG, ResNet and MobileNetV2 as DAGs of feature maps, with the shortcuts that a genotype adds.

The networks that NAT trained of these families were not published, their cells were. So this is our reading of them.
A cell is a basic block, an inverted residual, or two convolutions of VGG and the pooling after them; a stage of VGG
with three convolutions is a normal cell of two and a reduction of one. A node that only copies another is the same map
as that one: node 2 is the output of the cell before (but in MobileNetV2, where it is the expansion), and node 5 is
node 4, or their sum with the residual. A link from node 0, the output of the cell before last, enters its map before
the activation. It carries natonnx's parameter-free skip, and is left out where none fits, and in the first cell, which
has one input only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from natonnx.architecture import Skip, match_skip
from tools.research.networks.genotypes import Genotype

__all__ = ["Activation", "Entry", "Map", "Plan", "mobilenetv2", "resnet", "vgg16"]

Activation = Literal["", "relu", "relu6"]


class Entry(NamedTuple):
    """What carries one map into another.

    Attributes:
        op: "conv_3x3" and the like, "depthwise_3x3", "max_pool_2x2", or "skip_connect".
        source: Position of the map that is read; 0 is the image.
        stride: Of the convolution or the pooling.
    """

    op: str
    source: int
    stride: int = 1


@dataclass
class Map:
    """A feature map: the sum of what enters it, and then its activation.

    Attributes:
        channels: Its width.
        size: Its height and width.
        activation: What follows the sum.
        entries: What enters, by names that are the same in a network and in one transformed from it.
    """

    channels: int
    size: int
    activation: Activation
    entries: dict[str, Entry]


@dataclass
class Plan:
    """A network.

    Attributes:
        maps: In topological order, the image first.
        hidden: Widths of the linear layers between the last map and the scores.
        classes: Number of scores.
        flatten: Whether those read every pixel of the last map, or its mean.
        norm: Whether every convolution is without bias and has a BN.
    """

    maps: list[Map]
    hidden: tuple[int, ...] = ()
    classes: int = 10
    flatten: bool = False
    norm: bool = True

    def add(self, channels: int, activation: Activation, **entries: Entry) -> int:
        """Append a map; its size is what its first entry makes of its source's. Returns its position."""
        first = next(iter(entries.values()))
        self.maps.append(Map(channels, -(-self.maps[first.source].size // first.stride), activation, entries))
        return len(self.maps) - 1

    def conv(self, source: int, channels: int, activation: Activation, op: str = "conv_3x3", stride: int = 1) -> int:
        """Append a map that a convolution makes."""
        return self.add(channels, activation, main=Entry(op, source, stride))

    def shortcuts(self, links: Mapping[tuple[int, int], str], before: int | None, cell: int, *nodes: int) -> None:
        """Add the skips of a cell from the output of the cell before last, where they fit.

        Args:
            links: The cell's ops by their ends.
            before: That output; None in the first cell.
            cell: Position of the cell.
            nodes: The maps of the cell's nodes 2 to 5; a map that stands twice gets one skip at most.
        """
        for node, target in enumerate(nodes, start=2):
            if before is None or links.get((0, node)) != "skip_connect":
                continue
            fits = isinstance(match_skip(self._shape(before), self._shape(target)), Skip)
            if fits and Entry("skip_connect", before) not in self.maps[target].entries.values():
                self.maps[target].entries[f"cell{cell}_0_{node}"] = Entry("skip_connect", before)

    def _shape(self, i: int) -> tuple[int, ...]:
        return (1, self.maps[i].channels, self.maps[i].size, self.maps[i].size)


class _Cells(NamedTuple):
    """The ops of both cells by the ends of their links."""

    normal: dict[tuple[int, int], str]
    reduce: dict[tuple[int, int], str]


def _cells(genotype: Genotype) -> _Cells:
    normal, reduce = (
        {(link.source, link.target): link.op for link in links} for links in (genotype.normal, genotype.reduce)
    )
    return _Cells(normal, reduce)


def _image(size: int) -> list[Map]:
    return [Map(3, size, "", {})]


def vgg16(genotype: Genotype, *, size: int = 32) -> Plan:
    """VGG16: with BN and hidden layers of 512 for CIFAR, as published for ImageNet (`size` 224)."""
    cifar = size == 32
    plan = Plan(_image(size), (512, 512) if cifar else (4096, 4096), 10 if cifar else 1000, flatten=True, norm=cifar)
    cells = _cells(genotype)
    outputs = [0]
    for width, counts in ((64, (2,)), (128, (2,)), (256, (2, 1)), (512, (2, 1)), (512, (2, 1))):
        for part, convolutions in enumerate(counts):
            reduction = part == len(counts) - 1
            links = cells.reduce if reduction else cells.normal
            before, last, k = _before(outputs), outputs[-1], len(outputs) - 1
            third = plan.conv(last, width, "relu") if convolutions == 2 else last
            op = links[3, 4] if convolutions == 2 else links[2, 3]
            out = fourth = plan.conv(third, width, "relu", op)
            if reduction:
                pool = "max_pool_2x2" if links[4, 5].startswith("max_pool") else links[4, 5]
                out = plan.add(width, "", pool=Entry(pool, fourth, 2))
            plan.shortcuts(links, before, k, last, third if convolutions == 2 else fourth, fourth, out)
            outputs.append(out)
    return plan


def resnet(blocks: Sequence[int], genotype: Genotype, *, size: int = 32, bottleneck: bool = False) -> Plan:
    """ResNet, version 1.

    Args:
        blocks: Of each stage; three stages from width 16 for CIFAR, four from 64 for ImageNet.
        genotype: Of basic blocks; of one of bottlenecks only the links from node 0 are read.
        size: Of the image: 32 with shortcuts without parameters (option A), or 224 with projections (option B).
        bottleneck: 1×1, 3×3, 1×1, the stride in the first, in place of two 3×3.
    """
    cifar = size == 32
    width = 16 if cifar else 64
    plan = Plan(_image(size), classes=10 if cifar else 1000)
    stem = plan.conv(0, width, "relu", "conv_3x3" if cifar else "conv_7x7", 1 if cifar else 2)
    if not cifar:
        stem = plan.add(width, "", pool=Entry("max_pool_3x3", stem, 2))
    cells = _cells(genotype)
    outputs = [stem]
    for stage, count in enumerate(blocks):
        for block in range(count):
            inner, stride = width << stage, 2 if stage and not block else 1
            links = cells.reduce if stride == 2 else cells.normal
            before, last, k = _before(outputs), outputs[-1], len(outputs) - 1
            if before is not None and links.get((0, 2)) == "skip_connect":
                start = plan.add(plan.maps[last].channels, "", copy=Entry("skip_connect", last))
            else:
                start = last
            wide = 4 * inner if bottleneck else inner
            third = plan.conv(start, inner, "relu", "conv_1x1" if bottleneck else links[2, 3], stride)
            middle = plan.conv(third, inner, "relu") if bottleneck else third
            main = Entry("conv_1x1" if bottleneck else links[3, 4], middle)
            same = stride == 1 and plan.maps[start].channels == wide
            shortcut = Entry("skip_connect" if same or cifar else "conv_1x1", start, stride)
            out = plan.add(wide, "relu", main=main, shortcut=shortcut)
            plan.shortcuts(links, before, k, start, third, out, out)
            outputs.append(out)
    return plan


_MOBILE_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Of MobileNetV2: factor of expansion, channels, blocks, stride of the first."""


def mobilenetv2(genotype: Genotype, *, size: int = 224) -> Plan:
    """MobileNetV2: as published for ImageNet; for CIFAR (`size` 32) the variant of kuangliu/pytorch-cifar.

    That has stride 1 in the stem and in the second stage, keeps the expansion of factor 1, and projects the residual of
    a cell of stride 1 that changes the width.
    """
    cifar = size == 32
    plan = Plan(_image(size), classes=10 if cifar else 1000)
    cells = _cells(genotype)
    outputs = [plan.conv(0, 32, "relu6", stride=1 if cifar else 2)]
    for stage, (factor, width, count, first) in enumerate(_MOBILE_STAGES):
        for block in range(count):
            stride = 1 if block or (cifar and stage == 1) else first
            links = cells.reduce if stride == 2 else cells.normal
            before, last, k = _before(outputs), outputs[-1], len(outputs) - 1
            inner = factor * plan.maps[last].channels
            second = plan.add(inner, "relu6", main=Entry(links[1, 2], last)) if factor > 1 or cifar else last
            third = plan.conv(second, inner, "relu6", "depthwise_3x3", stride)
            entries = {"main": Entry(links[3, 4], third)}
            if stride == 1 and plan.maps[last].channels == width:
                entries["shortcut"] = Entry("skip_connect", last)
            elif stride == 1 and cifar:
                entries["shortcut"] = Entry("conv_1x1", last)
            out = plan.add(width, "", **entries)
            plan.shortcuts(links, before, k, second, third, out, out)
            outputs.append(out)
    plan.conv(outputs[-1], 1280, "relu6", "conv_1x1")
    return plan


def _before(outputs: Sequence[int]) -> int | None:
    """The output of the cell before last; none in the first cell, whose only input is the stem."""
    return outputs[-2] if len(outputs) > 1 else None
