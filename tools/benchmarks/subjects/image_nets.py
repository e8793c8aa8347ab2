"""Image networks: two outputs, an EfficientNet, an iResNet for faces, a YOLO-like detector."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

__all__ = ["EfficientNet", "FaceNet", "TwoHeads", "Yolo"]


def conv_norm(source: int, target: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, padded to keep the size, and batch normalisation."""
    conv = nn.Conv2d(source, target, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(target))


class Residual(nn.Module):
    """Two convolutions and a shortcut, added before the last ReLU."""

    def __init__(self, source: int, target: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv_norm(source, target, 3, stride), nn.ReLU(), conv_norm(target, target))
        self.shortcut = nn.Identity() if source == target else conv_norm(source, target, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, source, H, W]`` to ``[N, target, H/stride, W/stride]``."""
        return F.relu(self.layers(x) + self.shortcut(x))


class TwoHeads(nn.Module):
    """Residual trunk with two classifiers over it: scores of the one, probabilities of the other."""

    def __init__(self, classes: int, kinds: int) -> None:
        super().__init__()
        widths = ((12, 12, 1), (12, 12, 1), (12, 24, 2), (24, 24, 1), (24, 48, 2), (48, 48, 1))
        self.trunk = nn.Sequential(conv_norm(1, 12), nn.ReLU(), *(Residual(*width) for width in widths))
        self.first = nn.Linear(48, classes)
        self.second = nn.Sequential(nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, kinds))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map images ``[N, 1, 28, 28]`` to scores ``[N, classes]`` and probabilities ``[N, kinds]``."""
        mean = self.trunk(image).mean((2, 3))
        return self.first(mean), torch.softmax(self.second(mean), -1)


class SqueezeExcite(nn.Module):
    """Channels weighed by a gate that reads their means."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, inner, 1),
            nn.SiLU(),
            nn.Conv2d(inner, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, C, H, W]`` to the same."""
        y: Tensor = x * self.gate(x)
        return y


class MBConv(nn.Module):
    """Expand, filter each channel, squeeze and excite, project; added to its input where the shapes agree."""

    def __init__(self, source: int, target: int, stride: int, kernel: int, expand: int) -> None:
        super().__init__()
        inner = source * expand
        layers: list[nn.Module] = [conv_norm(source, inner, 1), nn.SiLU()] if expand > 1 else []
        layers += [conv_norm(inner, inner, kernel, stride, inner), nn.SiLU()]
        layers += [SqueezeExcite(inner, max(4, source // 4)), conv_norm(inner, target, 1)]
        self.layers = nn.Sequential(*layers)
        self.residual = source == target and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, source, H, W]`` to ``[N, target, H/stride, W/stride]``."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class EfficientNet(nn.Module):
    """EfficientNet, narrow and short."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        first = ((16, 12, 1, 3, 1), (12, 16, 2, 3, 4), (16, 16, 1, 3, 4))
        later = ((16, 24, 2, 5, 4), (24, 24, 1, 5, 4), (24, 40, 2, 3, 4), (40, 40, 1, 3, 4))
        self.trunk = nn.Sequential(conv_norm(3, 16), nn.SiLU(), *(MBConv(*stage) for stage in first + later))
        self.head = nn.Sequential(conv_norm(40, 96, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(96, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map images ``[N, 3, 32, 32]`` to scores ``[N, classes]``."""
        scores: Tensor = self.classifier(self.head(self.trunk(pixels)))
        return scores


class IBlock(nn.Module):
    """IResNet's block: normalise, convolve, normalise, PReLU, convolve, normalise; added to its input."""

    def __init__(self, source: int, target: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(source), conv_norm(source, target), nn.PReLU(target), conv_norm(target, target, 3, stride)
        )
        self.shortcut = nn.Identity() if stride == 1 and source == target else conv_norm(source, target, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, source, H, W]`` to ``[N, target, H/stride, W/stride]``."""
        y: Tensor = self.layers(x) + self.shortcut(x)
        return y


class FaceNet(nn.Module):
    """IResNet, narrow and short: an embedding of length 1 that is alike for pictures of one face."""

    def __init__(self, size: int = 64) -> None:
        super().__init__()
        blocks = ((12, 16, 2), (16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 32, 2), (32, 32, 1))
        self.trunk = nn.Sequential(conv_norm(3, 12), nn.PReLU(12), *(IBlock(*block) for block in blocks))
        self.norm, self.flatten, self.linear = nn.BatchNorm2d(32), nn.Flatten(), nn.Linear(32 * 36, size)
        self.features = nn.BatchNorm1d(size)

    def forward(self, face: Tensor) -> Tensor:
        """Map faces ``[N, 3, 48, 48]`` to embeddings ``[N, size]``."""
        return F.normalize(self.features(self.linear(self.flatten(self.norm(self.trunk(face))))), dim=1)


class CSP(nn.Module):
    """Cross-stage partial block: half of the channels pass a bottleneck, all parts are concatenated and mixed."""

    def __init__(self, source: int, target: int, *, shortcut: bool = True) -> None:
        super().__init__()
        half = target // 2
        self.first = nn.Sequential(conv_norm(source, target, 1), nn.SiLU())
        self.inner = nn.Sequential(conv_norm(half, half), nn.SiLU(), conv_norm(half, half), nn.SiLU())
        self.last = nn.Sequential(conv_norm(3 * half, target, 1), nn.SiLU())
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, source, H, W]`` to ``[N, target, H, W]``."""
        kept, passed = self.first(x).chunk(2, 1)
        more = self.inner(passed)
        more = passed + more if self.shortcut else more
        mixed: Tensor = self.last(torch.cat([kept, passed, more], 1))
        return mixed


class Yolo(nn.Module):
    """Anchor-free detector: CSP stages, a pyramid up and down, a head at strides 4, 8 and 16.

    A cell of a map gives the box's sides as distances from its middle in cells (left, top, right, bottom, before a
    softplus), whether there is an object, and the class scores: 5 + classes channels.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 12, 3, 2), nn.SiLU(), conv_norm(12, 16, 3, 2), nn.SiLU(), CSP(16, 16))
        self.down = nn.Sequential(conv_norm(16, 24, 3, 2), nn.SiLU(), CSP(24, 24))
        self.deep = nn.Sequential(conv_norm(24, 32, 3, 2), nn.SiLU(), CSP(32, 32))
        self.up = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.middle, self.fine = CSP(56, 24, shortcut=False), CSP(40, 16, shortcut=False)
        self.fine_down = nn.Sequential(conv_norm(16, 16, 3, 2), nn.SiLU())
        self.middle_again = CSP(40, 24, shortcut=False)
        self.middle_down = nn.Sequential(conv_norm(24, 24, 3, 2), nn.SiLU())
        self.deep_again = CSP(56, 32, shortcut=False)
        self.heads = nn.ModuleList(
            nn.Sequential(conv_norm(width, width), nn.SiLU(), nn.Conv2d(width, 5 + classes, 1))
            for width in (16, 24, 32)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map images ``[N, 3, 64, 64]`` to maps ``[N, 5 + classes, 64/s, 64/s]`` for the strides s of 4, 8 and 16."""
        fine = self.stem(images)
        middle = self.down(fine)
        deep = self.deep(middle)
        middle = self.middle(torch.cat([self.up(deep), middle], 1))
        fine = self.fine(torch.cat([self.up(middle), fine], 1))
        middle = self.middle_again(torch.cat([self.fine_down(fine), middle], 1))
        deep = self.deep_again(torch.cat([self.middle_down(middle), deep], 1))
        first, second, third = self.heads
        return first(fine), second(middle), third(deep)
