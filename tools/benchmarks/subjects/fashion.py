"""The subjects that are trained on the Fashion-MNIST pictures that come with natonnx."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from natonnx.data.shipped import read_builtin
from tools.benchmarks.subjects.exporting import export
from tools.benchmarks.subjects.image_nets import EfficientNet, TwoHeads
from tools.benchmarks.subjects.parts import Arrays, Effort, save_parts
from tools.benchmarks.subjects.training import one_thread, train
from tools.benchmarks.subjects.transformers import ViT
from tools.upkeep.export import save

__all__ = ["COLOR_MEAN", "COLOR_STD", "efficientnet", "two_heads", "vit"]

_MEAN, _STD = 0.286, 0.353
COLOR_MEAN, COLOR_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""How the folder's pictures are to be normalised, after the scale 1/255."""

_GROUPS = (0, 1, 0, 0, 0, 2, 0, 2, 3, 2)
"""Which class is a top, trousers, shoes or a bag."""

_SIZES = {"train": 2000, "val": 1000, "test": 1000}

_Picture = npt.NDArray[np.uint8]


def _pictures() -> dict[str, tuple[_Picture, npt.NDArray[np.int64]]]:
    """Pictures ``[n, 28, 28]`` and classes by part; no model here is trained on anything but `train`."""
    arrays = read_builtin("fashion-mnist", 10)
    return {
        part: (arrays[f"x_{part}"][:size], arrays[f"y_{part}"][:size].astype(np.int64)) for part, size in _SIZES.items()
    }


def _normalised(images: _Picture) -> npt.NDArray[np.float32]:
    return ((images / 255 - _MEAN) / _STD).astype(np.float32)[:, None]


def _minibatch(images: Tensor, labels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Choose at random, mirrored or not, moved by up to a pixel."""
    index = torch.randint(len(images), (size,))
    chosen = images[index]
    chosen = torch.where(torch.rand(size)[:, None, None, None] < 0.5, chosen.flip(-1), chosen)
    moved = torch.roll(chosen, (int(torch.randint(-1, 2, ())), int(torch.randint(-1, 2, ()))), (-2, -1))
    return moved, labels[index]


def vit(folder: Path, _cache: Path, effort: Effort) -> None:
    """Vision transformer of four blocks, by torch's default exporter."""
    parts = _pictures()
    images, labels = torch.from_numpy(_normalised(parts["train"][0])), torch.from_numpy(parts["train"][1])
    with one_thread(6):
        model = ViT(10)

        def loss(_step: int) -> Tensor:
            chosen, wanted = _minibatch(images, labels, 64)
            return F.cross_entropy(model(chosen), wanted)

        train(model, loss, effort.of(1400), 1.5e-3)
    _save(folder, model, ["logits"], labelled=True)


def two_heads(folder: Path, _cache: Path, effort: Effort) -> None:
    """Small residual network that gives the class and, by a softmax, the kind of garment; by the default exporter."""
    parts = _pictures()
    images, labels = torch.from_numpy(_normalised(parts["train"][0])), torch.from_numpy(parts["train"][1])
    groups = torch.tensor(_GROUPS)
    with one_thread(13):
        model = TwoHeads(10, 4)

        def loss(_step: int) -> Tensor:
            chosen, wanted = _minibatch(images, labels, 64)
            scores, kinds = model(chosen)
            return F.cross_entropy(scores, wanted) + F.nll_loss((kinds + 1e-7).log(), groups[wanted])

        train(model, loss, effort.of(400))
    _save(folder, model, ["class_scores", "kind_probabilities"], labelled=False)


def efficientnet(folder: Path, _cache: Path, effort: Effort) -> None:
    """EfficientNet-like network for RGB pictures of 32×32, and a folder of pictures that nobody labelled."""
    parts = {part: (_colored(images), labels) for part, (images, labels) in _pictures().items()}
    mean, std = (torch.tensor(values)[:, None, None] for values in (COLOR_MEAN, COLOR_STD))
    pixels = torch.from_numpy(parts["train"][0]).permute(0, 3, 1, 2)
    labels = torch.from_numpy(parts["train"][1])
    with one_thread(14):
        model = EfficientNet(10)

        def loss(_step: int) -> Tensor:
            chosen, wanted = _minibatch(pixels, labels, 64)
            return F.cross_entropy(model((chosen.float() / 255 - mean) / std), wanted)

        train(model, loss, effort.of(400))
    example, axes = {"pixels": torch.randn(2, 3, 32, 32)}, {"pixels": {0: "batch"}, "logits": {0: "batch"}}
    save(export(model, example, ["logits"], axes, "script", 16), folder / "model.onnx")
    for part, (images, _) in parts.items():
        (folder / "data" / part).mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(images[:500]):
            Image.fromarray(image).save(folder / "data" / part / f"{i:04}.png")


def _colored(images: _Picture) -> _Picture:
    """Pad to 32×32 and tint each picture, by its position's seed."""
    tints = np.random.default_rng(14).uniform(0.5, 1, (len(images), 1, 1, 3))
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None]
    colored: _Picture = (padded * tints).round().astype(np.uint8)
    return colored


def _save(folder: Path, model: nn.Module, outputs: list[str], *, labelled: bool) -> None:
    example, axes = {"image": torch.randn(2, 1, 28, 28)}, {"image": {0: "batch"}}
    save(export(model, example, outputs, axes, "dynamo", 18), folder / "model.onnx")
    parts: dict[str, Arrays] = {}
    for part, (images, labels) in _pictures().items():
        parts[part] = {"image": _normalised(images), **({"labels": labels} if labelled else {})}
    save_parts(parts, folder / "data.npz")
