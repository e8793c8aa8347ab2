"""Train one architecture for itself."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.search.problem import Problem
from natonnx.search.score import evaluate, reestimate
from natonnx.search.settings import Settings
from natonnx.search.state import Finetuned
from natonnx.search.train import Teacher, make_optimizer, train_epoch
from natonnx.supernet import Supernet

__all__ = ["finetune"]


def finetune(
    problem: Problem,
    architecture: Architecture,
    settings: Settings,
    *,
    epochs: int,
    start: Mapping[str, Tensor] | None,
    teacher: Teacher,
) -> Finetuned:
    """Fine-tune an architecture, then re-estimate its statistics on the training split.

    The order of the samples and the augmentation depend on the seed alone: every architecture sees the same.

    Args:
        problem: Network and data.
        architecture: α, or β.
        settings: Settings.
        epochs: Passes over the training split.
        start: Weights to start from (a supernet's state); the file's own where None.
        teacher: The original model.
    """
    supernet = Supernet(problem.network).to(problem.device)
    if start is not None:
        supernet.load_state_dict(start)
    optimizer = make_optimizer(supernet, settings.finetune_learning_rate)
    generator = torch.Generator().manual_seed(settings.seed)
    for epoch in range(epochs):
        train_epoch(
            supernet,
            optimizer,
            problem.train,
            lambda: architecture,
            teacher=teacher,
            distillation=settings.distillation,
            batch=settings.batch,
            augment=problem.augment,
            generator=generator,
            learning_rate=lambda part, epoch=epoch: _cosine(settings.finetune_learning_rate, (epoch + part) / epochs),  # type: ignore[misc]
        )
    reestimate(supernet, architecture, problem.train.inputs)
    return Finetuned(supernet.weights(), evaluate(supernet, architecture, problem.validation, problem.reward))


def _cosine(start: float, done: float) -> float:
    return start * 0.5 * (1 + math.cos(math.pi * done))
