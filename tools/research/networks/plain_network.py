"""The networks that `tools.research.networks.plain` plans, in torch."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tools.research.networks.plain import Entry, Map, Plan

__all__ = ["PlainNetwork"]

_ACTIVATIONS = {"": nn.Identity, "relu": nn.ReLU, "relu6": nn.ReLU6}


class FreeSkip(nn.Module):
    """natonnx's parameter-free skip: average pooling by an integer ratio, zero channels appended."""

    def __init__(self, ratio: int, channels: int) -> None:
        super().__init__()
        self.ratio, self.channels = ratio, channels

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[n, C, H, W]`` to ``[n, C + channels, H/ratio, W/ratio]``."""
        if self.ratio > 1:
            x = F.avg_pool2d(x, self.ratio)
        return F.pad(x, (0, 0, 0, 0, 0, self.channels)) if self.channels else x


class Join(nn.Module):
    """A feature map: the sum of what enters it, and its activation."""

    def __init__(self, plan: Plan, own: Map) -> None:
        super().__init__()
        self.sources = {name: entry.source for name, entry in own.entries.items()}
        self.entries = nn.ModuleDict(
            {name: _module(entry, plan.maps[entry.source], own, norm=plan.norm) for name, entry in own.entries.items()}
        )
        self.activation = _ACTIVATIONS[own.activation]()

    def forward(self, values: list[Tensor]) -> Tensor:
        """The map's value, from those of the maps before it."""
        entering = [module(values[self.sources[name]]) for name, module in self.entries.items()]
        total = entering[0]
        for value in entering[1:]:
            total = total + value
        result: Tensor = self.activation(total)
        return result


class PlainNetwork(nn.Module):
    """Maps in order, and a head of linear layers."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.maps = nn.ModuleList([Join(plan, own) for own in plan.maps[1:]])
        last = plan.maps[-1]
        width = last.channels * (last.size**2 if plan.flatten else 1)
        layers: list[tuple[str, nn.Module]] = [] if plan.flatten else [("pool", nn.AdaptiveAvgPool2d(1))]
        layers.append(("flatten", nn.Flatten()))
        for i, hidden in enumerate(plan.hidden):
            layers += [(f"hidden{i}", nn.Linear(width, hidden)), (f"relu{i}", nn.ReLU())]
            width = hidden
        layers.append(("classifier", nn.Linear(width, plan.classes)))
        self.head = nn.Sequential(OrderedDict(layers))

    def forward(self, image: Tensor) -> Tensor:
        """Maps images ``[n, 3, size, size]`` to scores ``[n, classes]``."""
        values = [image]
        for join in self.maps:
            values.append(join(values))
        scores: Tensor = self.head(values[-1])
        return scores


def _module(entry: Entry, source: Map, target: Map, *, norm: bool) -> nn.Module:
    kind, _, kernels = entry.op.rpartition("_")
    kernel = int(kernels[-1]) if kernels[-1].isdigit() else 0
    read, written = source.channels, target.channels

    def conv(read: int, written: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        found = nn.Conv2d(read, written, kernel, stride, kernel // 2, groups=groups, bias=not norm)
        return [found, nn.BatchNorm2d(written)] if norm else [found]

    match kind:
        case "skip":
            return FreeSkip(source.size // target.size, written - read)
        case "conv":
            return nn.Sequential(*conv(read, written, kernel, entry.stride))
        case "depthwise":
            return nn.Sequential(*conv(read, written, kernel, entry.stride, groups=read))
        case "sep_conv":  # as in the papers' cells: twice; the map that is read has its activation already
            first = [nn.Conv2d(read, read, kernel, entry.stride, kernel // 2, groups=read, bias=False)]
            second = [nn.Conv2d(written, written, kernel, 1, kernel // 2, groups=written, bias=False)]
            return nn.Sequential(*first, *conv(read, written, 1), nn.ReLU(), *second, *conv(written, written, 1))
        case "max_pool":
            return nn.MaxPool2d(kernel, entry.stride, (kernel - 1) // 2)
    raise ValueError(f"unknown op {entry.op!r}")
