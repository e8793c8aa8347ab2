"""The face embedder: trained to tell drawn faces apart, judged on faces that it never saw."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tools.benchmarks.subjects.exporting import export
from tools.benchmarks.subjects.image_nets import FaceNet
from tools.benchmarks.subjects.parts import Arrays, Effort, make_parts, save_parts
from tools.benchmarks.subjects.training import one_thread, train
from tools.upkeep.export import save

__all__ = ["face", "face_net", "identity"]

_SIZE = 48
_PEOPLE = 96
_STRANGERS = 10_000

Traits = npt.NDArray[np.float64]


def face_net(folder: Path, _cache: Path, effort: Effort) -> None:
    """IResNet-like face embedder with PReLU; a normalised embedding."""

    def strangers(generator: np.random.Generator, count: int, _part: str) -> Arrays:
        people = generator.integers(_STRANGERS, 1 << 30, count)
        return {"face": np.stack([face(identity(int(person)), generator) for person in people])}

    with one_thread(10):
        model, proxies = FaceNet(), nn.Parameter(torch.randn(_PEOPLE, 64))

        def loss(step: int) -> Tensor:
            generator = np.random.default_rng([10, 9, step])
            people = generator.integers(0, _PEOPLE, 48)
            faces = np.stack([face(identity(int(person)), generator) for person in people])
            # not in channels-last: see `natonnx.supernet.ops.convolution`
            cosines = model(torch.from_numpy(np.ascontiguousarray(faces))) @ F.normalize(proxies, dim=1).T
            wanted = torch.from_numpy(people)
            margin = 0.2 * F.one_hot(wanted, _PEOPLE)  # CosFace, arXiv 1801.09414, equation 4
            return F.cross_entropy(16 * (cosines - margin), wanted)

        model.register_parameter("proxies", proxies)
        train(model, loss, effort.of(350), 5e-3)
        del model.proxies
    axes = {"face": {0: "batch"}, "embedding": {0: "batch"}}
    example = {"face": torch.randn(2, 3, _SIZE, _SIZE)}
    save(export(model, example, ["embedding"], axes, "script", 11), folder / "model.onnx")
    save_parts(make_parts(strangers, 10, effort), folder / "data.npz")


def identity(person: int) -> Traits:
    """Return what is a person's own: 16 numbers from 0 to 1."""
    return np.random.default_rng([10, person]).random(16)


def face(traits: Traits, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """Draw a person: place, size, light, gaze and noise differ from picture to picture.

    Returns:
        Pixels ``[3, 48, 48]`` from -1 to 1.
    """
    image = Image.new("RGB", (_SIZE, _SIZE), _color(generator.random(3), 0, 255))
    draw = ImageDraw.Draw(image)
    scale, (dx, dy) = generator.uniform(0.9, 1.1), generator.uniform(-3, 3, 2)

    def at(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Corners of an ellipse about a point of the face, whose half-width is 1."""
        middle, half = (24 + dx + 16 * scale * x, 25 + dy + 16 * scale * y), (8 * scale * width, 8 * scale * height)
        return middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1]

    light = generator.uniform(0.7, 1.15)
    skin, hair, iris = (_color(traits[i : i + 3] * light, low, high) for i, low, high in _COLORS)
    wide, long = 1.5 + 0.6 * traits[9], 1.9 + 0.6 * traits[10]
    draw.ellipse(at(0, -0.15, wide + 0.3, long + 0.2), hair)
    draw.ellipse(at(0, 0.1 + 0.2 * traits[11], wide, long), skin)
    eye, apart, gaze = 0.3 + 0.25 * traits[12], 0.3 + 0.2 * traits[13], generator.uniform(-0.05, 0.05)
    for side in (-1, 1):
        draw.ellipse(at(side * apart, -0.15, eye, 0.6 * eye), (240, 240, 240))
        draw.ellipse(at(side * apart + gaze, -0.15, 0.45 * eye, 0.45 * eye), iris)
    draw.ellipse(at(0, 0.2, 0.12 + 0.2 * traits[14], 0.35), _color(0.7 * traits[:3] * light, 60, 190))
    draw.ellipse(at(0, 0.6, 0.4 + 0.4 * traits[15], generator.uniform(0.08, 0.3)), (150, 40, 50))
    pixels = np.asarray(image, np.float32) / 127.5 - 1
    noisy: npt.NDArray[np.float32] = (pixels + generator.normal(0, 0.05, pixels.shape)).astype(np.float32)
    return noisy.clip(-1, 1).transpose(2, 0, 1)


_COLORS = ((0, 90, 235), (3, 10, 200), (6, 20, 160))
"""Where a colour's traits begin, and between which values it lies: skin, hair, iris."""


def _color(shares: Traits, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (int(low + (high - low) * min(1.0, float(share))) for share in shares)
    return red, green, blue
