"""Train a torch model on the parts of an archive, and export it with what natonnx has to know of its data."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from natonnx.data import InputSpec, Parts, Preprocessing, Signature, load, random_shift_flip
from tools.benchmarks.subjects import training as adaptive
from tools.benchmarks.subjects.training import one_thread
from tools.upkeep import train_models
from tools.upkeep.dynamo import export_dynamo
from tools.upkeep.export import quiet, save

__all__ = ["CIFAR", "Recipe", "make_model"]

_MEAN, _STD = (0.4913, 0.4821, 0.4465), (0.2452, 0.2428, 0.2606)
_BATCH = 64
_OPSET = 18


@dataclass(frozen=True)
class Recipe:
    """How β is trained: by SGD as the models of `models/` are, or by AdamW under a one-cycle schedule.

    Attributes:
        epochs: Passes over the training part.
        adaptive: Whether by AdamW.
        rate: Its highest learning rate.
        seed: Of everything random.
    """

    epochs: int = 20
    adaptive: bool = False
    rate: float = 3e-3
    seed: int = 0


CIFAR = Recipe()


def make_model(build: Callable[[], nn.Module], data: Path, path: Path, recipe: Recipe) -> Path:
    """Train a model, and write it as ONNX of a dynamic batch, with its normalisation kept; the path is returned."""
    signature = Signature((InputSpec("image", (None, 3, 32, 32), np.dtype(np.float32)),), 10)
    preprocessing = Preprocessing(mean=_MEAN, std=_STD, augment="shift-flip")
    parts = load(str(data), signature, preprocessing=preprocessing)
    with one_thread(recipe.seed):
        model = build()
        train_adaptively(model, parts, recipe) if recipe.adaptive else _train(model, parts, recipe)
    return save(_export(model, preprocessing), path)


def _train(model: nn.Module, parts: Parts, recipe: Recipe) -> None:
    train_models.train(model, parts, recipe.epochs, recipe.seed)


def train_adaptively(model: nn.Module, parts: Parts, recipe: Recipe) -> None:
    """Train by AdamW on random minibatches, shifted and mirrored at random."""
    images, labels = map(torch.from_numpy, train_models.arrays(parts.train))
    generator = torch.Generator().manual_seed(recipe.seed)

    def loss(_step: int) -> Tensor:
        chosen = torch.randint(len(labels), (_BATCH,), generator=generator)
        scores = model(random_shift_flip(images[chosen], parts.augment, generator))
        return F.cross_entropy(scores, labels[chosen], label_smoothing=train_models.SMOOTHING)

    adaptive.train(model, loss, recipe.epochs * len(labels) // _BATCH, recipe.rate)


def _export(model: nn.Module, preprocessing: Preprocessing) -> onnx.ModelProto:
    with quiet():
        proto = export_dynamo(model, [torch.zeros(2, 3, 32, 32)], ["image"], "logits", _OPSET, keep_norm=True)
    for node in proto.graph.node:
        if len(node.input) > 1 and node.input[1].endswith(".weight"):
            node.name = node.input[1].removesuffix(".weight")
    assert preprocessing.mean is not None
    assert preprocessing.std is not None
    numbers = {"mean": preprocessing.mean, "std": preprocessing.std}
    properties = {f"natonnx.{key}": ",".join(map(str, value)) for key, value in numbers.items()}
    onnx.helper.set_model_props(proto, {**properties, "natonnx.augment": preprocessing.augment})
    return proto
