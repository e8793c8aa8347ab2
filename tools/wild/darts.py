"""Networks of cells as DARTS and NAT build them, for CIFAR, without auxiliary head and drop path.

Written from the op and layout definitions in the papers. One thing differs from the released code on purpose: a null
edge is not there at all, so a node without edges leaves its cell's concat and whoever reads the cell reads less.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from natonnx.architecture import Link
from tools.genotypes import Genotype

__all__ = ["Cell", "Count", "Network", "copy_weights", "count", "edit", "make_op", "stack"]


@dataclass(frozen=True)
class Cell:
    """A cell as a DAG.

    Attributes:
        links: Its edges; an edge of op "null" carries nothing.
        concat: Nodes whose values are concatenated to its output.
        reduction: Whether it halves the resolution: links from the inputs have stride 2 then.
    """

    links: tuple[Link, ...]
    concat: tuple[int, ...]
    reduction: bool = False

    @cached_property
    def active(self) -> tuple[int, ...]:
        """Positions of the links that carry a value from an input to the output."""
        live, needed = {0, 1}, set(self.concat)
        for link in sorted(self.links, key=lambda link: link.target):
            if link.op != "null" and link.source in live:
                live.add(link.target)
        for link in sorted(self.links, key=lambda link: -link.target):
            if link.op != "null" and link.target in needed and link.source in live:
                needed.add(link.source)
        return tuple(
            i
            for i, (op, source, target) in enumerate(self.links)
            if op != "null" and source in live and target in needed
        )

    @cached_property
    def members(self) -> tuple[int, ...]:
        """Nodes of the concat that have a value."""
        fed = {self.links[i].target for i in self.active}
        return tuple(node for node in self.concat if node in fed)


def stack(genotype: Genotype, count: int) -> tuple[Cell, ...]:
    """The cells of a network: reductions after one third and two thirds of them."""
    normal = Cell(genotype.normal, genotype.normal_concat)
    reduce = Cell(genotype.reduce, genotype.reduce_concat, reduction=True)
    return tuple(reduce if k in (count // 3, 2 * count // 3) else normal for k in range(count))


def edit(cell: Cell, changes: Mapping[tuple[int, int], str]) -> Cell:
    """A cell with other ops on some links, named by their nodes."""
    links = (link._replace(op=changes.get((link.source, link.target), link.op)) for link in cell.links)
    return replace(cell, links=tuple(links))


class Separable(nn.Sequential):
    """ReLU, depthwise and pointwise convolution, BN."""

    def __init__(self, channels: int, kernel: int, stride: int, dilation: int = 1) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )


class Dense(nn.Sequential):
    """ReLU, convolutions of all channels in series, BN."""

    def __init__(self, channels: int, kernels: Sequence[tuple[int, int]], strides: Sequence[tuple[int, int]]) -> None:
        convolutions = (
            nn.Conv2d(channels, channels, kernel, stride, (kernel[0] // 2, kernel[1] // 2), bias=False)
            for kernel, stride in zip(kernels, strides, strict=True)
        )
        super().__init__(nn.ReLU(), *convolutions, nn.BatchNorm2d(channels))


class FactorizedReduce(nn.Module):
    """Halve the resolution by two strided 1×1 convolutions, one of them on the map shifted by a pixel."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(source, target // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(source, target - target // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(target)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[n, source, H, W]``, both sizes even, to ``[n, target, H/2, W/2]``."""
        x = torch.relu(x)
        y: Tensor = self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1))
        return y


def make_op(op: str, channels: int, stride: int) -> nn.Module:
    """The module of an op that is not "null"."""
    kernel = int(op[-1]) if op[-1].isdigit() else 0
    match op.rpartition("_")[0]:
        case "conv":
            return Dense(channels, [(kernel, kernel)], [(stride, stride)])
        case "conv_1x3":
            return Dense(channels, [(1, 3), (3, 1)], [(1, stride), (stride, 1)])
        case "conv_1x7" | "conv_7x1":
            return Dense(channels, [(1, 7), (7, 1)], [(1, stride), (stride, 1)])
        case "sep_conv":
            return nn.Sequential(Separable(channels, kernel, stride), Separable(channels, kernel, 1))
        case "dil_conv":
            return Separable(channels, kernel, stride, dilation=2)
        case "max_pool":
            return nn.MaxPool2d(kernel, stride, (kernel - 1) // 2)
        case "avg_pool":
            return nn.AvgPool2d(kernel, stride, (kernel - 1) // 2, count_include_pad=False)
        case "skip":
            return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    raise ValueError(f"unknown op {op!r}")


class CellModule(nn.Module):
    """A cell of some width; what carries nothing is not built."""

    def __init__(self, cell: Cell, sources: tuple[int, int], channels: int, *, after_reduction: bool) -> None:
        super().__init__()
        self.cell = cell
        self.links = nn.ModuleDict()
        for i in cell.active:
            op, source, _ = cell.links[i]
            self.links[str(i)] = make_op(op, channels, 2 if cell.reduction and source < 2 else 1)
        self.inputs = nn.ModuleDict()
        for node, width in enumerate(sources):
            if any(cell.links[i].source == node for i in cell.active):
                plain = nn.Sequential(nn.ReLU(), nn.Conv2d(width, channels, 1, bias=False), nn.BatchNorm2d(channels))
                halved = after_reduction and node == 0
                self.inputs[str(node)] = FactorizedReduce(width, channels) if halved else plain

    def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
        """Maps the outputs of the two cells before to this one's: ``[n, members·channels, H, W]``."""
        values = {int(node): prepare((before_last, last)[int(node)]) for node, prepare in self.inputs.items()}
        for i in sorted(self.cell.active, key=lambda i: self.cell.links[i].target):
            _, source, target = self.cell.links[i]
            value = self.links[str(i)](values[source])
            values[target] = values[target] + value if target in values else value
        return torch.cat([values[node] for node in self.cell.members], 1)


class Network(nn.Module):
    """Stem, cells, mean over the image, linear layer.

    Args:
        cells: The cells in order; see `stack`.
        channels: Width of a node in the first cells; every reduction doubles it.
        classes: Number of scores.
    """

    def __init__(self, cells: Sequence[Cell], channels: int, classes: int = 10) -> None:
        super().__init__()
        widths = [3 * channels] * 2
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]))
        self.cells = nn.ModuleList()
        self.widths = [channels := channels * 2 if cell.reduction else channels for cell in cells]
        after_reduction = False
        for cell, width in zip(cells, self.widths, strict=True):
            module = CellModule(cell, (widths[-2], widths[-1]), width, after_reduction=after_reduction)
            self.cells.append(module)
            widths.append(width * len(cell.members))
            after_reduction = cell.reduction
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, image: Tensor) -> Tensor:
        """Maps images ``[n, 3, H, W]`` to scores ``[n, classes]``."""
        before_last = last = self.stem(image)
        for cell in self.cells:
            before_last, last = last, cell(before_last, last)
        scores: Tensor = self.classifier(last.mean((2, 3)))
        return scores


def copy_weights(source: Network, target: Network) -> None:
    """Give a network the weights of another from which it differs by edges turned into skips or null.

    Where a member has left a concat, the readers' input channels that belonged to it are left out.
    """
    state = source.state_dict()
    kept = [_kept(old.cell, new.cell, width) for old, new, width in _pairs(source, target)]
    copied = {}
    for name, value in target.state_dict().items():
        reads = None
        parts = name.split(".")
        if parts[0] == "classifier" and parts[1] == "weight":
            reads = len(kept) - 1
        elif parts[2:3] == ["inputs"] and state[name].dim() == 4:
            reads = int(parts[1]) - 2 + int(parts[3])
        copied[name] = state[name] if reads is None or reads < 0 else state[name][:, kept[reads]]
        assert copied[name].shape == value.shape, name
    target.load_state_dict(copied)


def _pairs(source: Network, target: Network) -> list[tuple[CellModule, CellModule, int]]:
    pairs = []
    for old, new, width in zip(source.cells, target.cells, source.widths, strict=True):
        assert isinstance(old, CellModule)
        assert isinstance(new, CellModule)
        pairs.append((old, new, width))
    return pairs


def _kept(old: Cell, new: Cell, width: int) -> list[int]:
    """Channels of the old cell's output that the new one still has."""
    slots = [old.members.index(node) for node in new.members]
    return [slot * width + channel for slot in slots for channel in range(width)]


class Count(NamedTuple):
    """Trainable scalars, and multiply-adds of convolutions and linear layers per sample."""

    params: int
    madds: int


def count(model: nn.Module, inputs: Sequence[Tensor], *, folded: bool) -> Count:
    """Count a model by running it: every convolution and linear layer by the size of its output.

    Args:
        model: Any model of convolutions, BN and linear layers.
        inputs: A batch.
        folded: Whether to count a BN behind a convolution as the bias that an exporter makes of it.
    """
    madds = 0

    def add(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal madds
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        madds += output[0].numel() * module.weight[0].numel()

    hooks = [
        module.register_forward_hook(add) for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    with torch.no_grad():
        model.eval()(*inputs)
    for hook in hooks:
        hook.remove()
    params = sum(parameter.numel() for parameter in model.parameters())
    if folded:
        for module in model.modules():
            children = list(module.children()) if isinstance(module, nn.Sequential) else []
            for conv, norm in itertools.pairwise(children):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    params -= norm.weight.numel()
    return Count(params, madds)
