"""Order along an axis: sorted, running and distinct values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from natonnx.supernet.ops.operands import integers
from natonnx.supernet.ops.registry import register

if TYPE_CHECKING:
    from natonnx.supernet.ops.registry import Kernel, OpSpec


@register("ArgMax", "ArgMin")
def arg_extreme(spec: OpSpec) -> Kernel:
    """Find the extreme element along an axis: the first of equal ones, or the last on demand."""
    function = torch.argmax if spec.op_type == "ArgMax" else torch.argmin
    axis, keep = spec.integer("axis"), bool(spec.integer("keepdims", 1))
    last = bool(spec.integer("select_last_index"))

    def kernel(x: Tensor) -> Tensor:
        if not last:
            return function(x, axis, keepdim=keep)
        return x.shape[axis] - 1 - function(x.flip(axis), axis, keepdim=keep)

    return kernel


@register("TopK", host=(1,))
def top_k(spec: OpSpec) -> Kernel:
    """Take the first elements in sorted order and their positions; of equal ones the earlier goes first.

    How many is an attribute until opset 9, an input from 10. Where the node wants no order, this one is as good.
    """
    axis, largest = spec.integer("axis", -1), bool(spec.integer("largest", 1))
    fixed = spec.integer("k")

    def kernel(x: Tensor, k: Tensor | None = None) -> tuple[Tensor, Tensor]:
        count = fixed if k is None else int(k.item())
        values, positions = x.sort(dim=axis, descending=largest, stable=True)
        return values.narrow(axis, 0, count), positions.narrow(axis, 0, count)

    return kernel


@register("CumSum", "CumProd", host=(1,))
def cumulative(spec: OpSpec) -> Kernel:
    """Accumulate along an axis, from either end, with or without the element itself."""
    function = torch.cumsum if spec.op_type == "CumSum" else torch.cumprod
    neutral = float(spec.op_type == "CumProd")
    exclusive, reverse = bool(spec.integer("exclusive")), bool(spec.integer("reverse"))

    def kernel(x: Tensor, axis: Tensor) -> Tensor:
        (along,) = integers(axis)
        y = x.flip(along) if reverse else x
        if exclusive:
            first = torch.full_like(y.narrow(along, 0, 1), neutral)
            y = torch.cat((first, y.narrow(along, 0, y.shape[along] - 1)), along)
        y = function(y, along, dtype=x.dtype)
        return y.flip(along) if reverse else y

    return kernel


@register("Unique")
def unique(spec: OpSpec) -> Kernel:
    """Return the distinct elements, or slices along an axis, in sorted order or that of their first appearance.

    Further outputs are where each appears first, which of them each element is, and how often each appears.
    """
    axis, in_order = spec.attributes.get("axis"), bool(spec.integer("sorted", 1))

    def kernel(x: Tensor) -> Tensor | tuple[Tensor, ...]:
        along = 0 if axis is None else axis
        x = x.flatten() if axis is None else x
        _, which, counts = torch.unique(x, dim=along, return_inverse=True, return_counts=True)
        positions = torch.arange(len(which), device=x.device)
        firsts = torch.full_like(counts, len(which)).scatter_reduce(0, which, positions, "amin")
        if not in_order:
            order = firsts.argsort()
            firsts, counts, which = firsts[order], counts[order], order.argsort()[which]
        outputs = (x.index_select(along, firsts), firsts, which, counts)[: spec.n_outputs]
        return outputs if len(outputs) > 1 else outputs[0]

    return kernel
