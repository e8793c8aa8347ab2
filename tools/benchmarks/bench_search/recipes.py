"""How an α is trained: by natonnx's own recipe, or by that of 2025, frozen here."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from natonnx.architecture import Architecture
from natonnx.data import random_shift_flip
from natonnx.search import Labels
from natonnx.search.finetune import Finetuning, Limit
from natonnx.search.look import Looker, as_arrays, refit_on
from natonnx.search.runner import supernet_runner, tensor_batches
from natonnx.search.score import reestimate
from natonnx.supernet import Supernet
from tools.benchmarks.bench_search.task import Found, Images, Task

__all__ = ["Weights", "train", "train_2025"]

Weights = Mapping[str, np.ndarray]

_REFIT = 640
_RATE, _MOMENTUM, _DECAY, _CLIP = 0.02, 0.9, 5e-4, 5.0
_SHARE, _TEMPERATURE = 0.5, 2.0
_BATCH, _STATISTICS = 64, 500


def train(task: Task, alpha: Architecture, look_ups: float = 0.0, *, refit: bool = True) -> Found:
    """Train an α by natonnx's recipe with all images that are left.

    Args:
        task: Network, data and budget.
        alpha: The architecture.
        look_ups: Images' worth that went into its choice.
        refit: Whether it may start from refitted weights, where these score better than the file's.
    """
    start: Weights = {}
    if refit:
        looker = Looker(task.problem, task.given, task.original, task.seed)
        fitter, samples = refit_on(task.problem, task.given, _REFIT, task.seed)
        changed, _ = fitter.run(alpha)
        better = looker.score(alpha, changed).ranking > looker.score(alpha, {}).ranking
        start = as_arrays(changed) if better else {}
        look_ups += (samples + looker.images) / 3
    limit = Limit(round(0.75 * (task.budget - look_ups)))  # the teacher's forward a third
    training = Finetuning(task.problem, alpha, task.settings, original=task.original, limit=limit, start=start)
    training.run(1.0)
    training.settle()
    return Found(
        alpha,
        training.supernet.weights(),
        Images(look_ups, training.images, training.images / 3 if training.follows else 0.0),
        training.images,
    )


def train_2025(task: Task, alpha: Architecture, look_ups: float = 0.0) -> Found:
    """Train an α as in 2025: from the file's weights, SGD at 0.02 along a cosine, half of the loss distillation.

    Args:
        task: Network, data and budget.
        alpha: The architecture.
        look_ups: Images' worth that went into its choice.
    """
    problem = task.problem
    assert isinstance(problem.objective, Labels), "the recipe is one of classifiers"
    captures = problem.objective.captures
    logits = next(iter(captures))
    supernet = Supernet(problem.network).to(problem.device)
    teacher = supernet_runner(task.given, problem.network.architecture, captures)
    optimizer = _make_optimizer(supernet)
    generator = torch.Generator().manual_seed(task.seed)
    limit, done = 0.75 * (task.budget - look_ups), 0
    while done < limit:
        supernet.train()
        for batch in tensor_batches(problem.train, _BATCH, problem.device, generator):
            for group in optimizer.param_groups:
                group["lr"] = _RATE * 0.5 * (1 + math.cos(math.pi * min(1.0, done / limit)))
            inputs = {k: random_shift_flip(v, problem.augment, generator) for k, v in batch.inputs.items()}
            taught = teacher(inputs, batch.size)[logits].flatten(1)
            scores = supernet.run(inputs, alpha, [logits])[logits].flatten(1)
            assert batch.targets is not None
            loss = (1 - _SHARE) * F.cross_entropy(scores, batch.targets) + _SHARE * _distillation(scores, taught)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(supernet.parameters(), _CLIP)
            optimizer.step()
            done += batch.size
            if done >= limit:
                break
    samples = problem.train.sample(_STATISTICS, torch.Generator().manual_seed(task.seed))
    reestimate(supernet, alpha, samples, problem.device, captures)
    return Found(alpha, supernet.weights(), Images(look_ups, done, done / 3), done)


def _distillation(scores: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """Return the divergence from the teacher at a temperature (Hinton et al. 2015)."""
    student, target = (torch.log_softmax(value / _TEMPERATURE, 1) for value in (scores, taught))
    return _TEMPERATURE**2 * F.kl_div(student, target, reduction="batchmean", log_target=True)


def _make_optimizer(supernet: Supernet) -> torch.optim.SGD:
    """Make SGD with Nesterov momentum; weight decay is for what extends along two axes at least."""
    parameters = [parameter for parameter in supernet.parameters() if parameter.requires_grad]
    is_matrix = [sum(size > 1 for size in parameter.shape) > 1 for parameter in parameters]
    matrices = [parameter for parameter, found in zip(parameters, is_matrix, strict=True) if found]
    others = [parameter for parameter, found in zip(parameters, is_matrix, strict=True) if not found]
    groups = [{"params": matrices, "weight_decay": _DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, _RATE, _MOMENTUM, nesterov=True)
