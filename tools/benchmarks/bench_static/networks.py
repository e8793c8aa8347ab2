"""The networks that are measured, in their published sizes with random weights, as ONNX files.

`python -m tools.benchmarks.bench_static.networks NAME FILE` makes one: in a process of its own, as it loads torch.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from tools.benchmarks.bench_scaling import generated
from tools.benchmarks.bench_search.modules import DenseLayer
from tools.benchmarks.subjects.transformers import Block
from tools.upkeep.export import export, save
from tools.upkeep.randomise import randomise
from tools.upkeep.train_models import ConvBN, InvertedResidual

__all__ = ["NETWORKS", "make"]

_CLASSES = 1000
_STEM = 64


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions and a shortcut, added before the last ReLU."""

    def __init__(self, source: int, inner: int, stride: int) -> None:
        super().__init__()
        target = 4 * inner
        self.body = nn.Sequential(
            *(ConvBN(source, inner, kernel=1), nn.ReLU()),
            *(ConvBN(inner, inner, stride=stride), nn.ReLU()),
            ConvBN(inner, target, kernel=1),
        )
        same = source == target and stride == 1
        self.shortcut = nn.Identity() if same else ConvBN(source, target, kernel=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, source, H, W]`` to ``[n, 4 inner, H/stride, W/stride]``."""
        return torch.relu(self.body(x) + self.shortcut(x))


class ViT(nn.Module):
    """Vision transformer over patches of 16×16, with a class token."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, 197, width))
        self.blocks = nn.ModuleList(Block(width, heads, before=True) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, _CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Map images ``[n, 3, 224, 224]`` to scores ``[n, 1000]``."""
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        for block in self.blocks:
            x = block(x)
        scores: Tensor = self.head(self.norm(x)[:, 0])
        return scores


def resnet50() -> nn.Sequential:
    """ResNet-50 (arXiv:1512.03385, table 1)."""
    layers: list[nn.Module] = [ConvBN(3, _STEM, kernel=7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    source = _STEM
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner = _STEM << stage
        for block in range(blocks):
            layers.append(Bottleneck(source, inner, 2 if stage and not block else 1))
            source = 4 * inner
    return nn.Sequential(*layers, *_head(source))


def mobilenetv2() -> nn.Sequential:
    """MobileNetV2 (arXiv:1801.04381, table 2)."""
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    layers: list[nn.Module] = [ConvBN(3, 32, stride=2), nn.ReLU6()]
    source = 32
    for expand, target, blocks, stride in stages:
        for block in range(blocks):
            layers.append(InvertedResidual(source, target, 1 if block else stride, expand))
            source = target
    return nn.Sequential(*layers, ConvBN(source, 1280, kernel=1), nn.ReLU6(), *_head(1280))


def densenet121() -> nn.Sequential:
    """DenseNet-121 (arXiv:1608.06993, table 1)."""
    layers: list[nn.Module] = [ConvBN(3, _STEM, kernel=7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    width = _STEM
    for stage, count in enumerate((6, 12, 24, 16)):
        if stage:
            layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
            width //= 2
        for _ in range(count):
            layers.append(DenseLayer(width, 32, 128))
            width += 32
    return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(), *_head(width))


def vit_tiny() -> ViT:
    """ViT-Tiny of patches of 16×16 (arXiv:2012.12877, table 1)."""
    return ViT(192, 12, 3)


def _head(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, _CLASSES)]


def _exported(build: Callable[[], nn.Module]) -> Callable[[], onnx.ModelProto]:
    def made() -> onnx.ModelProto:
        torch.manual_seed(0)
        model, images = build(), (torch.randn(2, 3, 224, 224),)
        randomise(model, images)  # or the exporter would make one tensor of all biases, which are zero
        return export(model, images, "script", 17)

    return made


NETWORKS: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "resnet50": _exported(resnet50),
    "mobilenetv2": _exported(mobilenetv2),
    "densenet121": _exported(densenet121),
    "vit-tiny": _exported(vit_tiny),
    "generated-7000": lambda: generated(7000),
}


def make(name: str, path: Path) -> None:
    """Write one of `NETWORKS`."""
    save(NETWORKS[name](), path)


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
