"""Classifiers of small colour pictures, each of about 3M multiply-adds: maps of 16 a side and smaller."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tools.benchmarks.subjects.transformers import Block
from tools.research.networks.cell_network import CellNetwork
from tools.research.networks.cells import stack
from tools.research.networks.genotypes import GENOTYPES
from tools.upkeep.train_models import BasicBlock, ConvBN, InvertedResidual

__all__ = ["darts", "densenet", "mobilenetv2", "resnet", "vgg", "vit"]

_CLASSES = 10


def _head(width: int, classes: int = _CLASSES) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]


def resnet(blocks: int, widths: tuple[int, ...]) -> nn.Sequential:
    """ResNet: a stem of stride 2, and so many basic blocks of each width."""
    layers: list[nn.Module] = [ConvBN(3, widths[0], stride=2), nn.ReLU()]
    source = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            layers.append(BasicBlock(source, width, 2 if stage and not block else 1))
            source = width
    return nn.Sequential(*layers, *_head(source))


def vgg(layers: int, widths: tuple[int, ...]) -> nn.Sequential:
    """VGG with batch normalisation: so many 3×3 convolutions of each width, the first of all of stride 2."""
    found: list[nn.Module] = []
    source = 3
    for stage, width in enumerate(widths):
        if stage:
            found.append(nn.MaxPool2d(2))
        for layer in range(layers):
            found += [ConvBN(source, width, stride=1 if stage or layer else 2), nn.ReLU()]
            source = width
    return nn.Sequential(*found, *_head(source))


def mobilenetv2(stages: tuple[tuple[int, int, int, int], ...], width: int) -> nn.Sequential:
    """MobileNetV2: of each stage the expansion, the channels, the blocks and the stride of the first one."""
    source = stages[0][1]
    layers: list[nn.Module] = [ConvBN(3, source, stride=2), nn.ReLU6()]
    for expand, target, count, first in stages:
        for block in range(count):
            layers.append(InvertedResidual(source, target, 1 if block else first, expand))
            source = target
    return nn.Sequential(*layers, ConvBN(source, width, kernel=1), nn.ReLU6(), *_head(width))


def darts(channels: int, cells: int) -> CellNetwork:
    """DARTS's second-order network, narrow and short, behind a stem of stride 2."""
    network = CellNetwork(stack(GENOTYPES["DARTS"], cells), channels, _CLASSES)
    network.stem = ConvBN(3, 3 * channels, stride=2)
    return network


class DenseLayer(nn.Module):
    """Normalise, 1×1, normalise, 3×3: `growth` more channels, concatenated to what it reads."""

    def __init__(self, source: int, growth: int, inner: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(source), nn.Conv2d(source, inner, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(inner), nn.Conv2d(inner, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, source, H, W]`` to ``[n, source + growth, H, W]``."""
        y = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
        return torch.cat([x, y], 1)


def densenet(layers: int, growth: int, stem: int) -> nn.Sequential:
    """DenseNet-BC: three stages of so many layers, transitions that halve channels and resolution between them."""
    found: list[nn.Module] = [nn.Conv2d(3, stem, 3, 2, 1, bias=False), nn.MaxPool2d(2)]
    width = stem
    for stage in range(3):
        if stage:
            found += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
            width //= 2
        for _ in range(layers):
            found.append(DenseLayer(width, growth, 4 * growth))
            width += growth
    return nn.Sequential(*found, nn.BatchNorm2d(width), nn.ReLU(), *_head(width))


class ViT(nn.Module):
    """Vision transformer over patches, with a class token."""

    def __init__(self, patch: int, width: int, depth: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, (32 // patch) ** 2 + 1, width))
        self.blocks = nn.ModuleList(Block(width, 4, before=True) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, _CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Map images ``[n, 3, 32, 32]`` to scores ``[n, 10]``."""
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        for block in self.blocks:
            x = block(x)
        scores: Tensor = self.head(self.norm(x)[:, 0])
        return scores


def vit(patch: int, width: int, depth: int) -> ViT:
    """Make a vision transformer for pictures of 32×32."""
    return ViT(patch, width, depth)


class ShuffleUnit(nn.Module):
    """A unit of ShuffleNetV2 (Ma et al. 2018, figure 3): half of the channels pass, or both branches halve the size."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self._stride, width = stride, after // 2
        given = before if stride == 2 else before // 2
        self.deep = nn.Sequential(
            *_normed(nn.Conv2d(given, width, 1, bias=False), nn.ReLU()),
            *_normed(nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False)),
            *_normed(nn.Conv2d(width, width, 1, bias=False), nn.ReLU()),
        )
        self.beside = nn.Sequential(
            *_normed(nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False)),
            *_normed(nn.Conv2d(before, width, 1, bias=False), nn.ReLU()),
        )
        if stride == 1:
            self.beside = nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        """Return the channels of both branches, shuffled."""
        passed, given = x.chunk(2, 1) if self._stride == 1 else (self.beside(x), x)
        together = torch.cat([passed, self.deep(given)], 1)
        count, channels, height, width = together.shape
        return together.view(count, 2, channels // 2, height, width).transpose(1, 2).reshape_as(together)


def _normed(convolution: nn.Conv2d, *then: nn.Module) -> tuple[nn.Module, ...]:
    return convolution, nn.BatchNorm2d(convolution.out_channels), *then


def shufflenet() -> nn.Module:
    """Make ShuffleNetV2 at half the width, for pictures of 64×64."""
    layers: list[nn.Module] = [*_normed(nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.ReLU())]
    before = 24
    for after, repeats in ((48, 4), (96, 8), (192, 4)):
        layers += [ShuffleUnit(before if i == 0 else after, after, 2 if i == 0 else 1) for i in range(repeats)]
        before = after
    layers += [*_normed(nn.Conv2d(192, 1024, 1, bias=False), nn.ReLU()), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(1024, 10))
