"""Train one architecture for itself."""

import math
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.search.assess import assess
from natonnx.search.problem import Problem
from natonnx.search.runner import Runner
from natonnx.search.score import reestimate
from natonnx.search.settings import Settings
from natonnx.search.state import Finetuned
from natonnx.search.train import make_optimizer, train_epoch
from natonnx.supernet import Supernet

__all__ = ["finetune"]


def finetune(
    problem: Problem,
    architecture: Architecture,
    settings: Settings,
    *,
    epochs: int,
    start: Mapping[str, Tensor] | None,
    original: Runner,
) -> Finetuned:
    """Fine-tune an architecture, then re-estimate its statistics on the training split.

    The order of the samples and the augmentation depend on the seed alone: every architecture sees the same.

    Args:
        problem: Network and data.
        architecture: α, or β.
        settings: Settings.
        epochs: Passes over the training split.
        start: Weights to start from (a supernet's state); the file's own where None.
        original: The original model.
    """
    supernet = Supernet(problem.network).to(problem.device)
    if start is not None:
        supernet.load_state_dict(start)
    optimizer = make_optimizer(supernet, settings.finetune_learning_rate)
    generator = torch.Generator().manual_seed(settings.seed)
    for epoch in range(epochs):
        train_epoch(
            problem,
            supernet,
            optimizer,
            lambda: architecture,
            original=original,
            settings=settings,
            generator=generator,
            learning_rate=partial(_cosine, settings.finetune_learning_rate, epoch, epochs),
        )
    reestimate(supernet, architecture, problem.train, problem.device, problem.objective.captures)
    return Finetuned(supernet.weights(), assess(problem, supernet, architecture, original))


def _cosine(start: float, epoch: int, epochs: int, part: float) -> float:
    """Return the learning rate behind a part of an epoch: half a cosine from `start` to 0 over all epochs."""
    return start * 0.5 * (1 + math.cos(math.pi * (epoch + part) / epochs))
