"""Reductions over axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from natonnx.supernet.ops.operands import integers, normalized
from natonnx.supernet.ops.registry import register

if TYPE_CHECKING:
    from natonnx.supernet.ops.registry import Kernel, OpSpec

Axes: TypeAlias = tuple[int, ...]
Reduction: TypeAlias = Callable[[Tensor, Axes], Tensor]
"""Reduces over at least one axis, none of them negative, and keeps them with length one."""


def _sum(x: Tensor, axes: Axes) -> Tensor:
    return x.sum(axes, keepdim=True, dtype=x.dtype)


def _mean(x: Tensor, axes: Axes) -> Tensor:
    if x.is_floating_point():
        return x.mean(axes, keepdim=True)
    return torch.div(_sum(x, axes), math.prod(x.shape[axis] for axis in axes), rounding_mode="trunc")


def _prod(x: Tensor, axes: Axes) -> Tensor:
    return reduce(lambda y, axis: y.prod(axis, keepdim=True, dtype=x.dtype), axes, x)


def _max(x: Tensor, axes: Axes) -> Tensor:
    return x.amax(axes, keepdim=True) if x.numel() else _of_nothing(x, axes, largest=False)


def _min(x: Tensor, axes: Axes) -> Tensor:
    return x.amin(axes, keepdim=True) if x.numel() else _of_nothing(x, axes, largest=True)


def _l1(x: Tensor, axes: Axes) -> Tensor:
    return _sum(x.abs(), axes)


def _l2(x: Tensor, axes: Axes) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x if x.is_floating_point() else x.float(), 2, axes, keepdim=True)
    return norm.to(x.dtype)


def _sum_square(x: Tensor, axes: Axes) -> Tensor:
    return _sum(x * x, axes)


def _log_sum(x: Tensor, axes: Axes) -> Tensor:
    return _sum(x, axes).log()


def _log_sum_exp(x: Tensor, axes: Axes) -> Tensor:
    return x.logsumexp(axes, keepdim=True)


def _of_nothing(x: Tensor, axes: Axes, *, largest: bool) -> Tensor:
    """Return the extreme of no elements at all: the type's other end."""
    if x.dtype == torch.bool:
        end: float = largest
    elif x.is_floating_point():
        end = math.inf if largest else -math.inf
    else:
        end = torch.iinfo(x.dtype).max if largest else torch.iinfo(x.dtype).min
    return x.new_full([1 if axis in axes else size for axis, size in enumerate(x.shape)], end)


_REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": _sum,
    "ReduceMean": _mean,
    "ReduceProd": _prod,
    "ReduceMax": _max,
    "ReduceMin": _min,
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceSumSquare": _sum_square,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
}


@register(*_REDUCTIONS, host=(1,))
def reduction(spec: OpSpec) -> Kernel:
    """Reduce over the given axes, or over all.

    The axes are an attribute at first and an input later (ReduceSum from opset 13, the others from 18). No axes mean
    all, unless `noop_with_empty_axes`: then each element is reduced alone, over an axis of one that is added for it.
    """
    function = _REDUCTIONS[spec.op_type]
    keep = bool(spec.integer("keepdims", 1))
    fixed = spec.integers("axes")
    noop = bool(spec.integer("noop_with_empty_axes"))

    def kernel(x: Tensor, operand: Tensor | None = None) -> Tensor:
        axes = fixed if operand is None else integers(operand)
        if not axes and (noop or not x.ndim):
            return function(x.unsqueeze(-1), (x.ndim,)).squeeze(-1)
        chosen = normalized(axes, x.ndim) if axes else tuple(range(x.ndim))
        y = function(x, chosen)
        return y if keep else y.squeeze(chosen)

    return kernel
