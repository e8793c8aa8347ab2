"""The operations of the papers' cells in torch; all convolutions but the stems' are without bias."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["FactorizedReduce", "make_op", "preprocess"]


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


def preprocess(source: int, target: int, *, halve: bool) -> nn.Module:
    """What brings the output of an earlier cell to a cell's width, and to its resolution."""
    if halve:
        return FactorizedReduce(source, target)
    return nn.Sequential(nn.ReLU(), nn.Conv2d(source, target, 1, bias=False), nn.BatchNorm2d(target))


def make_op(op: str, channels: int, stride: int, *, free_skips: bool = False) -> nn.Module:
    """The module of an op that is not "null".

    Args:
        op: Its name in the papers.
        channels: Of its input and of its output.
        stride: 1 or 2.
        free_skips: Whether a skip at stride 2 is natonnx's, average pooling, in place of the papers' FactorizedReduce.
    """
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
            if stride == 1:
                return nn.Identity()
            return nn.AvgPool2d(stride) if free_skips else FactorizedReduce(channels, channels)
    raise ValueError(f"unknown op {op!r}")
