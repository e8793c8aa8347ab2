"""Torch modules and what they export to: the oracle of `to_torch` is the module that a file came from."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from natonnx.frontend import parse
from natonnx.module import convert
from tools.upkeep.export import export

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

    from natonnx.module import OnnxModule


class Picture(nn.Module):
    """Convolutions of all kinds, normalised, with a residual branch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8, 1e-4, 0.2), nn.ReLU6())
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + functional.leaky_relu(self.norm(self.depthwise(x)), 0.1)
        x = self.pool(functional.silu(self.up(x)))
        found: Tensor = self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return found


class Sentence(nn.Module):
    """Tokens, a learnt one in front, positions, attention, and a head that shares a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.positions = nn.Parameter(torch.randn(1, 7, 8))
        self.norm = nn.LayerNorm(8)
        self.queries, self.keys, self.values = (nn.Linear(8, 8) for _ in range(3))
        self.gain = nn.Parameter(torch.randn(8))
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 8, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(ids.shape[0], -1, -1), self.words(ids)], 1) + self.positions
        y = self.norm(x)
        weights = (self.queries(y) @ self.keys(y).transpose(1, 2) / 8**0.5).softmax(-1)
        x = x + weights @ self.values(y) * self.gain
        found: Tensor = x + self.second(functional.gelu(self.first(x)))
        return found[:, 0]


class Series(nn.Module):
    """A recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(4, 6, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.layer(x)[0].mean(1))
        return found


NETS: Mapping[str, type[nn.Module]] = {"picture": Picture, "sentence": Sentence, "series": Series}


def inputs_of(name: str, batch: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    if name == "sentence":
        return torch.randint(11, (batch, 6), generator=generator)
    return torch.randn((batch, 3, 8, 8) if name == "picture" else (batch, 5, 4), generator=generator)


def native(name: str) -> nn.Module:
    """A module in evaluation mode; no two of its tensors are equal, which exporters would make one."""
    torch.manual_seed(0)
    module = NETS[name]()
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 1:
                parameter.uniform_(0.5, 1.5)
    return module.eval()


@functools.cache
def exported(name: str, *, keep_norm: bool = True) -> onnx.ModelProto:
    """What it exports to; shared between tests, never to be changed."""
    return export(native(name), [inputs_of(name, 2)], "script", 17, keep_norm=keep_norm)


def brought_back(name: str) -> OnnxModule:
    """The module of that file, in evaluation mode."""
    module = convert(parse(exported(name)))
    module.eval()
    return module
