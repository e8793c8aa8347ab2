"""Spectra and windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from onnx import TensorProto
from torch import Tensor

from natonnx.supernet.ops.operands import dtype_of
from natonnx.supernet.ops.registry import register

if TYPE_CHECKING:
    from collections.abc import Callable

    from natonnx.supernet.ops.registry import Kernel, OpSpec


def _hamming(size: int, periodic: bool, *, dtype: torch.dtype) -> Tensor:
    return torch.hamming_window(size, periodic, 25 / 46, 21 / 46, dtype=dtype)


_WINDOWS: dict[str, Callable[..., Tensor]] = {
    "HannWindow": torch.hann_window,
    "HammingWindow": _hamming,
    "BlackmanWindow": torch.blackman_window,
}


@register(*_WINDOWS, host=(0,))
def window(spec: OpSpec) -> Kernel:
    """Make a window of a given length, symmetric or the start of a longer, periodic one."""
    function, periodic = _WINDOWS[spec.op_type], bool(spec.integer("periodic", 1))
    dtype = dtype_of(spec, spec.integer("output_datatype", TensorProto.FLOAT))
    return lambda size: function(int(size.item()), periodic, dtype=torch.float64).to(dtype)


@register("DFT", host=(1, 2), single=True)
def discrete_fourier_transform(spec: OpSpec) -> Kernel:
    """Transform along an axis; the last axis holds real and imaginary parts, or real parts alone.

    The axis is an attribute until opset 19, an input from 20. One-sided are the spectra of real signals.
    """
    inverse, onesided = bool(spec.integer("inverse")), bool(spec.integer("onesided"))
    fixed = spec.integer("axis", 1 if spec.opset < 20 else -2)

    def kernel(x: Tensor, length: Tensor | None = None, axis: Tensor | None = None) -> Tensor:
        along = (fixed if axis is None else int(axis.item())) % x.ndim
        count = None if length is None else int(length.item())
        signal = x.squeeze(-1) if x.shape[-1] == 1 else torch.view_as_complex(x.contiguous())
        if inverse:
            return (
                torch.fft.irfft(signal, count, along).unsqueeze(-1)
                if onesided
                else _parts(torch.fft.ifft(signal, count, along))
            )
        if onesided and not signal.is_complex():
            return _parts(torch.fft.rfft(signal, count, along))
        spectrum = torch.fft.fft(signal, count, along)
        return _parts(spectrum.narrow(along, 0, spectrum.shape[along] // 2 + 1) if onesided else spectrum)

    return kernel


@register("STFT", host=(1, 3), single=True)
def short_time_fourier_transform(spec: OpSpec) -> Kernel:
    """Transform overlapping frames of each signal, [batch, time, 1 or 2]; a real signal's spectra are one-sided."""
    onesided = bool(spec.integer("onesided", 1))

    def kernel(signal: Tensor, step: Tensor, window: Tensor | None = None, length: Tensor | None = None) -> Tensor:
        size = int(length.item()) if length is not None else len(window) if window is not None else signal.shape[1]
        x = signal.squeeze(-1) if signal.shape[-1] == 1 else torch.view_as_complex(signal.contiguous())
        frames = x.unfold(1, size, int(step.item()))
        if window is not None:
            frames = frames * window.to(signal.dtype)
        return _parts(torch.fft.rfft(frames) if onesided and not x.is_complex() else torch.fft.fft(frames))

    return kernel


def _parts(x: Tensor) -> Tensor:
    """Put real and imaginary parts along a new last axis."""
    return torch.view_as_real(x.resolve_conj())
