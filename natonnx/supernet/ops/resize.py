"""Resize and Upsample: interpolation axis by axis."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from natonnx.supernet.ops.interpolation import COORDINATES, ROUNDINGS, Axis, Rule, extrapolated, matrix, sources
from natonnx.supernet.ops.operands import integers, normalized
from natonnx.supernet.ops.placement import moved
from natonnx.supernet.ops.registry import register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from natonnx.supernet.ops.registry import Kernel, OpSpec

_MODES = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "cubic": "cubic"}
_TORCH_MODES = {
    "nearest": {3: "nearest", 4: "nearest", 5: "nearest"},
    "linear": {3: "linear", 4: "bilinear", 5: "trilinear"},
    "cubic": {4: "bicubic"},
}
"""The names of torch's modes by ONNX's and by rank."""


@register("Upsample", host=(1,))
def upsample(spec: OpSpec) -> Kernel:
    """Enlarge by scales, an attribute until opset 8 and an input from 9; positions count from the corner."""
    rule = Rule(_mode(spec), "asymmetric", "floor")
    fixed = spec.attributes.get("scales", ())

    def kernel(x: Tensor, scales: Tensor | None = None) -> Tensor:
        given = fixed if scales is None else scales.tolist()
        return _resize(x, _by_scales(x, range(x.ndim), given, ()), rule)

    return kernel


@register("Resize", host=(1, 2, 3))
def resize(spec: OpSpec) -> Kernel:
    """Interpolate by given scales or to given sizes.

    Scales count as they are given, in single precision, also where they do not lead to whole sizes. At opset 10, which
    leaves it open, positions count from the corner and the mode nearest rounds down, or up where it shrinks, as in
    onnxruntime.
    """
    rule = _rule(spec)
    fixed_axes = spec.integers("axes")
    policy = spec.text("keep_aspect_ratio_policy", "stretch")
    if policy not in {"stretch", "not_larger", "not_smaller"}:
        raise spec.unsupported(f"keep_aspect_ratio_policy '{policy}'")

    def kernel(x: Tensor, *operands: Tensor | None) -> Tensor:
        roi, scales, sizes = ((None, *operands, None) if spec.opset < 11 else (*operands, None, None, None))[:3]
        axes = range(x.ndim) if fixed_axes is None else normalized(fixed_axes, x.ndim)
        region = roi.tolist() if roi is not None and rule.coordinates == "tf_crop_and_resize" else ()
        if sizes is not None and sizes.numel():
            return _resize(x, _by_sizes(x, axes, integers(sizes), region, policy), rule)
        if scales is None:
            raise spec.unsupported("it has neither scales nor sizes")
        return _resize(x, _by_scales(x, axes, scales.tolist(), region), rule)

    return kernel


def _mode(spec: OpSpec) -> str:
    """Read the mode of interpolation."""
    mode = spec.text("mode", "nearest")
    if mode not in _MODES:
        raise spec.unsupported(f"mode '{mode}'")
    return _MODES[mode]


def _rule(spec: OpSpec) -> Rule:
    """Read how a Resize interpolates."""
    if spec.opset < 11:
        return Rule(_mode(spec), "asymmetric", "simple")
    coordinates = spec.text("coordinate_transformation_mode", "half_pixel")
    if coordinates == "tf_half_pixel_for_nn":  # of opset 11 only
        coordinates = "half_pixel"
    rounding = spec.text("nearest_mode", "round_prefer_floor")
    if coordinates not in COORDINATES or rounding not in ROUNDINGS:
        raise spec.unsupported(f"coordinates '{coordinates}' with rounding '{rounding}'")
    return Rule(
        _mode(spec),
        coordinates,
        rounding,
        antialias=bool(spec.integer("antialias")),
        exclude_outside=bool(spec.integer("exclude_outside")),
        cubic_a=spec.number("cubic_coeff_a", -0.75),
        outside=spec.number("extrapolation_value", 0.0),
    )


def _by_scales(x: Tensor, axes: Sequence[int], scales: Sequence[float], region: Sequence[float]) -> list[Axis]:
    """Return the axes to resize by scales; a region holds the starts of all of them, then the ends."""
    regions = _regions(axes, region)
    sizes = [int(np.float32(scale) * np.float32(x.shape[axis])) for axis, scale in zip(axes, scales, strict=True)]
    numbers = zip(axes, scales, sizes, regions, strict=True)
    return [Axis(axis, x.shape[axis], scale, size, *bounds) for axis, scale, size, bounds in numbers]


def _by_sizes(x: Tensor, axes: Sequence[int], sizes: Sequence[int], region: Sequence[float], policy: str) -> list[Axis]:
    """Return the axes to resize to sizes, or as close to them as one common scale comes."""
    regions = _regions(axes, region)
    scales = [size / x.shape[axis] for axis, size in zip(axes, sizes, strict=True)]
    if policy != "stretch":
        scales = [min(scales) if policy == "not_larger" else max(scales)] * len(scales)
        sizes = [int(scale * x.shape[axis] + 0.5) for axis, scale in zip(axes, scales, strict=True)]
    numbers = zip(axes, scales, sizes, regions, strict=True)
    return [Axis(axis, x.shape[axis], scale, size, *bounds) for axis, scale, size, bounds in numbers]


def _regions(axes: Sequence[int], region: Sequence[float]) -> list[tuple[float, float]]:
    """Return the region of each axis, by default all of it."""
    if not region:
        return [(0.0, 1.0)] * len(axes)
    return list(zip(region[: len(axes)], region[len(axes) :], strict=True))


def _resize(x: Tensor, axes: Sequence[Axis], rule: Rule) -> Tensor:
    """Interpolate along each axis that changes: by torch where that is the same, else one after the other."""
    changed = [axis for axis in axes if not axis.unchanged]
    y = _by_torch(x, changed, rule)
    if y is not None:
        return y
    for axis in changed:
        if rule.mode == "nearest":
            x = x.index_select(axis.at, moved(torch.tensor(sources(axis, rule)), x.device))
        else:
            x = _weighted(x, axis, rule)
        outside = extrapolated(axis, rule)
        if outside is not None and outside.any():
            mask = moved(torch.from_numpy(outside), x.device).view(-1, *(1,) * (x.ndim - axis.at - 1))
            x = torch.where(mask, rule.outside, x).to(x.dtype)
    return x


def _weighted(x: Tensor, axis: Axis, rule: Rule) -> Tensor:
    """Interpolate along one axis by a matrix; integers are rounded towards zero."""
    dtype = x.dtype if x.is_floating_point() else torch.float64
    weights = moved(torch.from_numpy(matrix(axis, rule)).to(dtype), x.device)
    y = (x.to(dtype).movedim(axis.at, -1) @ weights.t()).movedim(-1, axis.at)
    if x.is_floating_point():
        return y
    limits = torch.iinfo(x.dtype)
    return y.clamp(limits.min, limits.max).to(x.dtype)


def _by_torch(x: Tensor, axes: Sequence[Axis], rule: Rule) -> Tensor | None:
    """Interpolate by torch's own kernels, or return None where they are not the same function."""
    mode = _TORCH_MODES[rule.mode].get(x.ndim)
    crops = rule.coordinates == "tf_crop_and_resize"
    if mode is None or crops or not x.is_floating_point() or any(axis.at < 2 for axis in axes):
        return None
    size = list(x.shape[2:])
    for axis in axes:
        size[axis.at - 2] = axis.resized
    if rule.mode == "nearest":
        if all(sources(axis, rule) == _torch_sources(axis) for axis in axes):
            return functional.interpolate(x, size, mode=mode)
        return None
    whole = all(np.float32(axis.scale) * np.float32(axis.size) == axis.resized for axis in axes)
    if not whole or rule.antialias or rule.exclude_outside or rule.cubic_a != -0.75:
        return None
    half_pixel = rule.coordinates in {"half_pixel", "half_pixel_symmetric"}
    half_pixel |= rule.coordinates == "pytorch_half_pixel" and all(axis.resized > 1 for axis in axes)
    if half_pixel or rule.coordinates == "align_corners":
        return functional.interpolate(x, size, mode=mode, align_corners=not half_pixel)
    return None


@lru_cache(maxsize=256)
def _torch_sources(axis: Axis) -> tuple[int, ...]:
    """Return what position each resized one repeats in torch, which computes in single precision."""
    scale = np.float32(axis.size) / np.float32(axis.resized)
    positions = np.floor(np.arange(axis.resized, dtype=np.float32) * scale)
    return tuple(positions.astype(int).clip(0, axis.size - 1).tolist())
