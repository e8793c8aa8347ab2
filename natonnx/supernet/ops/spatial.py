"""Borders, and exchange between the spatial axes and the channels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from natonnx.supernet.ops.geometry import torch_pads
from natonnx.supernet.ops.operands import integers, normalized
from natonnx.supernet.ops.placement import moved
from natonnx.supernet.ops.registry import register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from natonnx.supernet.ops.registry import Kernel, OpSpec


@register("Pad", host=(1, 2, 3))
def pad(spec: OpSpec) -> Kernel:
    """Add a border, or crop where it is negative; its widths are attributes until opset 10, inputs from 11."""
    mode = spec.text("mode", "constant")
    fixed_widths, fixed_value = spec.integers("pads") or (), spec.number("value", 0.0)
    if mode not in {"constant", "edge", "reflect", "wrap"}:
        raise spec.unsupported(f"mode '{mode}'")

    def kernel(
        x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
    ) -> Tensor:
        widths = fixed_widths if pads is None else integers(pads)
        chosen = range(x.ndim) if axes is None else normalized(integers(axes), x.ndim)
        borders = list(zip(chosen, widths[: len(chosen)], widths[len(chosen) :], strict=True))
        if mode == "constant":
            return _pad_constant(x, borders, fixed_value if value is None else value)
        for axis, begin, end in borders:
            if begin or end:
                x = x.index_select(axis, moved(_sources(x.shape[axis], begin, end, mode), x.device))
        return x

    return kernel


def _pad_constant(x: Tensor, borders: Sequence[tuple[int, int, int]], value: float | Tensor) -> Tensor:
    """Surround a tensor with one value."""
    begins, ends = [0] * x.ndim, [0] * x.ndim
    for axis, begin, end in borders:
        begins[axis], ends[axis] = begin, end
    pads = torch_pads(begins, ends)
    if isinstance(value, float) or value.is_cpu:
        return functional.pad(x, pads, value=float(value))
    inside = functional.pad(torch.ones_like(x, dtype=torch.bool), pads)
    return torch.where(inside, functional.pad(x, pads), value.reshape(()))


def _sources(size: int, begin: int, end: int, mode: str) -> Tensor:
    """Return which position of an axis each position of its padded form repeats; cropping goes first."""
    cropped = max(-begin, 0)
    size -= cropped + max(-end, 0)
    positions = torch.arange(-max(begin, 0), size + max(end, 0))
    if mode == "edge":
        positions = positions.clamp(0, size - 1)
    elif mode == "wrap":
        positions = positions % size
    else:
        period = max(2 * (size - 1), 1)
        positions = size - 1 - (positions % period - (size - 1)).abs()
    return positions + cropped


@register("DepthToSpace")
def depth_to_space(spec: OpSpec) -> Kernel:
    """Spread channels over blocks of positions; torch's pixel shuffle is the mode CRD, the default is DCR."""
    block, crd = spec.integer("blocksize"), spec.text("mode", "DCR") == "CRD"

    def kernel(x: Tensor) -> Tensor:
        if crd:
            return functional.pixel_shuffle(x, block)
        batch, channels, height, width = x.shape
        blocks = x.reshape(batch, block, block, channels // block**2, height, width).permute(0, 3, 4, 1, 5, 2)
        return blocks.reshape(batch, channels // block**2, height * block, width * block)

    return kernel


@register("SpaceToDepth")
def space_to_depth(spec: OpSpec) -> Kernel:
    """Gather blocks of positions into channels, by default (DCR) position-major; CRD exists from opset 28."""
    block, crd = spec.integer("blocksize"), spec.text("mode", "DCR") == "CRD"

    def kernel(x: Tensor) -> Tensor:
        if crd:
            return functional.pixel_unshuffle(x, block)
        batch, channels, height, width = x.shape
        blocks = x.reshape(batch, channels, height // block, block, width // block, block).permute(0, 3, 5, 1, 2, 4)
        return blocks.reshape(batch, channels * block**2, height // block, width // block)

    return kernel


@register("CenterCropPad", host=(1,))
def center_crop_pad(spec: OpSpec) -> Kernel:
    """Crop axes, or surround them with zeros, to given sizes; of an odd difference the larger half lies behind."""
    fixed = spec.integers("axes")

    def kernel(x: Tensor, shape: Tensor) -> Tensor:
        axes = range(x.ndim) if fixed is None else normalized(fixed, x.ndim)
        borders = []
        for axis, size in zip(axes, integers(shape), strict=True):
            missing = size - x.shape[axis]
            begin = abs(missing) // 2 * (1 if missing > 0 else -1)
            borders.append((axis, begin, missing - begin))
        return _pad_constant(x, borders, 0.0)

    return kernel


@register("Col2Im", host=(1, 2))
def column_to_image(spec: OpSpec) -> Kernel:
    """Add up overlapping blocks into an image: each column of the input holds the blocks of one position."""
    strides, dilations, pads = (spec.integers(name) for name in ("strides", "dilations", "pads"))

    def kernel(x: Tensor, image_shape: Tensor, block_shape: Tensor) -> Tensor:
        sizes, block = integers(image_shape), integers(block_shape)
        ones, (begins, ends) = (1,) * len(sizes), _halves(pads or (0,) * (2 * len(sizes)))
        padded = [size + begin + end for size, begin, end in zip(sizes, begins, ends, strict=True)]
        targets = _block_elements(padded, block, strides or ones, dilations or ones)
        columns = x.reshape(x.shape[0], -1, targets.numel())
        image = x.new_zeros((*columns.shape[:2], math.prod(padded)))
        image = image.index_add(2, moved(targets.flatten(), x.device), columns).reshape(*columns.shape[:2], *padded)
        return functional.pad(image, torch_pads([-begin for begin in begins], [-end for end in ends]))

    return kernel


def _halves(pads: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """Part ONNX's padding into what stands in front of each axis and what behind."""
    return pads[: len(pads) // 2], pads[len(pads) // 2 :]


def _block_elements(
    sizes: Sequence[int], block: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Tensor:
    """Return where the elements of every block stand in an image, flattened.

    Args:
        sizes: The sizes of the image.
        block: The sizes of a block.
        strides: The distance of the blocks along each axis.
        dilations: The distance of a block's elements along each axis.

    Returns:
        Positions, [elements of a block, blocks].
    """
    positions = torch.zeros(1, 1, dtype=torch.int64)
    for size, width, stride, dilation in zip(sizes, block, strides, dilations, strict=True):
        elements = torch.arange(width) * dilation
        starts = torch.arange(0, size - (width - 1) * dilation, stride)
        along = elements.unsqueeze(1) + starts
        positions = positions[:, None, :, None] * size + along[None, :, None, :]
        positions = positions.flatten(2, 3).flatten(0, 1)
    return positions
