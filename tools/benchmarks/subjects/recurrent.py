"""The recurrent subjects: a text line reader with the batch in the middle, and a stream with state in and out."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tools.benchmarks.subjects import text
from tools.benchmarks.subjects.exporting import export
from tools.benchmarks.subjects.image_nets import conv_norm
from tools.benchmarks.subjects.parts import Arrays, Effort, make_parts, save_parts
from tools.benchmarks.subjects.training import one_thread, train
from tools.upkeep.export import save

__all__ = ["CRNN", "Stream", "chunks", "crnn", "stream"]

_HEIGHT, _WIDTH = 32, 80
_DIGITS = 10
_STEPS, _BANDS, _STATE = 20, 16, 48

Floats = npt.NDArray[np.float32]


class CRNN(nn.Module):
    """Convolutions that halve a line's height more often than its width, two bidirectional LSTMs, a class a step."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *(conv_norm(1, 16), nn.ReLU(), nn.MaxPool2d(2)),
            *(conv_norm(16, 24), nn.ReLU(), conv_norm(24, 24), nn.ReLU(), nn.MaxPool2d(2)),
            *(conv_norm(24, 32), nn.ReLU(), conv_norm(32, 32), nn.ReLU(), nn.MaxPool2d((2, 1))),
            *(conv_norm(32, 32), nn.ReLU(), nn.MaxPool2d((4, 1))),
        )
        self.recurrent = nn.LSTM(32, 32, num_layers=2, bidirectional=True)
        self.classifier = nn.Linear(64, classes)

    def forward(self, line: Tensor) -> Tensor:
        """Map lines ``[N, 1, 32, W]`` to log-probabilities ``[W/4, N, classes]``, class 0 the blank."""
        steps = self.convolutions(line).squeeze(2).permute(2, 0, 1)
        return torch.log_softmax(self.classifier(self.recurrent(steps)[0]), -1)


def crnn(folder: Path, _cache: Path, effort: Effort) -> None:
    """Reader of three to five digits, trained by CTC; its output is ``[T, N, C]``."""

    def lines(generator: np.random.Generator, count: int, _part: str) -> Arrays:
        return {"line": _lines(generator, count)[0]}

    with one_thread(11):
        model = CRNN(1 + _DIGITS)

        def loss(step: int) -> Tensor:
            images, labels = _lines(np.random.default_rng([11, 9, step]), 32)
            steps = model(torch.from_numpy(images))
            lengths = torch.tensor([len(label) for label in labels])
            wanted = torch.tensor([1 + digit for label in labels for digit in label])
            return F.ctc_loss(steps, wanted, torch.full((len(labels),), len(steps)), lengths, zero_infinity=True)

        train(model, loss, effort.of(350), 5e-3)
    axes = {"line": {0: "batch", 3: "width"}, "log_probabilities": {0: "steps", 1: "batch"}}
    example = {"line": torch.zeros(2, 1, _HEIGHT, _WIDTH)}
    save(export(model, example, ["log_probabilities"], axes, "script", 12), folder / "model.onnx")
    save_parts(make_parts(lines, 11, effort), folder / "data.npz")


def _lines(generator: np.random.Generator, count: int) -> tuple[Floats, list[list[int]]]:
    """Render digits ``[n, 1, 32, 80]``, dark on light made 1 on 0, and say which they are."""
    images, labels = [], []
    for _ in range(count):
        digits = text.digits(generator, int(generator.integers(3, 6)))
        image = Image.fromarray(text.line(generator, digits, _HEIGHT)).convert("L")
        if image.width > _WIDTH:
            image = image.resize((_WIDTH, _HEIGHT))
        padded = np.zeros((1, _HEIGHT, _WIDTH), np.float32)
        padded[0, :, : image.width] = 1 - np.asarray(image, np.float32) / 255
        images.append(padded)
        labels.append([int(digit) for digit in digits])
    return np.stack(images), labels


class Stream(nn.Module):
    """Two layers of LSTM over a chunk of a stream, its state handed in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(_BANDS, _STATE), nn.ReLU(), nn.Linear(_STATE, _STATE), nn.ReLU())
        self.recurrent = nn.LSTM(_STATE, _STATE, num_layers=2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(_STATE, _STATE), nn.ReLU(), nn.Linear(_STATE, 1))

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map a chunk ``[N, T, 16]`` and two states ``[2, N, 48]`` to probabilities ``[N, T, 1]`` and new states."""
        y, (hn, cn) = self.recurrent(self.project(x), (h, c))
        return torch.sigmoid(self.head(y)), hn, cn


def stream(folder: Path, _cache: Path, effort: Effort) -> None:
    """Voice detector: says of each step of a chunk whether there is a voice in the noise; the state counts on."""
    with one_thread(12):
        model = Stream()

        def loss(step: int) -> Tensor:
            bands, voiced = map(torch.from_numpy, chunks(np.random.default_rng([12, 9, step]), 48, 2))
            first, h, c = model(bands[:, :_STEPS], *(torch.zeros(2, 48, _STATE) for _ in range(2)))
            second, _, _ = model(bands[:, _STEPS:], h, c)
            return F.binary_cross_entropy(torch.cat([first, second], 1)[..., 0], voiced)

        train(model, loss, effort.of(300), 5e-3)

    def begun(generator: np.random.Generator, count: int, _part: str) -> Arrays:
        """Chunks, and the states that the model is in after what came before."""
        bands = torch.from_numpy(chunks(generator, count, 2)[0])
        with torch.no_grad():
            _, h, c = model(bands[:, :_STEPS], *(torch.zeros(2, count, _STATE) for _ in range(2)))
        return {"x": bands[:, _STEPS:].numpy(), "h": h.numpy(), "c": c.numpy()}

    example = {"x": torch.zeros(3, _STEPS, _BANDS), "h": torch.zeros(2, 3, _STATE), "c": torch.zeros(2, 3, _STATE)}
    state = {1: "batch"}
    axes = {"x": {0: "batch"}, "h": state, "c": state, "probability": {0: "batch"}, "hn": state, "cn": state}
    save(export(model, example, ["probability", "hn", "cn"], axes, "script", 15), folder / "model.onnx")
    save_parts(make_parts(begun, 12, effort), folder / "data.npz")


def chunks(generator: np.random.Generator, count: int, length: int) -> tuple[Floats, Floats]:
    """Make spectra of noise in which a voice comes and goes: harmonics of a pitch that glides.

    Args:
        generator: Of everything.
        count: Streams.
        length: Chunks of 20 steps each.

    Returns:
        Log-energies ``[n, T, 16]``, and whether there is a voice ``[n, T]``, 0 or 1.
    """
    steps = length * _STEPS
    turns = generator.random((count, steps)) < 0.12
    voiced = (np.cumsum(turns, 1) + generator.integers(0, 2, (count, 1))) % 2
    pitch = generator.uniform(2, 5, (count, 1)) + np.cumsum(generator.normal(0, 0.1, (count, steps)), 1)
    harmonics = np.cos(2 * np.pi * np.arange(1, _BANDS + 1) / pitch[..., None])
    noise = generator.normal(0, 1, (count, steps, _BANDS))
    bands = noise + voiced[..., None] * (harmonics + 0.3)
    return bands.astype(np.float32), voiced.astype(np.float32)
