"""Reading and writing at computed positions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from natonnx.supernet.ops.operands import integers, reverse_sequences, shifted
from natonnx.supernet.ops.placement import moved
from natonnx.supernet.ops.registry import register, register_kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from natonnx.supernet.ops.registry import Kernel, OpSpec

_REDUCTIONS = {"add": "sum", "mul": "prod", "min": "amin", "max": "amax"}


@register("GatherElements")
def gather_elements(spec: OpSpec) -> Kernel:
    """Read one element along an axis for each index."""
    axis = spec.integer("axis")
    return lambda x, indices: x.gather(axis, shifted(indices, x.shape[axis], x))


@register("GatherND")
def gather_nd(spec: OpSpec) -> Kernel:
    """Read slices by coordinates, which stand along the last axis of the indices."""
    batch = spec.integer("batch_dims")

    def kernel(x: Tensor, indices: Tensor) -> Tensor:
        depth = indices.shape[-1]
        rows = _flat_positions(indices, x, x.shape[batch : batch + depth])
        n_batches, n_rows = math.prod(x.shape[:batch]), math.prod(x.shape[batch : batch + depth])
        rest = x.shape[batch + depth :]
        firsts = torch.arange(n_batches, device=x.device).unsqueeze(1) * n_rows
        positions = (rows.reshape(n_batches, -1) + firsts).flatten()
        return x.reshape(n_batches * n_rows, *rest).index_select(0, positions).reshape(*indices.shape[:-1], *rest)

    return kernel


@register("ScatterElements", "Scatter", single=True)
def scatter_elements(spec: OpSpec) -> Kernel:
    """Write one element along an axis for each index, or combine it with what is there."""
    axis, mode = spec.integer("axis"), _reduction(spec)

    def kernel(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        return _scatter(x, axis, shifted(indices, x.shape[axis], x), updates, mode)

    return kernel


@register("ScatterND", single=True)
def scatter_nd(spec: OpSpec) -> Kernel:
    """Write slices by coordinates, which stand along the last axis of the indices, or combine them with what is there.

    Several updates of one position without a reduction are undefined in ONNX, and in torch.
    """
    mode = _reduction(spec)

    def kernel(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        leading = x.shape[: indices.shape[-1]]
        rows = _flat_positions(indices, x, leading).reshape(-1, 1)
        flat = x.reshape(math.prod(leading), -1)
        updates = updates.reshape(len(rows), flat.shape[1])
        return _scatter(flat, 0, rows.expand_as(updates), updates, mode).reshape(x.shape)

    return kernel


@register("TensorScatter", single=True)
def tensor_scatter(spec: OpSpec) -> Kernel:
    """Write a run of elements into each sample's cache, from an index of its own on, which may wrap around."""
    axis, circular = spec.integer("axis", -2), spec.text("mode", "linear") == "circular"

    def kernel(past: Tensor, update: Tensor, write_indices: Tensor | None = None) -> Tensor:
        at = axis % past.ndim
        steps = torch.arange(update.shape[at], device=past.device).view(-1, *(1,) * (past.ndim - at - 1))
        if write_indices is not None:
            steps = steps + write_indices.view(-1, *(1,) * (past.ndim - 1))
        positions = steps % past.shape[at] if circular else steps
        return past.scatter(at, positions.expand_as(update), update)

    return kernel


@register("OneHot", host=(1,))
def one_hot(spec: OpSpec) -> Kernel:
    """Put one value where a new axis meets the index, another elsewhere, and everywhere for an index out of range."""
    axis = spec.integer("axis", -1)

    def kernel(indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
        size = int(depth.item())
        at = axis % (indices.ndim + 1)
        classes = torch.arange(size, device=values.device).view(-1, *(1,) * (indices.ndim - at))
        off, on = values
        return torch.where(shifted(indices, size, values).unsqueeze(at) == classes, on, off)

    return kernel


@register("Compress", host=(1,))
def compress(spec: OpSpec) -> Kernel:
    """Keep what a condition selects along an axis, or of the flattened tensor."""
    axis = spec.attributes.get("axis")

    def kernel(x: Tensor, condition: Tensor) -> Tensor:
        chosen = moved(condition.nonzero().squeeze(1), x.device)
        return x.flatten().index_select(0, chosen) if axis is None else x.index_select(axis, chosen)

    return kernel


@register("ReverseSequence")
def reverse_sequence(spec: OpSpec) -> Kernel:
    """Reverse the beginning of each sequence, as far as its length says."""
    if spec.integer("time_axis") == 0:
        return reverse_sequences
    return lambda x, lengths: reverse_sequences(x.transpose(0, 1), lengths).transpose(0, 1)


@register("MaxUnpool", host=(2,))
def max_unpool(spec: OpSpec) -> Kernel:
    """Put each element back where a max pool found it, in a tensor of zeros, which may end in more of them."""
    kernel_shape = spec.integers("kernel_shape") or ()
    rank = len(kernel_shape)
    strides, pads = spec.integers("strides") or (1,) * rank, spec.integers("pads") or (0,) * (2 * rank)

    def kernel(x: Tensor, indices: Tensor, output_shape: Tensor | None = None) -> Tensor:
        axes = zip(x.shape[2:], strides, pads[:rank], pads[rank:], kernel_shape, strict=True)
        shape = [*x.shape[:2], *((size - 1) * step - begin - end + width for size, step, begin, end, width in axes)]
        flat = x.new_zeros(math.prod(shape))
        y = flat.scatter(0, indices.flatten(), x.flatten()).reshape(shape)
        if output_shape is None:
            return y
        extra = [asked - size for asked, size in zip(integers(output_shape), shape, strict=True)]
        return functional.pad(y, [pad for size in reversed(extra) for pad in (0, size)])

    return kernel


def _non_zero(x: Tensor) -> Tensor:
    """Return the coordinates of what is not zero, a column each."""
    return x.nonzero().t()


register_kernels({"NonZero": _non_zero})


def _reduction(spec: OpSpec) -> str | None:
    """Return torch's name of a scatter's reduction, None where it overwrites."""
    name = spec.text("reduction", "none")
    if name != "none" and name not in _REDUCTIONS:
        raise spec.unsupported(f"reduction '{name}'")
    return _REDUCTIONS.get(name)


def _scatter(x: Tensor, axis: int, positions: Tensor, updates: Tensor, mode: str | None) -> Tensor:
    """Overwrite elements along an axis, or combine them by torch's name of a reduction."""
    if mode is None:
        return x.scatter(axis, positions, updates)
    return x.scatter_reduce(axis, positions, updates, mode)


def _flat_positions(indices: Tensor, x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Turn coordinates along the last axis of indices into positions in axes of given sizes, flattened."""
    indices = indices.long()
    positions = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=x.device)
    for coordinate, size in zip(indices.unbind(-1), sizes, strict=True):
        positions = positions * size + shifted(coordinate, size, x)
    return positions
