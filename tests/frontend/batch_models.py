"""torch models whose batch is not simply in front, exported by TorchScript."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Crnn(nn.Module):
    """A text recogniser: convolutions, a bidirectional LSTM over the width, scores [T, N, C]."""

    def __init__(self, *, flatten: bool = False) -> None:
        super().__init__()
        self.flatten = flatten
        self.convolution = nn.Conv2d(1, 8, 3, padding=1)
        self.lstm = nn.LSTM(8 * 8, 16, bidirectional=True)
        self.head = nn.Linear(32, 11)

    def forward(self, image: Tensor) -> Tensor:
        maps = torch.relu(self.convolution(image))
        steps = maps.flatten(1, 2).permute(2, 0, 1)
        hidden, _ = self.lstm(steps)
        length, count, width = hidden.shape
        scores: Tensor = self.head(hidden.reshape(length * count, width) if self.flatten else hidden)
        return scores.reshape(length, count, -1) if self.flatten else scores

    madds = 8 * 20 * (1 * 8 * 9) + 20 * 32 * 11
    """By hand for images of 8 x 20, a sample: the convolution's 3 x 3 kernels, and the head at 20 steps."""


class Stateful(nn.Module):
    """One step of a recurrent model with its state as input and output, as silero-vad has."""

    def __init__(self, *, rate: bool = False) -> None:
        super().__init__()
        self.rate = rate
        self.embedding = nn.Linear(16, 12)
        self.lstm = nn.LSTM(12, 12, num_layers=2, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor, h: Tensor, c: Tensor, sr: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        x = self.embedding(x)
        if sr is not None:
            x = x * (sr / 16000)
        hidden, (h, c) = self.lstm(x.unsqueeze(1), (h, c))
        return self.head(hidden.squeeze(1)), h, c


class Encoder(nn.Module):
    """A one-layer transformer encoder of three int64 inputs [batch, seq], as BERT has."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.kinds = nn.Embedding(50, 16), nn.Embedding(2, 16)
        self.positions = nn.Embedding(64, 16)
        self.query, self.key, self.value, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        count, length = input_ids.shape
        x = self.words(input_ids) + self.kinds(token_type_ids) + self.positions.weight[:length]
        q, k, v = (part(x).reshape(count, length, 2, 8).transpose(1, 2) for part in (self.query, self.key, self.value))
        scores = q @ k.transpose(2, 3) / 8**0.5 + (1 - attention_mask[:, None, None].to(x.dtype)) * -1e4
        x = x + self.out((scores.softmax(3) @ v).transpose(1, 2).reshape(count, length, 16))
        result: Tensor = x + self.down(torch.relu(self.up(x)))
        return result

    madds = 4 * 16 * 16 + 2 * 16 * 32
    """By hand, a token: four projections, and the two halves of the MLP."""


def script(
    model: nn.Module,
    arguments: Sequence[Tensor],
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]] | None = None,
) -> onnx.ModelProto:
    """Export a model by TorchScript at opset 17.

    Args:
        model: The model.
        arguments: Example inputs.
        inputs: Their names.
        outputs: Names of the outputs.
        axes: Open axes with their symbols, by tensor.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "model.onnx"
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            tuple(arguments),
            path,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(open_axes) for name, open_axes in (axes or {}).items()},
            opset_version=17,
            dynamo=False,
        )
        return onnx.load(path)
