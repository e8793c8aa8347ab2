"""Parameters and multiply-adds of a torch model, counted by running it, in two ways."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["Count", "count", "count_as_the_authors", "count_both"]


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
    return count_both(model, inputs, folded=folded)[0]


def count_as_the_authors(model: nn.Module, inputs: Sequence[Tensor]) -> float:
    """Multiply-adds as the authors' released counter has them.

    It takes the size of a convolution's input, and divides it by the stride of one axis, once: a convolution of stride
    2 counts double.
    """
    return count_both(model, inputs, folded=False)[1]


def count_both(model: nn.Module, inputs: Sequence[Tensor], *, folded: bool) -> tuple[Count, float]:
    """`count` and `count_as_the_authors` by one run."""
    madds, authors = 0, 0.0

    def add(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal madds, authors
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        madds += output[0].numel() * module.weight[0].numel()
        if isinstance(module, nn.Linear):
            authors += module.weight.numel()
            return
        height, width = arguments[0].shape[2:]
        authors += module.weight.numel() * height * width / module.stride[1]  # the weight has its groups divided out

    handles = [
        module.register_forward_hook(add) for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    with torch.no_grad(), _SizesOnly():
        model.eval()(*inputs)
    for handle in handles:
        handle.remove()
    return Count(_params(model, folded=folded), madds), authors


class _SizesOnly(TorchFunctionMode):
    """Leave out what changes no size: on the device meta, torch takes most of its time for BN and ReLU."""

    def __torch_function__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in (functional.batch_norm, functional.relu):
            return args[0]
        return func(*args, **(kwargs or {}))


def _params(model: nn.Module, *, folded: bool) -> int:
    params = sum(parameter.numel() for parameter in model.parameters())
    if folded:
        for module in model.modules():
            children = list(module.children()) if isinstance(module, nn.Sequential) else []
            for conv, norm in itertools.pairwise(children):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    params -= norm.weight.numel() if conv.bias is None else 2 * norm.weight.numel()
    return params
