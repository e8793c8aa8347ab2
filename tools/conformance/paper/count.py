"""Parameters and multiply-adds of a torch model, counted by running it, in two ways."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Count", "count", "count_as_the_authors"]


class Count(NamedTuple):
    """Trainable scalars, and multiply-adds of convolutions and linear layers per sample."""

    params: int
    madds: int


def count(model: nn.Module, inputs: Sequence[Tensor], *, folded: bool) -> Count:
    """Count a model: every convolution and linear layer by the size of its output.

    Args:
        model: Any model of convolutions, BN and linear layers.
        inputs: A batch.
        folded: Whether to count a BN behind a convolution as the bias that an exporter makes of it.
    """
    madds = 0

    def add(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal madds
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        madds += output[0].numel() * module.weight[0].numel()

    _run(model, inputs, add)
    params = sum(parameter.numel() for parameter in model.parameters())
    if folded:
        for module in model.modules():
            children = list(module.children()) if isinstance(module, nn.Sequential) else []
            for conv, norm in itertools.pairwise(children):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    params -= norm.weight.numel() if conv.bias is None else 2 * norm.weight.numel()
    return Count(params, madds)


def count_as_the_authors(model: nn.Module, inputs: Sequence[Tensor]) -> float:
    """Multiply-adds as the authors' released counter has them.

    It takes the size of a convolution's input, and divides it by the stride of one axis, once: a convolution of stride
    2 counts double.
    """
    madds = 0.0

    def add(module: nn.Module, arguments: tuple[Tensor, ...], _: Tensor) -> None:
        nonlocal madds
        if isinstance(module, nn.Linear):
            madds += module.weight.numel()
            return
        assert isinstance(module, nn.Conv2d)
        height, width = arguments[0].shape[2:]
        madds += module.weight.numel() * height * width / module.stride[1]  # the weight has its groups divided out

    _run(model, inputs, add)
    return madds


def _run(model: nn.Module, inputs: Sequence[Tensor], hook: object) -> None:
    handles = [
        module.register_forward_hook(hook)  # type: ignore[arg-type]
        for module in model.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    with torch.no_grad():
        model.eval()(*inputs)
    for handle in handles:
        handle.remove()
