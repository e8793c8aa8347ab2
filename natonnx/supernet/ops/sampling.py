"""Interpolation at positions that are tensors themselves: grids, regions of interest, deformed convolutions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from natonnx.supernet.ops.geometry import Window
from natonnx.supernet.ops.operands import integers
from natonnx.supernet.ops.registry import register

if TYPE_CHECKING:
    from natonnx.supernet.ops.registry import Kernel, OpSpec

_GRID_MODES = {"linear": "bilinear", "cubic": "bicubic"}


@register("GridSample", single=True)
def grid_sample(spec: OpSpec) -> Kernel:
    """Interpolate at the positions of a grid, whose coordinates run from -1 to 1."""
    mode = spec.text("mode", "linear")
    mode = _GRID_MODES.get(mode, mode)
    padding = spec.text("padding_mode", "zeros")
    corners = bool(spec.integer("align_corners"))

    def kernel(x: Tensor, grid: Tensor) -> Tensor:
        if x.ndim not in {4, 5} or (x.ndim == 5 and mode == "bicubic"):
            raise spec.unsupported(f"mode '{mode}' over {x.ndim - 2} spatial axes")
        return functional.grid_sample(x, grid, mode, padding, corners)

    return kernel


@register("AffineGrid", host=(1,))
def affine_grid(spec: OpSpec) -> Kernel:
    """Make the grid of positions that an affine map of a regular one has."""
    corners = bool(spec.integer("align_corners"))
    return lambda theta, size: functional.affine_grid(theta, integers(size), corners)


@register("DeformConv", single=True)
def deform_conv(spec: OpSpec) -> Kernel:
    """Convolve two spatial axes with a window each of whose taps is moved by an offset and weighted by a mask."""
    group, offset_group = spec.integer("group", 1), spec.integer("offset_group", 1)

    def kernel(
        x: Tensor, weight: Tensor, offset: Tensor, bias: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        if x.ndim != 4:
            raise spec.unsupported(f"{x.ndim - 2} spatial axes")
        window = Window.of(spec, weight.shape[2:])
        batch, channels = x.shape[:2]
        taps, positions = math.prod(window.kernel), offset.shape[2:]
        offset = offset.reshape(batch * offset_group, taps, 2, *positions)
        grids: list[Tensor] = []
        for axis, size in enumerate(x.shape[2:]):
            at = _tap_positions(window, axis, positions, x) + offset[:, :, axis]
            grids.insert(0, (2 * at + 1) / size - 1)
        grid = torch.stack(grids, -1).flatten(1, 2)
        planes = x.reshape(batch * offset_group, channels // offset_group, *x.shape[2:])
        sampled = functional.grid_sample(planes, grid, align_corners=False)
        sampled = sampled.reshape(*sampled.shape[:2], taps, *positions)
        if mask is not None:
            sampled = sampled * mask.reshape(batch * offset_group, 1, taps, *positions)
        columns = sampled.reshape(batch, group, channels // group * taps, math.prod(positions))
        y = weight.reshape(group, -1, columns.shape[2]) @ columns
        y = y.reshape(batch, weight.shape[0], *positions)
        return y if bias is None else y + bias.view(-1, 1, 1)

    return kernel


def _tap_positions(window: Window, axis: int, positions: torch.Size, x: Tensor) -> Tensor:
    """Return where the taps of an unmoved window lie along one of two axes, [taps, height, width] or broadcastable."""
    starts = torch.arange(positions[axis], device=x.device) * window.strides[axis] - window.begins[axis]
    steps = torch.arange(window.kernel[axis], device=x.device) * window.dilations[axis]
    steps = steps.repeat_interleave(window.kernel[1]) if axis == 0 else steps.repeat(window.kernel[0])
    return steps.view(-1, 1, 1) + starts.view((-1, 1) if axis == 0 else (1, -1))


@dataclass(frozen=True)
class _Regions:
    """How RoiAlign reads its regions.

    Attributes:
        scale: The size of the feature map relative to the image that the regions refer to.
        shift: How far positions move before they index the feature map.
        samples: The number of samples per bin and axis; 0 for one per element of the feature map.
    """

    scale: float
    shift: float
    samples: int

    def taps(self, bounds: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
        """Return the positions and weights of the two neighbours of every sample along an axis.

        Args:
            bounds: The start and end of a region along the axis.
            bins: How many bins the region has.
            size: The size of the axis.

        Returns:
            Positions and weights, [bins, 2 * samples] each.
        """
        start, end = bounds * self.scale - self.shift
        length = end - start if self.shift else (end - start).clamp(min=1)
        samples = self.samples or math.ceil(length.item() / bins)
        steps = (torch.arange(bins * samples, device=bounds.device) + 0.5) / samples
        at = start + steps * length / bins
        inside = (at >= -1) & (at <= size)
        at = at.clamp(0, size - 1)
        low = at.detach().floor()
        weights = torch.stack((low + 1 - at, at - low), -1) * inside.unsqueeze(-1)
        positions = torch.stack((low, (low + 1).clamp(max=size - 1)), -1).long()
        return positions.reshape(bins, -1), weights.reshape(bins, -1)


@register("RoiAlign", single=True)
def roi_align(spec: OpSpec) -> Kernel:
    """Average bilinear samples of each bin of each region, or take the largest weighted neighbour of any sample."""
    default = "half_pixel" if spec.opset >= 16 else "output_half_pixel"
    shift = 0.5 if spec.text("coordinate_transformation_mode", default) == "half_pixel" else 0.0
    regions = _Regions(spec.number("spatial_scale", 1.0), shift, spec.integer("sampling_ratio"))
    height, width = spec.integer("output_height", 1), spec.integer("output_width", 1)
    average = spec.text("mode", "avg") == "avg"

    def pool(plane: Tensor, roi: Tensor) -> Tensor:
        rows, row_weights = regions.taps(roi[1::2], height, plane.shape[1])
        columns, column_weights = regions.taps(roi[0::2], width, plane.shape[2])
        values = plane[:, rows.view(height, -1, 1, 1), columns] * row_weights.view(height, -1, 1, 1) * column_weights
        if not average:
            return values.amax((2, 4))
        return values.sum((2, 4)) * 4 / (rows.shape[1] * columns.shape[1])

    def kernel(x: Tensor, rois: Tensor, batch_indices: Tensor) -> Tensor:
        samples = batch_indices.long().unsqueeze(1)
        pooled = [pool(x.index_select(0, sample)[0], roi) for sample, roi in zip(samples, rois, strict=True)]
        return torch.stack(pooled) if pooled else x.new_zeros((0, x.shape[1], height, width))

    return kernel


@register("MaxRoiPool", host=(1,), single=True)
def max_roi_pool(spec: OpSpec) -> Kernel:
    """Take the largest element of each bin of each region; regions are [sample, left, top, right, bottom]."""
    shape, scale = spec.integers("pooled_shape") or (1, 1), spec.number("spatial_scale", 1.0)

    def kernel(x: Tensor, rois: Tensor) -> Tensor:
        pooled = []
        for sample, (left, top, right, bottom) in zip(
            integers(rois[:, 0]), (rois[:, 1:] * scale).tolist(), strict=True
        ):
            rows = _whole_bins(top, bottom, shape[0], x.shape[2])
            columns = _whole_bins(left, right, shape[1], x.shape[3])
            bins = [_largest(x[sample, :, row, column]) for row in rows for column in columns]
            pooled.append(torch.stack(bins, -1).reshape(-1, *shape))
        return torch.stack(pooled) if pooled else x.new_zeros((0, x.shape[1], *shape))

    return kernel


def _whole_bins(start: float, end: float, bins: int, size: int) -> list[slice]:
    """Cut the whole positions from a start to an end, rounded, into bins that may overlap, within an axis."""
    first = math.floor(start + 0.5)
    width = max(math.floor(end + 0.5) - first + 1, 1) / bins
    edges = ((math.floor(number * width), math.ceil((number + 1) * width)) for number in range(bins))
    return [slice(*(min(max(first + edge, 0), size) for edge in pair)) for pair in edges]


def _largest(x: Tensor) -> Tensor:
    """Return the largest element of each channel, zero where there is none."""
    return x.flatten(1).amax(1) if x.numel() else x.new_zeros(x.shape[0])
