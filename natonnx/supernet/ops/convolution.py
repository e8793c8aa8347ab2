"""Convolutions of one to three spatial axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor
from torch.nn import functional

from natonnx.supernet.ops.geometry import Window, torch_pads
from natonnx.supernet.ops.registry import register

if TYPE_CHECKING:
    from natonnx.supernet.ops.registry import Kernel, OpSpec

Convolution: TypeAlias = Callable[..., Tensor]

_NARROW = 16
"""Input channels below which oneDNN crashes, hangs or errs at the gradient of a strided 1 × 1 Conv's weight where
samples are in channels-last: it writes past its workspace (uxlfoundation/oneDNN issue 6035)."""

_CONVOLUTIONS: dict[int, Convolution] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED: dict[int, Convolution] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


@register("Conv")
def conv(spec: OpSpec) -> Kernel:
    """Convolve; padding that torch cannot do by itself becomes an explicit border of zeros."""
    group = spec.integer("group", 1)
    windows = _Windows(spec)

    def kernel(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        window = windows.of(weight)
        convolve = _of_rank(spec, _CONVOLUTIONS, weight)
        begins, ends = window.padding(x.shape[2:])
        if begins != ends:
            x, begins = functional.pad(x, torch_pads(begins, ends)), (0,) * len(begins)
        strides = window.strides
        if group == 1 and weight.shape[1] < _NARROW and max(weight.shape[2:]) == 1 < max(strides) and not any(begins):
            steps = (slice(None), slice(None), *(slice(None, None, stride) for stride in strides))
            x, strides = x[steps], (1,) * len(strides)
        return convolve(x, weight, bias, strides, begins, window.dilations, group)

    return kernel


@register("ConvTranspose")
def conv_transpose(spec: OpSpec) -> Kernel:
    """Convolve backwards; padding crops the output, and where it is uneven or negative that is a step of its own."""
    group = spec.integer("group", 1)
    output_padding = spec.integers("output_padding")
    windows = _Windows(spec)

    def kernel(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        window = windows.of(weight)
        convolve = _of_rank(spec, _TRANSPOSED, weight)
        extra = output_padding or (0,) * len(window.kernel)
        begins, ends = window.cropping(x.shape[2:], spec)
        limits = map(max, window.strides, window.dilations)
        if begins == ends and min(begins) >= 0 and all(e < limit for e, limit in zip(extra, limits, strict=True)):
            return convolve(x, weight, bias, window.strides, begins, extra, group, window.dilations)
        full = convolve(x, weight, None, window.strides, 0, 0, group, window.dilations)
        y = functional.pad(
            full, torch_pads([-b for b in begins], [e - end for e, end in zip(extra, ends, strict=True)])
        )
        return y if bias is None else y + bias.view(-1, *(1,) * len(window.kernel))

    return kernel


class _Windows:
    """The window of a convolution: its size may stand in the node or follow from the weight."""

    def __init__(self, spec: OpSpec) -> None:
        self._spec = spec
        kernel = spec.integers("kernel_shape")
        self._window = None if kernel is None else Window.of(spec, kernel)

    def of(self, weight: Tensor) -> Window:
        """Return the window for a weight."""
        return self._window or Window.of(self._spec, weight.shape[2:])


def _of_rank(spec: OpSpec, functions: dict[int, Convolution], weight: Tensor) -> Convolution:
    """Choose the function for as many spatial axes as the weight has."""
    function = functions.get(weight.ndim - 2)
    if function is None:
        raise spec.unsupported(f"{weight.ndim - 2} spatial axes")
    return function
