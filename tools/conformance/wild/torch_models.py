"""Small but faithful torch models of the families that users export, with random weights in healthy ranges."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tools.upkeep.randomise import randomise

__all__ = ["MODELS", "Example", "torch_model"]

CLASSES = 10
VOCABULARY, TOKENS = 40, 8


class Example(NamedTuple):
    """A model in evaluation mode, and inputs of batch 2 for it."""

    model: nn.Module
    inputs: tuple[Tensor, ...]


def conv_norm(source: int, target: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, padded to keep the size, and batch normalisation."""
    conv = nn.Conv2d(source, target, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(target))


def classifier(width: int) -> nn.Sequential:
    """Mean over the image, and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


def vgg() -> nn.Module:
    """VGG with batch normalisation: stages of two convolutions, max pooling between, a hidden linear layer."""
    layers: list[nn.Module] = []
    source = 3
    for target in (16, 32, 32):
        for _ in range(2):
            layers += [*conv_norm(source, target), nn.ReLU(inplace=True)]
            source = target
        layers.append(nn.MaxPool2d(2))
    head = [nn.Flatten(), nn.Linear(source * 16, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, CLASSES)]
    return nn.Sequential(*layers, *head)


class Residual(nn.Module):
    """Convolutions and a shortcut, added before the last ReLU: a basic block, or a bottleneck (1×1, 3×3, 1×1)."""

    def __init__(self, source: int, target: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        inner = target // 4
        self.layers = nn.ModuleList(
            [conv_norm(source, inner, 1), conv_norm(inner, inner, 3, stride), conv_norm(inner, target, 1)]
            if bottleneck
            else [conv_norm(source, target, 3, stride), conv_norm(target, target)]
        )
        same = source == target and stride == 1
        self.shortcut = nn.Identity() if same else conv_norm(source, target, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[n, source, H, W]`` to ``[n, target, H/stride, W/stride]``."""
        y = x
        for i, layer in enumerate(self.layers):
            y = layer(F.relu(y) if i else y)
        return F.relu(y + self.shortcut(x))


def resnet(*, bottleneck: bool) -> nn.Module:
    """ResNet with a 7×7 stem, max pooling, and two stages of two blocks."""
    blocks: list[nn.Module] = []
    source = 16
    for stage, target in enumerate((32, 64)):
        for block in range(2):
            blocks.append(Residual(source, target, 2 if stage and not block else 1, bottleneck=bottleneck))
            source = target
    stem = [*conv_norm(3, 16, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, classifier(source))


class InvertedResidual(nn.Module):
    """Expand (1×1), filter each channel (3×3), project (1×1, linear); added to its input where the shapes agree."""

    def __init__(self, source: int, target: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = source * expand
        layers: list[nn.Module] = [conv_norm(source, inner, 1), nn.ReLU6()] if expand > 1 else []
        layers += [conv_norm(inner, inner, 3, stride, inner), nn.ReLU6(), conv_norm(inner, target, 1)]
        self.layers = nn.Sequential(*layers)
        self.residual = source == target and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[n, source, H, W]`` to ``[n, target, H/stride, W/stride]``."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


def mobilenetv2() -> nn.Module:
    """MobileNetV2, narrow and short."""
    blocks: list[nn.Module] = []
    source = 8
    for expand, target, count, first in ((1, 8, 1, 1), (4, 12, 2, 2), (4, 16, 2, 2), (4, 24, 2, 1)):
        for block in range(count):
            blocks.append(InvertedResidual(source, target, 1 if block else first, expand))
            source = target
    stem = [*conv_norm(3, 8, 3, 2), nn.ReLU6()]
    return nn.Sequential(*stem, *blocks, *conv_norm(source, 48, 1), nn.ReLU6(), classifier(48))


class Attention(nn.Module):
    """Multi-head self-attention, spelled out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Maps ``[n, T, width]`` to the same; the bias ``[n, 1, 1, T]`` is added to the scores."""
        _, length, width = x.shape
        query, key, value = (
            part(x).reshape(-1, length, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-2, -1) / math.sqrt(width // self.heads)
        weights = F.softmax(scores if bias is None else scores + bias, -1)
        mixed = (weights @ value).transpose(1, 2).reshape(-1, length, width)
        result: Tensor = self.output(mixed)
        return result


class Layer(nn.Module):
    """Encoder layer; normalised before each part (ViT) or after it (BERT)."""

    def __init__(self, width: int, heads: int, *, before: bool) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.before = before

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Maps ``[n, T, width]`` to the same."""
        first, second = self.norms
        y: Tensor
        if self.before:
            y = x + self.attention(first(x), bias)
            y = y + self.feed_forward(second(y))
        else:
            y = first(x + self.attention(x, bias))
            y = second(y + self.feed_forward(y))
        return y


class ViT(nn.Module):
    """Vision transformer over patches of 8×8, with a class token."""

    def __init__(self, width: int = 32, depth: int = 2) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, 17, width))
        self.layers = nn.ModuleList([Layer(width, 4, before=True) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Maps images ``[n, 3, 32, 32]`` to scores ``[n, 10]``."""
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        for layer in self.layers:
            x = layer(x)
        scores: Tensor = self.head(self.norm(x)[:, 0])
        return scores


class Bert(nn.Module):
    """BERT-like encoder of tokens under a mask, classified by its first token."""

    def __init__(self, width: int = 32, depth: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, width)
        self.position = nn.Embedding(TOKENS, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList([Layer(width, 4, before=False) for _ in range(depth)])
        self.pooler = nn.Linear(width, width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Maps tokens ``[n, 8]`` and a mask of ones and zeros to scores ``[n, 10]``."""
        bias = (1.0 - mask[:, None, None, :].float()) * -1e4
        x = self.norm(self.words(tokens) + self.position(torch.arange(TOKENS)))
        for layer in self.layers:
            x = layer(x, bias)
        scores: Tensor = self.head(torch.tanh(self.pooler(x[:, 0])))
        return scores


class Recurrent(nn.Module):
    """LSTM over a sequence, classified by its last step."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.project = nn.Linear(8, width)
        self.lstm = nn.LSTM(width, width, num_layers=2, batch_first=True)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Maps sequences ``[n, 6, 8]`` to scores ``[n, 10]``."""
        last = self.lstm(F.relu(self.project(x)))[0][:, -1]
        scores: Tensor = self.head(F.relu(self.hidden(last)))
        return scores


def _images(size: int = 32) -> tuple[Tensor, ...]:
    return (torch.randn(2, 3, size, size),)


def _tokens() -> tuple[Tensor, ...]:
    return torch.randint(VOCABULARY, (2, TOKENS)), torch.ones(2, TOKENS, dtype=torch.int64)


def _resnet_basic() -> nn.Module:
    return resnet(bottleneck=False)


def _resnet_bottleneck() -> nn.Module:
    return resnet(bottleneck=True)


MODELS: Mapping[str, tuple[Callable[[], nn.Module], Callable[[], tuple[Tensor, ...]]]] = {
    "vgg": (vgg, _images),
    "resnet": (_resnet_basic, _images),
    "resnet-bottleneck": (_resnet_bottleneck, _images),
    "mobilenetv2": (mobilenetv2, _images),
    "vit": (ViT, _images),
    "bert": (Bert, _tokens),
    "lstm": (Recurrent, lambda: (torch.randn(2, 6, 8),)),
}
"""The model and its example inputs, by name."""


def torch_model(name: str, seed: int = 0) -> Example:
    """One of `MODELS`, its weights random and all distinct, its statistics near what its layers see."""
    make, make_inputs = MODELS[name]
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model, inputs = make(), make_inputs()
        randomise(model, inputs)
    return Example(model, inputs)
