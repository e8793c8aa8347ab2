"""Small torch nets of families that users export: recurrent with state, PReLU face nets, detectors of three scales."""

from __future__ import annotations

import functools
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tools.upkeep.randomise import randomise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["NETS", "Net", "example", "exported", "with_suppression"]


class Recurrent(nn.Module):
    """Layers before and after an LSTM or GRU; its state is an input and an output."""

    def __init__(self, cell: type[nn.LSTM | nn.GRU], layers: int = 1, *, both: bool = False) -> None:
        super().__init__()
        self.project, self.cell = nn.Linear(8, 16), cell(16, 16, layers, batch_first=True, bidirectional=both)
        self.hidden, self.head = nn.Linear(32 if both else 16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Sequences [n, 6, 8] and states [layers, n, 16] to [n, 6, 4] and states."""
        y, after = self.cell(F.relu(self.project(x)), state if len(state) > 1 else state[0])
        scores = self.head(F.relu(self.hidden(y)))
        return (scores, *after) if isinstance(after, tuple) else (scores, after)


class FaceBlock(nn.Module):
    """BN, convolution, BN, PReLU, convolution, BN; and a shortcut (iResNet)."""

    def __init__(self, source: int, target: int, stride: int) -> None:
        super().__init__()
        first, second = _conv(source, target, 3), _conv(target, target, 3, stride)
        self.branch = nn.Sequential(nn.BatchNorm2d(source), *first, nn.PReLU(target), *second)
        same = stride == 1 and source == target
        self.shortcut: nn.Module = nn.Identity() if same else nn.Sequential(*_conv(source, target, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.branch(x) + self.shortcut(x)
        return result


def face_net() -> nn.Module:
    """Images [n, 3, 16, 16] to embeddings [n, 32]."""
    blocks = [FaceBlock(8, 8, 2), FaceBlock(8, 8, 1), FaceBlock(8, 16, 2), FaceBlock(16, 16, 1), FaceBlock(16, 16, 1)]
    tail = [nn.BatchNorm2d(16), nn.Dropout(0.4), nn.Flatten(), nn.Linear(16 * 16, 32), nn.BatchNorm1d(32)]
    return nn.Sequential(*_conv(3, 8, 3), nn.PReLU(8), *blocks, *tail)


class CrossStage(nn.Module):
    """Two projections, one of which goes through a bottleneck, concatenated and mixed (C3)."""

    def __init__(self, source: int, target: int, *, residual: bool) -> None:
        super().__init__()
        inner = target // 2
        self.left, self.right, self.mix = (
            _silu(source, inner), _silu(source, inner), _silu(2 * inner, target),
        )  # fmt: skip
        self.bottleneck, self.residual = nn.Sequential(*_silu(inner, inner, 3), *_silu(inner, inner, 3)), residual

    def forward(self, x: Tensor) -> Tensor:
        left = self.left(x)
        deep = self.bottleneck(left)
        result: Tensor = self.mix(torch.cat([left + deep if self.residual else deep, self.right(x)], 1))
        return result


class Pyramid(nn.Module):
    """Poolings one after the other, all concatenated (SPPF)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow, self.mix, self.pool = _silu(width, width // 2), _silu(2 * width, width), nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        found = [self.narrow(x)]
        for _ in range(3):
            found.append(self.pool(found[-1]))
        result: Tensor = self.mix(torch.cat(found, 1))
        return result


class Detector(nn.Module):
    """Three scales, upwards and downwards again, and a head for each (YOLO); `joined` puts out all boxes in one."""

    def __init__(self, width: int = 8, *, joined: bool = False) -> None:
        super().__init__()
        w = width
        self.joined, self.up = joined, nn.Upsample(scale_factor=2)
        self.stem = nn.Sequential(*_silu(3, w, 3, 2), *_silu(w, 2 * w, 3, 2), CrossStage(2 * w, 2 * w, residual=True))
        self.second = nn.Sequential(*_silu(2 * w, 4 * w, 3, 2), CrossStage(4 * w, 4 * w, residual=True))
        self.third = nn.Sequential(*_silu(4 * w, 8 * w, 3, 2), CrossStage(8 * w, 8 * w, residual=True), Pyramid(8 * w))
        self.reduce = nn.ModuleList([_silu(8 * w, 4 * w), _silu(4 * w, 2 * w)])
        self.rise = nn.ModuleList([_neck(8 * w, 4 * w), _neck(4 * w, 2 * w)])
        self.sink = nn.ModuleList([_silu(2 * w, 2 * w, 3, 2), _silu(4 * w, 4 * w, 3, 2)])
        self.fall = nn.ModuleList([_neck(4 * w, 4 * w), _neck(8 * w, 8 * w)])
        heads = [nn.Conv2d(size * w, 8, 1) for size in (2, 4, 8)]
        for head in heads:
            nn.init.normal_(head.weight, std=0.01)  # or the sigmoids would be zeros and ones
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images [n, 3, 64, 64] to maps of 4 box numbers and 4 scores of sizes 16, 8 and 4."""
        low = self.stem(x)
        middle = self.second(low)
        high = self.reduce[0](self.third(middle))
        narrow = self.reduce[1](self.rise[0](torch.cat([self.up(high), middle], 1)))
        outputs = [self.rise[1](torch.cat([self.up(narrow), low], 1))]
        outputs.append(self.fall[0](torch.cat([self.sink[0](outputs[0]), narrow], 1)))
        outputs.append(self.fall[1](torch.cat([self.sink[1](outputs[1]), high], 1)))
        scales = [head(y) for head, y in zip(self.heads, outputs, strict=True)]
        if not self.joined:
            return tuple(scales)
        rows = torch.cat([scale.flatten(2) for scale in scales], 2).transpose(1, 2)
        return rows[:, :, :4].sigmoid() * 64, rows[:, :, 4:].sigmoid().transpose(1, 2)


class Inverted(nn.Module):
    """Expand, filter each channel, gate the channels, project; added to its input where shapes agree (EfficientNet)."""

    def __init__(self, source: int, target: int, stride: int) -> None:
        super().__init__()
        inner = 4 * source
        self.before = nn.Sequential(*_silu(source, inner), *_silu(inner, inner, 3, stride, inner))
        gate = [
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inner, source, 1),
            nn.SiLU(),
            nn.Conv2d(source, inner, 1),
            nn.Sigmoid(),
        ]
        self.gate, self.after = nn.Sequential(*gate), nn.Sequential(*_conv(inner, target, 1))
        self.residual = stride == 1 and source == target

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        y = self.after(y * self.gate(y))
        result: Tensor = x + y if self.residual else y
        return result


def mobile_net() -> nn.Module:
    """Images [n, 3, 32, 32] to scores [n, 10]."""
    blocks = [Inverted(8, 12, 2), Inverted(12, 12, 1), Inverted(12, 16, 2), Inverted(16, 16, 1), Inverted(16, 16, 1)]
    return nn.Sequential(*_silu(3, 8, 3, 2), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def _conv(source: int, target: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(source, target, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(target)]


def _silu(source: int, target: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(*_conv(source, target, kernel, stride, groups), nn.SiLU())


def _neck(source: int, target: int) -> nn.Module:
    return CrossStage(source, target, residual=False)


class Net(NamedTuple):
    """A net, and its inputs; states have their batch in the middle."""

    make: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]
    outputs: int = 1


def _images(size: int) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(2, 3, size, size),)


def _sequences(states: int, layers: int = 1) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(2, 6, 8), *(torch.randn(layers, 2, 16) for _ in range(states)))


NETS: Mapping[str, Net] = {
    "lstm": Net(lambda: Recurrent(nn.LSTM), _sequences(2), 3),
    "lstm-both": Net(lambda: Recurrent(nn.LSTM, 2, both=True), _sequences(2, 4), 3),
    "gru": Net(lambda: Recurrent(nn.GRU), _sequences(1), 2),
    "face": Net(face_net, _images(16)),
    "detector": Net(Detector, _images(64), 3),
    "detector-joined": Net(lambda: Detector(joined=True), _images(64), 2),
    "mobile": Net(mobile_net, _images(32)),
}


@functools.cache
def example(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A net with random weights, and its inputs, named x0, x1 …"""
    net = NETS[name]
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model, inputs = net.make(), net.inputs()
        randomise(model, inputs)
        for module in model.modules():
            if isinstance(module, nn.PReLU):
                module.weight.data.uniform_(0.1, 0.4)
        return model.eval(), inputs


@functools.cache
def exported(name: str, opset: int = 17) -> onnx.ModelProto:
    """A net by TorchScript, BatchNormalization kept, its batch open; outputs are y0, y1 …; never to be changed."""
    model, inputs = example(name)
    names, outputs = [f"x{i}" for i in range(len(inputs))], [f"y{i}" for i in range(NETS[name].outputs)]
    axes = {one: {int(i > 0 and len(inputs) > 1): "batch"} for ends in (names, outputs) for i, one in enumerate(ends)}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "net.onnx"
        torch.onnx.export(
            model, inputs, path, dynamo=False, opset_version=opset, input_names=names, output_names=outputs,
            dynamic_axes=axes, training=torch.onnx.TrainingMode.PRESERVE,
        )  # fmt: skip
        return onnx.load(path)


def with_suppression(model: onnx.ModelProto) -> onnx.ModelProto:
    """The joined detector with NonMaxSuppression of its boxes y0 and scores y1 in the graph, as the output y2."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    limits = {"most": np.array([5]), "overlap": np.array([0.5], np.float32), "least": np.array([0.3], np.float32)}
    changed.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in limits.items())
    inputs = ["y0", "y1", *limits]
    changed.graph.node.append(helper.make_node("NonMaxSuppression", inputs, ["y2"], "nms", center_point_box=1))
    changed.graph.output.append(helper.make_tensor_value_info("y2", TensorProto.INT64, ["chosen", 3]))
    onnx.checker.check_model(changed)
    return changed
