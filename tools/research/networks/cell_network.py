"""Networks of cells as DARTS and NAT build them, for CIFAR and ImageNet.

Written from the op and layout definitions in the papers. One thing differs from the released code unless it is asked
for: a null edge is not there at all, so a node without edges leaves its cell's concat and whoever reads the cell reads
less, and what leads to no output is not built.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tools.research.networks.catalog import Variant
from tools.research.networks.cell_ops import make_op, preprocess
from tools.research.networks.cells import Cell, read_cells, reductions

__all__ = ["CellModule", "CellNetwork", "auxiliary_head", "copy_weights"]


class CellModule(nn.Module):
    """A cell of some width.

    Args:
        cell: Its DAG.
        sources: Widths of the two outputs that it reads.
        channels: Width of a node.
        after_reduction: Whether the older of the two has twice the resolution of the newer.
        free_skips: See `make_op`.
        keep_dead: Build every link that is not null, and zeros for a node of the concat that nothing feeds.
    """

    def __init__(
        self,
        cell: Cell,
        sources: tuple[int, int],
        channels: int,
        *,
        after_reduction: bool,
        free_skips: bool = False,
        keep_dead: bool = False,
    ) -> None:
        super().__init__()
        self.cell, self.channels = cell, channels
        self.members = cell.concat if keep_dead else cell.members
        built = cell.present if keep_dead else cell.active
        self.order = sorted(built, key=lambda i: cell.links[i].target)
        self.links = nn.ModuleDict()
        for i in built:
            op, source, _ = cell.links[i]
            self.links[str(i)] = make_op(op, channels, 2 if cell.reduction and source < 2 else 1, free_skips=free_skips)
        self.inputs = nn.ModuleDict()
        for node, width in enumerate(sources):
            if keep_dead or node in cell.reads:
                self.inputs[str(node)] = preprocess(width, channels, halve=after_reduction and node == 0)

    def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
        """Maps the outputs of the two cells before to this one's: ``[n, members·channels, H, W]``."""
        values = {int(node): prepare((before_last, last)[int(node)]) for node, prepare in self.inputs.items()}
        first = self.cell.links[self.order[0]].target

        def read(node: int) -> Tensor:
            return values[node] if node in values else torch.zeros_like(values[first])

        for i in self.order:
            _, source, target = self.cell.links[i]
            value = self.links[str(i)](read(source))
            values[target] = values[target] + value if target in values else value
        return torch.cat([read(node) for node in self.members], 1)


class CellNetwork(nn.Module):
    """Stem, cells, mean over the image, linear layer; without auxiliary head and drop path.

    Args:
        cells: The cells in order; see `stack`.
        channels: Width of a node in the first cells; every reduction doubles it.
        classes: Number of scores.
        variant: "cifar" keeps the image's resolution in the stem, "imagenet" divides it by eight.
        free_skips: See `make_op`.
        keep_dead: See `CellModule`; as the released code does.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        channels: int,
        classes: int = 10,
        *,
        variant: Variant = "cifar",
        free_skips: bool = False,
        keep_dead: bool = False,
    ) -> None:
        super().__init__()
        after_reduction = variant == "imagenet"
        self.stem, *later = _stem(channels, variant)
        self.second_stem = later[0] if later else None
        outputs = [3 * channels] * 2 if variant == "cifar" else [channels] * 2
        built = range(len(cells)) if keep_dead else read_cells(cells)
        self.depth = len(cells)
        self.cells = nn.ModuleDict()
        for k, cell in enumerate(cells):
            channels *= 2 if cell.reduction else 1
            module = CellModule(
                cell,
                (outputs[-2], outputs[-1]),
                channels,
                after_reduction=after_reduction,
                free_skips=free_skips,
                keep_dead=keep_dead,
            )
            if k in built:
                self.cells[str(k)] = module
            outputs.append(channels * len(module.members))
            after_reduction = cell.reduction
        self.outputs = outputs[2:]
        self.classifier = nn.Linear(outputs[-1], classes)

    def forward(self, image: Tensor) -> Tensor:
        """Maps images ``[n, 3, H, W]`` to scores ``[n, classes]``."""
        before_last = last = self.stem(image)
        if self.second_stem is not None:
            last = self.second_stem(last)
        for k in map(str, range(self.depth)):
            before_last, last = last, self.cells[k](before_last, last) if k in self.cells else last
        scores: Tensor = self.classifier(last.mean((2, 3)))
        return scores


def _stem(channels: int, variant: Variant) -> list[nn.Sequential]:
    if variant == "cifar":
        return [nn.Sequential(nn.Conv2d(3, 3 * channels, 3, padding=1, bias=False), nn.BatchNorm2d(3 * channels))]
    half = channels // 2
    first = (nn.Conv2d(3, half, 3, 2, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())
    second = (nn.Conv2d(half, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels))
    third = (nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels))
    return [nn.Sequential(*first, *second), nn.Sequential(*third)]


def auxiliary_head(network: CellNetwork, variant: Variant, classes: int) -> tuple[nn.Module, Tensor]:
    """The head that reads the second reduction in training, and nobody later, with an input for it."""
    width = network.outputs[reductions(network.depth)[1]]
    stride, size = (3, 8) if variant == "cifar" else (2, 7)
    head = nn.Sequential(
        nn.ReLU(),
        nn.AvgPool2d(5, stride, count_include_pad=False),
        nn.Conv2d(width, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, 768, 2, bias=False),
        *([nn.BatchNorm2d(768)] if variant == "cifar" else []),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(768, classes),
    )
    return head, torch.zeros(1, width, size, size)


def copy_weights(source: CellNetwork, target: CellNetwork) -> None:
    """Give a network the weights of another from which it differs by edges turned into skips or null.

    Where a member has left a concat, the readers' input channels that belonged to it are left out.
    """
    state = source.state_dict()
    kept = {int(k): _kept(_cell(source.cells[k]), _cell(module)) for k, module in target.cells.items()}
    copied = {}
    for name, value in target.state_dict().items():
        reads = None
        parts = name.split(".")
        if parts[0] == "classifier" and parts[1] == "weight":
            reads = target.depth - 1
        elif parts[2:3] == ["inputs"] and state[name].dim() == 4:
            reads = int(parts[1]) - 2 + int(parts[3])
        copied[name] = state[name] if reads is None or reads < 0 else state[name][:, kept[reads]]
        assert copied[name].shape == value.shape, name
    target.load_state_dict(copied)


def _cell(module: nn.Module) -> CellModule:
    assert isinstance(module, CellModule)
    return module


def _kept(old: CellModule, new: CellModule) -> list[int]:
    """Channels of the old cell's output that the new one still has."""
    slots = [old.members.index(node) for node in new.members]
    return [slot * old.channels + channel for slot in slots for channel in range(old.channels)]
