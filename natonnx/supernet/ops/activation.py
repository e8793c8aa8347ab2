"""Activations: functions of one tensor, element by element or along an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from natonnx.supernet.ops.registry import register, register_kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    from natonnx.supernet.ops.registry import Kernel, OpSpec

register_kernels(
    {
        "Relu": torch.relu,
        "Sigmoid": torch.sigmoid,
        "Tanh": torch.tanh,
        "HardSwish": functional.hardswish,
        "Mish": functional.mish,
        "Softplus": functional.softplus,
        "Softsign": functional.softsign,
    }
)


@register("LeakyRelu")
def leaky_relu(spec: OpSpec) -> Kernel:
    """Scale what is negative by a fixed slope."""
    alpha = spec.number("alpha", 0.01)
    return lambda x: functional.leaky_relu(x, alpha)


@register("PRelu")
def prelu(spec: OpSpec) -> Kernel:
    """Scale what is negative by a learnt slope; before opset 7 a slope of rank 1 belongs to the channels."""
    per_channel = spec.opset < 7

    def kernel(x: Tensor, slope: Tensor) -> Tensor:
        if per_channel and slope.ndim == 1:
            slope = slope.view(-1, *(1,) * (x.ndim - 2))
        return torch.where(x < 0, slope * x, x)

    return kernel


@register("Elu")
def elu(spec: OpSpec) -> Kernel:
    """Exponential linear unit."""
    alpha = spec.number("alpha", 1.0)
    return lambda x: functional.elu(x, alpha)


@register("Selu")
def selu(spec: OpSpec) -> Kernel:
    """Scaled exponential linear unit; the constants are attributes here, fixed in torch."""
    alpha, gamma = spec.number("alpha", 1.6732632423543772), spec.number("gamma", 1.0507009873554805)
    return lambda x: gamma * functional.elu(x, alpha)


@register("Celu")
def celu(spec: OpSpec) -> Kernel:
    """Continuously differentiable exponential linear unit."""
    alpha = spec.number("alpha", 1.0)
    return lambda x: functional.celu(x, alpha)


@register("ThresholdedRelu")
def thresholded_relu(spec: OpSpec) -> Kernel:
    """Keep what is above a threshold."""
    alpha = spec.number("alpha", 1.0)
    return lambda x: functional.threshold(x, alpha, 0.0)


@register("HardSigmoid")
def hard_sigmoid(spec: OpSpec) -> Kernel:
    """Clip a line; ONNX's default slope is 0.2, torch's 1/6."""
    alpha, beta = spec.number("alpha", 0.2), spec.number("beta", 0.5)
    return lambda x: (alpha * x + beta).clamp(0.0, 1.0)


@register("Gelu")
def gelu(spec: OpSpec) -> Kernel:
    """Gaussian error linear unit, exact or by its tanh approximation."""
    approximate = spec.text("approximate", "none")
    return lambda x: functional.gelu(x, approximate=approximate)


@register("Swish")
def swish(spec: OpSpec) -> Kernel:
    """Multiply by the sigmoid of a multiple of itself."""
    alpha = spec.number("alpha", 1.0)
    return functional.silu if alpha == 1 else lambda x: x * torch.sigmoid(alpha * x)


@register("Shrink")
def shrink(spec: OpSpec) -> Kernel:
    """Pull everything towards zero by a bias, and what is within a threshold to zero."""
    threshold, bias = spec.number("lambd", 0.5), spec.number("bias", 0.0)

    def kernel(x: Tensor) -> Tensor:
        return torch.where(x.abs() > threshold, x - x.sign() * bias, 0).to(x.dtype)

    return kernel


def _limit(x: Tensor, low: float | None, high: float | None) -> Tensor:
    """Limit by numbers; hardtanh gives the same bits as clamp, and its backward takes a third of the time."""
    if low is not None and high is not None and low < high and x.is_floating_point():
        return functional.hardtanh(x, low, high)
    return x.clamp(low, high)


@register("Clip", host=(1, 2))
def clip(spec: OpSpec) -> Kernel:
    """Limit from below and above; the limits are attributes until opset 10, inputs from 11, and both optional."""
    if spec.opset < 11:
        low, high = spec.attributes.get("min"), spec.attributes.get("max")
        return lambda x: x if low is None and high is None else _limit(x, low, high)

    def kernel(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
        limits = [limit for limit in (low, high) if limit is not None]
        if not limits:
            return x
        if all(limit.device.type == "cpu" for limit in limits):  # numbers cost no synchronisation and clamp faster
            return _limit(x, None if low is None else low.item(), None if high is None else high.item())
        return x.clamp(low, high)

    return kernel


def _hardmax(x: Tensor, axis: int) -> Tensor:
    """Put one where the first of the largest elements is, and zero elsewhere."""
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1)


_ALONG_AXIS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "Softmax": functional.softmax,
    "LogSoftmax": functional.log_softmax,
    "Hardmax": _hardmax,
}


@register(*_ALONG_AXIS)
def softmax(spec: OpSpec) -> Kernel:
    """Compare elements along one axis or, before opset 13, over all axes from that one on."""
    function = _ALONG_AXIS[spec.op_type]
    if spec.opset >= 13:
        axis = spec.integer("axis", -1)
        return lambda x: function(x, axis)
    first = spec.integer("axis", 1)
    return lambda x: function(x.flatten(first), -1).reshape(x.shape)
