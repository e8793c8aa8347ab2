"""One pass over the training split: w ← w − η·∇L(β, w), with distillation from the original model."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from natonnx.architecture import Architecture
from natonnx.data import random_shift_flip
from natonnx.data.dataset import Augment
from natonnx.search.score import TensorSplit
from natonnx.supernet import Supernet

__all__ = ["Teacher", "make_optimizer", "train_epoch"]

_CLIP = 5.0
_TEMPERATURE = 2.0
_WEIGHT_DECAY = 5e-4
_MOMENTUM = 0.9

Teacher = Callable[[Tensor], Tensor]
"""The original model: from a batch to its outputs."""


def make_optimizer(supernet: Supernet, learning_rate: float) -> torch.optim.SGD:
    """SGD with Nesterov momentum; weight decay spares biases, scales and normalisation, which extend along one axis."""
    parameters = [parameter for parameter in supernet.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if _is_matrix(p)], "weight_decay": _WEIGHT_DECAY},
        {"params": [p for p in parameters if not _is_matrix(p)], "weight_decay": 0.0},
    ]
    return torch.optim.SGD([g for g in groups if g["params"]], learning_rate, _MOMENTUM, nesterov=True)


def _is_matrix(parameter: Tensor) -> bool:
    return sum(size > 1 for size in parameter.shape) > 1


def train_epoch(
    supernet: Supernet,
    optimizer: torch.optim.Optimizer,
    split: TensorSplit,
    sample: Callable[[], Architecture],
    *,
    teacher: Teacher,
    distillation: float,
    batch: int,
    augment: Augment,
    generator: torch.Generator,
    learning_rate: Callable[[float], float] | None = None,
) -> float:
    """Train the shared weights for one pass.

    Args:
        supernet: The supernet; its weights change.
        optimizer: Over its parameters.
        split: The training split.
        sample: Draws the architecture of each step, from p(β).
        teacher: Whose outputs are followed beside the labels.
        distillation: Share of the loss that follows the teacher.
        batch: Samples a step.
        augment: What may be done to images.
        generator: Of the order of the samples and of augmentation.
        learning_rate: From the fraction of the pass that is done to the rate; the optimizer's own where None.

    Returns:
        Mean loss.
    """
    supernet.train()
    supernet.momentum = None
    losses: list[float] = []
    steps = -(-len(split.labels) // batch)
    for step, (inputs, labels) in enumerate(split.batches(batch, generator)):
        if learning_rate is not None:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step / steps)
        images = random_shift_flip(inputs, augment, generator)
        target = teacher(images) if distillation else None
        with torch.enable_grad():  # whatever the program that calls has set
            loss = _loss(supernet(images, sample()), labels, target, distillation)
        if loss.requires_grad:  # an architecture may have no weights left
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(supernet.parameters(), _CLIP)
            optimizer.step()
        losses.append(float(loss.detach()))
    return sum(losses) / max(1, len(losses))


def _loss(logits: Tensor, labels: Tensor, target: Tensor | None, distillation: float) -> Tensor:
    logits = logits.flatten(1)
    loss = functional.cross_entropy(logits, labels)
    if target is None:
        return loss
    soft = functional.kl_div(
        torch.log_softmax(logits / _TEMPERATURE, 1),
        torch.log_softmax(target.flatten(1) / _TEMPERATURE, 1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - distillation) * loss + distillation * _TEMPERATURE**2 * soft
