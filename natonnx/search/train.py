"""One pass over the training split: w ← w − η·∇L(β, w), with distillation from the original model."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.data import random_shift_flip
from natonnx.search.objective import Outputs
from natonnx.search.problem import Problem
from natonnx.search.runner import Runner, forward, tensor_batches
from natonnx.search.settings import Settings
from natonnx.supernet import Supernet

__all__ = ["make_optimizer", "train_epoch"]

_CLIP = 5.0
_WEIGHT_DECAY = 5e-4
_MOMENTUM = 0.9


def make_optimizer(supernet: Supernet, learning_rate: float) -> torch.optim.SGD:
    """Make SGD with Nesterov momentum; weight decay spares biases, scales and shifts, which extend along one axis."""
    parameters = [parameter for parameter in supernet.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if _is_matrix(p)], "weight_decay": _WEIGHT_DECAY},
        {"params": [p for p in parameters if not _is_matrix(p)], "weight_decay": 0.0},
    ]
    return torch.optim.SGD([g for g in groups if g["params"]], learning_rate, _MOMENTUM, nesterov=True)


def _is_matrix(parameter: Tensor) -> bool:
    return sum(size > 1 for size in parameter.shape) > 1


def train_epoch(
    problem: Problem,
    supernet: Supernet,
    optimizer: torch.optim.Optimizer,
    sample: Callable[[], Architecture],
    *,
    original: Runner,
    settings: Settings,
    generator: torch.Generator,
    learning_rate: Callable[[float], float] | None = None,
) -> float:
    """Train the shared weights for one pass over the training split.

    The loss is the objective's own, mixed with that of agreement with the original model: distillation. Where the
    objective is agreement, the two are one.

    Args:
        problem: Data and objective.
        supernet: The supernet; its weights change.
        optimizer: Over its parameters.
        sample: Draws the architecture of each step, from p(β).
        original: The original model.
        settings: Batch size, and the share of distillation.
        generator: Of the order of the samples and of augmentation.
        learning_rate: From the fraction of the pass that is done to the rate; the optimizer's own where None. Where the
            number of samples is not known, a pass has the rate of its beginning.

    Returns:
        Mean loss.
    """
    supernet.train()
    objective, share = problem.objective, settings.distillation
    captures = {**objective.captures, **(problem.distillation.loss_captures if share else {})}
    losses: list[float] = []
    count = problem.train.samples
    steps = None if count is None else -(-count // settings.batch)
    batches = tensor_batches(problem.train, settings.batch, problem.device, generator)
    for step, batch in enumerate(batches):
        if learning_rate is not None:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(0.0 if steps is None else min(step / steps, 1.0))
        inputs = augmented(batch.inputs, problem, generator)
        follows = objective.loss_follows_original or bool(share)
        taught = original(inputs, batch.size) if follows else {}
        with torch.enable_grad():  # whatever the program that calls has set
            outputs = forward(supernet, inputs, batch.size, sample(), captures)
            loss = _loss(problem, outputs, batch.targets, taught, share)
        if loss.requires_grad:  # an architecture may have no weights left
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(supernet.parameters(), _CLIP)
            if norm.isfinite():  # else one architecture that diverged would take the shared weights with it
                optimizer.step()
        losses.append(float(loss.detach()))
    return sum(losses) / max(1, len(losses))


def _loss(problem: Problem, outputs: Outputs, labels: Tensor | None, taught: Outputs, share: float) -> Tensor:
    objective = problem.objective
    if objective is problem.distillation:
        return objective.loss(outputs, taught)
    targets = taught if objective.loss_follows_original else labels
    assert targets is not None, "a loss by labels needs them"
    own = objective.loss(outputs, targets)
    return own if not share else (1 - share) * own + share * problem.distillation.loss(outputs, taught)


def augmented(inputs: Mapping[str, Tensor], problem: Problem, generator: torch.Generator) -> Mapping[str, Tensor]:
    """Change images at random; a model of several inputs has none that can be changed alone."""
    if problem.augment == "none" or len(inputs) != 1:
        return inputs
    return {name: random_shift_flip(value, problem.augment, generator) for name, value in inputs.items()}
