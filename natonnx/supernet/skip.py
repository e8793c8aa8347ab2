"""The parameter-free skip in torch."""

import functools

from torch import Tensor
from torch.nn import functional

from natonnx.architecture import Skip
from natonnx.supernet.ops import Kernel

__all__ = ["skip_kernel"]

_POOLS = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


def skip_kernel(skip: Skip) -> Kernel:
    """Average pooling by an integer ratio, then zero channels appended; identity where neither is needed."""
    return functools.partial(_run, skip=skip)


def _run(x: Tensor, skip: Skip) -> Tensor:
    if skip.pool:
        x = _POOLS[len(skip.pool)](x, skip.pool)
    if skip.pad_channels:
        x = functional.pad(x, [0, 0] * (skip.rank - 2) + [0, skip.pad_channels])
    return x
