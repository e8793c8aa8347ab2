"""Pools: over a sliding window, and over all spatial axes at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from natonnx.supernet.ops.geometry import Window, torch_pads
from natonnx.supernet.ops.registry import register, register_kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natonnx.supernet.ops.registry import Kernel, OpSpec

Pool: TypeAlias = Callable[..., Tensor]
IndexedPool: TypeAlias = Callable[..., tuple[Tensor, Tensor]]

_AVERAGE: dict[int, Pool] = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
_MAX: dict[int, Pool] = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_INDEXED_MAX: dict[int, IndexedPool] = {
    1: functional.max_pool1d_with_indices,
    2: functional.max_pool2d_with_indices,
    3: functional.max_pool3d_with_indices,
}


@register("MaxPool")
def max_pool(spec: OpSpec) -> Kernel:
    """Take the largest element of each window, and on demand where in the whole tensor it stands."""
    window = _window(spec)
    rank = len(window.kernel)
    column_major = bool(spec.integer("storage_order"))

    def prepare(x: Tensor) -> tuple[Tensor, tuple[int, ...], tuple[int, ...], bool]:
        if window.fits_torch():
            return x, (0,) * rank, window.begins, window.ceil
        begins, ends = _whole_padding(window, x)
        return functional.pad(x, torch_pads(begins, ends), value=_lowest(x.dtype)), begins, (0,) * rank, False

    def values(x: Tensor) -> Tensor:
        padded, _, padding, ceil = prepare(x)
        return _MAX[rank](padded, window.kernel, window.strides, padding, window.dilations, ceil)

    def values_and_indices(x: Tensor) -> tuple[Tensor, Tensor]:
        padded, begins, padding, ceil = prepare(x)
        y, indices = _INDEXED_MAX[rank](padded, window.kernel, window.strides, padding, window.dilations, ceil)
        return y, _global_indices(indices, padded.shape[2:], begins, x, column_major=column_major)

    return values_and_indices if spec.n_outputs > 1 else values


@register("AveragePool")
def average_pool(spec: OpSpec) -> Kernel:
    """Average each window over its taps inside the input, or inside the padding too."""
    window = _window(spec)
    rank = len(window.kernel)
    count_padding = bool(spec.integer("count_include_pad"))
    if window.fits_torch() and set(window.dilations) == {1}:
        pool, kernel_size, strides, pads = _AVERAGE[rank], window.kernel, window.strides, window.begins
        return lambda x: pool(x, kernel_size, strides, pads, window.ceil, count_padding)

    def kernel(x: Tensor) -> Tensor:
        counted = x.new_ones((1, 1, *x.shape[2:]))
        begins, ends = window.padding(x.shape[2:])
        if count_padding:
            counted = functional.pad(counted, torch_pads(begins, ends), value=1.0)
            border = torch_pads((0,) * rank, window.overhang(x.shape[2:], begins, ends))
        else:
            border = torch_pads(*_whole_padding(window, x))
        total = _window_sums(functional.pad(x, torch_pads(*_whole_padding(window, x))), window)
        return total / _window_sums(functional.pad(counted, border), window)

    return kernel


@register("LpPool")
def lp_pool(spec: OpSpec) -> Kernel:
    """Take the p-norm of each window."""
    window = _window(spec)
    power = spec.number("p", 2.0)

    def kernel(x: Tensor) -> Tensor:
        padded = functional.pad(x, torch_pads(*_whole_padding(window, x)))
        total: Tensor = _window_sums(padded.abs() ** power, window) ** (1 / power)
        return total

    return kernel


@register("GlobalLpPool")
def global_lp_pool(spec: OpSpec) -> Kernel:
    """Take the p-norm over all spatial axes."""
    power = spec.number("p", 2.0)

    def kernel(x: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(x, power, tuple(range(2, x.ndim)), keepdim=True)
        return norm

    return kernel


def _global_average_pool(x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


def _global_max_pool(x: Tensor) -> Tensor:
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


register_kernels({"GlobalAveragePool": _global_average_pool, "GlobalMaxPool": _global_max_pool})


def _window(spec: OpSpec) -> Window:
    """Read a pool's window."""
    kernel = spec.integers("kernel_shape")
    if kernel is None:
        raise spec.unsupported("it has no kernel_shape")
    if len(kernel) not in _AVERAGE:
        raise spec.unsupported(f"{len(kernel)} spatial axes")
    return Window.of(spec, kernel)


def _whole_padding(window: Window, x: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return all the padding a pool needs, so that its output size is a plain division rounded down."""
    sizes = x.shape[2:]
    begins, ends = window.padding(sizes)
    overhang = window.overhang(sizes, begins, ends)
    return begins, tuple(end + more for end, more in zip(ends, overhang, strict=True))


def _window_sums(x: Tensor, window: Window) -> Tensor:
    """Sum each window of a padded tensor; torch has no dilated average pool, so that case adds shifted slices."""
    if set(window.dilations) == {1}:
        return _AVERAGE[len(window.kernel)](x, window.kernel, window.strides) * math.prod(window.kernel)
    spans = [size - extent + 1 for size, extent in zip(x.shape[2:], window.extents, strict=True)]
    taps = product(*(range(0, k * d, d) for k, d in zip(window.kernel, window.dilations, strict=True)))
    return reduce(torch.add, (x[_shifted(tap, spans, window.strides)] for tap in taps))


def _shifted(tap: Sequence[int], spans: Sequence[int], strides: Sequence[int]) -> tuple[slice, ...]:
    """Return the elements that one tap of the window meets as the window slides."""
    steps = (slice(at, at + span, stride) for at, span, stride in zip(tap, spans, strides, strict=True))
    return (slice(None), slice(None), *steps)


def _lowest(dtype: torch.dtype) -> float:
    """Return what loses against every element."""
    return -math.inf if dtype.is_floating_point else torch.iinfo(dtype).min


def _global_indices(
    indices: Tensor, padded: Sequence[int], begins: Sequence[int], x: Tensor, *, column_major: bool
) -> Tensor:
    """Turn positions within a padded plane, as torch counts, into positions within the whole unpadded tensor.

    Args:
        indices: The positions that torch returns.
        padded: The sizes of the padded plane.
        begins: The padding in front of each of its axes.
        x: The unpadded tensor.
        column_major: Whether the last axis of a plane is the slowest rather than the fastest.

    Returns:
        The positions as ONNX counts them.
    """
    sizes = x.shape[2:]
    planes = torch.arange(x.shape[0] * x.shape[1], device=x.device) * math.prod(sizes)
    result = planes.view(x.shape[0], x.shape[1], *(1,) * len(sizes))
    coordinates = []
    for size, begin in zip(reversed(padded), reversed(begins), strict=True):
        coordinates.append(indices % size - begin)
        indices = indices // size
    axes = list(zip(coordinates, reversed(sizes), strict=True))
    step = 1
    for coordinate, size in reversed(axes) if column_major else axes:
        result = result + coordinate * step
        step *= size
    return result
