"""Quantization: exact in the forward direction, and without a gradient through what is rounded to integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from natonnx.supernet.ops.convolution import conv
from natonnx.supernet.ops.operands import dtype_of
from natonnx.supernet.ops.registry import register, register_kernels

if TYPE_CHECKING:
    from natonnx.supernet.ops.registry import Kernel, OpSpec


@register("QuantizeLinear")
def quantize_linear(spec: OpSpec) -> Kernel:
    """Divide by a scale, round to even and add a zero point, for the whole tensor, along an axis or in blocks."""
    axis, block = spec.integer("axis", 1), spec.integer("block_size")
    output = dtype_of(spec, spec.integer("output_dtype")) if spec.integer("output_dtype") else torch.uint8
    precision = dtype_of(spec, spec.integer("precision")) if spec.integer("precision") else None

    def kernel(x: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
        scale = _spread(scale, x, axis, block)
        if precision is not None:
            x, scale = x.to(precision), scale.to(precision)
        zero = None if zero_point is None else _spread(zero_point, x, axis, block)
        return _quantized(x / scale, zero, output if zero_point is None else zero_point.dtype)

    return kernel


@register("DequantizeLinear")
def dequantize_linear(spec: OpSpec) -> Kernel:
    """Subtract a zero point and multiply by a scale, for the whole tensor, along an axis or in blocks."""
    axis, block = spec.integer("axis", 1), spec.integer("block_size")
    output = dtype_of(spec, spec.integer("output_dtype")) if spec.integer("output_dtype") else None

    def kernel(x: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
        wide, scales = x.float(), _spread(scale, x, axis, block)
        if zero_point is not None:
            wide = wide - _spread(zero_point, x, axis, block).float()
        return (wide * scales).to(output or scale.dtype)

    return kernel


def _dynamic_quantize_linear(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize to bytes by the range of the values, which always includes zero."""
    low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
    scale = torch.where(high == low, 1.0, high - low) / 255
    zero_point = (-low / scale).clamp(0, 255).round().to(torch.uint8)
    return _quantized(x / scale, zero_point, torch.uint8), scale, zero_point


@register("ConvInteger")
def conv_integer(spec: OpSpec) -> Kernel:
    """Convolve integers, in double precision, which holds all their sums; padding stands for zero points."""
    convolve = conv(spec)

    def kernel(
        x: Tensor, weight: Tensor, x_zero_point: Tensor | None = None, weight_zero_point: Tensor | None = None
    ) -> Tensor:
        y = convolve(_centred(x, x_zero_point), _centred(weight, weight_zero_point, of_rows=True))
        assert isinstance(y, Tensor)
        return y.to(torch.int32)

    return kernel


@register("QLinearConv")
def q_linear_conv(spec: OpSpec) -> Kernel:
    """Convolve quantized tensors and quantize the result; the bias counts in the product of both scales."""
    convolve = conv(spec)

    def kernel(
        x: Tensor,
        x_scale: Tensor,
        x_zero_point: Tensor,
        weight: Tensor,
        weight_scale: Tensor,
        weight_zero_point: Tensor,
        y_scale: Tensor,
        y_zero_point: Tensor,
        bias: Tensor | None = None,
    ) -> Tensor:
        signal, weights = _centred(x, x_zero_point), _centred(weight, weight_zero_point, of_rows=True)
        y = convolve(signal, weights, None if bias is None else bias.double())
        assert isinstance(y, Tensor)
        scale = (x_scale * weight_scale / y_scale).reshape(-1, *(1,) * (x.ndim - 2)).double()
        return _quantized(y * scale, y_zero_point, y_zero_point.dtype)

    return kernel


def _mat_mul_integer(
    a: Tensor, b: Tensor, a_zero_point: Tensor | None = None, b_zero_point: Tensor | None = None
) -> Tensor:
    """Multiply integer matrices, in double precision, which holds all their sums."""
    return (_centred(a, a_zero_point, of_rows=True) @ _centred(b, b_zero_point)).to(torch.int32)


def _q_linear_mat_mul(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
) -> Tensor:
    """Multiply quantized matrices and quantize the result."""
    product = _centred(a, a_zero_point) @ _centred(b, b_zero_point)
    return _quantized(product * (a_scale * b_scale / y_scale).double(), y_zero_point, y_zero_point.dtype)


register_kernels(
    {
        "DynamicQuantizeLinear": _dynamic_quantize_linear,
        "MatMulInteger": _mat_mul_integer,
        "QLinearMatMul": _q_linear_mat_mul,
    }
)


def _spread(parameter: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    """Shape a scale or zero point so that it broadcasts to a tensor: whole, along an axis, or in blocks along it."""
    if parameter.numel() == 1:
        return parameter.reshape(())
    if block:
        return parameter.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    return parameter.view(-1, *(1,) * (x.ndim - axis % x.ndim - 1))


def _centred(x: Tensor, zero_point: Tensor | None, *, of_rows: bool = False) -> Tensor:
    """Subtract a zero point, of the whole tensor or of each row, in double precision."""
    wide = x.double()
    if zero_point is None:
        return wide
    if of_rows and zero_point.ndim == 1:
        zero_point = zero_point.view(-1, *(1,) * (x.ndim - 1))
    return wide - zero_point.double()


def _quantized(x: Tensor, zero_point: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Round to even, add a zero point, and keep within an integer type."""
    if dtype.is_floating_point:
        raise TypeError(f"no exact quantization to {dtype}")
    rounded = x.round() if zero_point is None else x.round() + zero_point.to(torch.int32)
    limits = torch.iinfo(dtype)
    return rounded.clamp(limits.min, limits.max).to(torch.int32).to(dtype)
