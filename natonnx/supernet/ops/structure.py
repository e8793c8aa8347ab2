"""Rearrangement of a tensor's elements without changing any: views, joins, cuts and look-ups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from natonnx.supernet.ops.operands import integers, normalized, shifted
from natonnx.supernet.ops.placement import moved
from natonnx.supernet.ops.registry import register, register_kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from natonnx.supernet.ops.registry import Kernel, OpSpec


@register("Dropout", host=(1, 2))
def dropout(spec: OpSpec) -> Kernel:
    """Pass everything, in training too: search and fine-tuning run without dropout, whatever the file says."""
    mask_is_boolean = spec.opset >= 10

    def with_mask(x: Tensor, *_ratio_and_mode: Tensor | None) -> tuple[Tensor, Tensor]:
        return x, torch.ones_like(x, dtype=torch.bool if mask_is_boolean else x.dtype)

    return with_mask if spec.n_outputs > 1 else lambda x, *_ratio_and_mode: x


@register("Flatten")
def flatten(spec: OpSpec) -> Kernel:
    """Make a matrix: the axes before a given one, and the others."""
    axis = spec.integer("axis", 1)

    def kernel(x: Tensor) -> Tensor:
        return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))

    return kernel


@register("Reshape", host=(1,))
def reshape(spec: OpSpec) -> Kernel:
    """Reshape; 0 copies the input's size unless `allowzero`, and -1 is what remains."""
    copies_zero = not spec.integer("allowzero")
    fixed = spec.integers("shape")

    def kernel(x: Tensor, operand: Tensor | None = None) -> Tensor:
        shape: Sequence[int] = (fixed or ()) if operand is None else integers(operand)
        if copies_zero:
            shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
        return x.reshape(shape)

    return kernel


@register("Transpose")
def transpose(spec: OpSpec) -> Kernel:
    """Permute axes, by default into reverse order."""
    permutation = spec.integers("perm")
    return lambda x: x.permute(tuple(reversed(range(x.ndim))) if permutation is None else permutation)


@register("Squeeze", host=(1,))
def squeeze(spec: OpSpec) -> Kernel:
    """Drop axes of length one, by default all; the axes are an attribute until opset 12, an input from 13."""
    fixed = spec.integers("axes")

    def kernel(x: Tensor, operand: Tensor | None = None) -> Tensor:
        axes = fixed if operand is None else tuple(integers(operand))
        return x.squeeze() if axes is None else x.squeeze(axes)

    return kernel


@register("Unsqueeze", host=(1,))
def unsqueeze(spec: OpSpec) -> Kernel:
    """Insert axes of length one, counted in the result; an attribute until opset 12, an input from 13."""
    fixed = spec.integers("axes") or ()

    def kernel(x: Tensor, operand: Tensor | None = None) -> Tensor:
        axes = fixed if operand is None else integers(operand)
        for axis in sorted(normalized(axes, x.ndim + len(axes))):
            x = x.unsqueeze(axis)
        return x

    return kernel


@register("Concat")
def concat(spec: OpSpec) -> Kernel:
    """Join along an axis."""
    axis = spec.integer("axis", 1)
    return lambda *operands: torch.cat(operands, axis)


@register("Split", host=(1,))
def split(spec: OpSpec) -> Kernel:
    """Cut along an axis: into given sizes, or evenly with a smaller last part."""
    axis = spec.integer("axis")
    parts = spec.integer("num_outputs", spec.n_outputs)
    fixed = spec.integers("split")

    def kernel(x: Tensor, operand: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        sizes = list(fixed or ()) if operand is None else integers(operand)
        if not sizes:
            total = x.shape[axis]
            step = -(-total // parts)
            sizes = [max(min(step, total - step * part), 0) for part in range(parts)]
        pieces = x.split_with_sizes(sizes, axis)
        return tuple(pieces) if len(pieces) > 1 else pieces[0]

    return kernel


@register("Slice", host=(1, 2, 3, 4))
def slice_(spec: OpSpec) -> Kernel:
    """Cut a range out of each axis; bounds are attributes until opset 9, inputs from 10, which may step backwards."""
    if spec.opset < 10:
        starts, ends = spec.integers("starts") or (), spec.integers("ends") or ()
        fixed_axes = spec.integers("axes") or range(len(starts))
        return lambda x: _cut(x, starts, ends, fixed_axes, (1,) * len(starts))

    def kernel(
        x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
    ) -> Tensor:
        firsts = integers(starts)
        chosen = range(len(firsts)) if axes is None else integers(axes)
        strides = (1,) * len(firsts) if steps is None else integers(steps)
        return _cut(x, firsts, integers(ends), chosen, strides)

    return kernel


def _cut(x: Tensor, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int]) -> Tensor:
    """Slice as Python does, whose rules for negative and excessive bounds are ONNX's; torch steps only forwards.

    Bounds are brought within the axis first: torch warns of 2⁶³ − 1, by which exporters mean the end.
    """
    for start, end, axis, step in zip(starts, ends, normalized(axes, x.ndim), steps, strict=True):
        entries = range(x.shape[axis])[start:end:step]
        if step > 0:
            x = x[(slice(None),) * axis + (slice(entries.start, entries.stop, step),)]
        else:
            x = x.index_select(axis, moved(torch.tensor(list(entries), dtype=torch.int64), x.device))
    return x


@register("Gather")
def gather(spec: OpSpec) -> Kernel:
    """Look up entries along an axis; indices may be negative, and their shape takes the axis's place."""
    axis = spec.integer("axis")

    def kernel(x: Tensor, indices: Tensor) -> Tensor:
        at = axis % x.ndim
        if not indices.ndim and indices.device.type == "cpu":  # a number, such as in arithmetic with shapes
            return x.select(at, int(indices))
        indices = shifted(indices, x.shape[at], x)
        if at == 0 and x.ndim == 2 and x.is_floating_point():
            return functional.embedding(indices, x)
        shape = (*x.shape[:at], *indices.shape, *x.shape[at + 1 :])
        return x.index_select(at, indices.reshape(-1)).reshape(shape)

    return kernel


@register("Trilu", host=(1,))
def trilu(spec: OpSpec) -> Kernel:
    """Keep the upper or the lower triangle of each matrix, from a diagonal on."""
    function = torch.triu if spec.integer("upper", 1) else torch.tril
    return lambda x, diagonal=None: function(x, 0 if diagonal is None else int(diagonal.item()))


def _expand(x: Tensor, shape: Tensor) -> Tensor:
    """Broadcast against a shape; unlike in torch a 1 in the shape leaves the input's size."""
    return x.expand(torch.broadcast_shapes(x.shape, tuple(integers(shape))))  # type: ignore[no-untyped-call]


def _tile(x: Tensor, repeats: Tensor) -> Tensor:
    """Repeat along each axis."""
    return x.tile(integers(repeats))


register_kernels({"Identity": lambda x: x})
register_kernels({"Expand": _expand, "Tile": _tile}, host=(1,))
