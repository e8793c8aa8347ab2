"""Random weights in healthy ranges."""

import torch
from torch import Tensor, nn

__all__ = ["randomise"]


def randomise(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Give every normalisation random parameters, and BN statistics that are near, not equal to, the true ones.

    A fresh model will not do: an exporter ties equal tensors, so all its LayerNorm weights would become one.
    """
    norms = [module for module in model.modules() if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm))]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.1)
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 1.0  # the next batch alone
        model.train()
        model(*inputs)
        model.eval()
        for norm in norms:
            if isinstance(norm, nn.BatchNorm2d):
                mean, variance = norm.running_mean, norm.running_var
                assert mean is not None
                assert variance is not None
                norm.momentum = 0.1
                mean += 0.1 * variance.sqrt() * torch.randn_like(mean)
                variance *= torch.empty_like(variance).uniform_(0.5, 1.5)
