"""Normalizations by statistics of the batch, the sample, groups of channels or neighbouring channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from natonnx.supernet.ops.registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from natonnx.supernet.ops.registry import Kernel, OpSpec


@register("BatchNormalization", mode_dependent=True)
def batch_normalization(spec: OpSpec) -> Kernel:
    """Normalise each channel, as `torch.nn.BatchNorm2d` does in either mode.

    The kernel takes `training` and `momentum` by keyword. In training it normalises by the statistics of the batch and
    moves the running statistics, its inputs 3 and 4, in place towards them; `momentum` is the weight of the new
    statistics, by default one minus the node's own momentum, which is the weight of the old. As in torch and unlike in
    ONNX, the running variance follows the unbiased variance. The file's own `training_mode` is ignored: the caller
    says which mode it is. Further outputs are the running statistics; the saved ones of old opsets repeat them.
    """
    if spec.opset < 9 and spec.integer("spatial", 1) == 0:
        raise spec.unsupported("spatial=0 normalises each position rather than each channel")
    epsilon = spec.number("epsilon", 1e-5)
    own_momentum = 1 - spec.number("momentum", 0.9)
    more_outputs = spec.n_outputs - 1
    of_the_file = more_outputs > 0 and spec.integer("training_mode") == 1

    def kernel(
        x: Tensor,
        scale: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        *,
        training: bool,
        momentum: float | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        if of_the_file:  # what ONNX says: the statistics that it is given stay as they are
            axes = [axis for axis in range(x.dim()) if axis != 1]
            y = functional.batch_norm(x, None, None, scale, bias, True, 0.0, epsilon)
            new = (x.mean(axes).to(mean.dtype), x.var(axes, correction=0).to(variance.dtype))
            moved = (old.lerp(value, own_momentum) for old, value in zip((mean, variance), new, strict=True))
            return (y, *tuple(moved)[:more_outputs]) if more_outputs else y
        weight_of_new = own_momentum if momentum is None else momentum
        if training and weight_of_new == 0:  # 0 times a value that is not finite would be no number
            y = functional.batch_norm(x, None, None, scale, bias, True, 0.0, epsilon)
        else:
            if training and weight_of_new == 1:
                mean.zero_()
                variance.zero_()
            y = functional.batch_norm(x, mean, variance, scale, bias, training, weight_of_new, epsilon)
        return (y, *(mean, variance, mean, variance)[:more_outputs]) if more_outputs else y

    return kernel


@register("InstanceNormalization")
def instance_normalization(spec: OpSpec) -> Kernel:
    """Normalise each channel of each sample; calls torch below its check that refuses planes of a single element."""
    epsilon = spec.number("epsilon", 1e-5)

    def kernel(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        return torch.instance_norm(x, scale, bias, None, None, True, 0.0, epsilon, torch.backends.cudnn.enabled)

    return kernel


@register("GroupNormalization")
def group_normalization(spec: OpSpec) -> Kernel:
    """Normalise groups of channels; scale and bias have an entry per group before opset 21, per channel from then."""
    groups = spec.integer("num_groups")
    epsilon = spec.number("epsilon", 1e-5)
    per_group = spec.opset < 21

    def kernel(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        if per_group:
            repeats = x.shape[1] // groups
            scale, bias = scale.repeat_interleave(repeats), bias.repeat_interleave(repeats)
        return torch.group_norm(x, groups, scale, bias, epsilon, torch.backends.cudnn.enabled)

    return kernel


@register("LayerNormalization")
def layer_normalization(spec: OpSpec) -> Kernel:
    """Normalise over all axes from one on; mean and inverse standard deviation are outputs on demand."""
    axis = spec.integer("axis", -1)
    epsilon = spec.number("epsilon", 1e-5)
    single = spec.integer("stash_type", 1) == 1

    def normalize(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
        shape = x.shape[axis:]
        if scale.shape == shape and (bias is None or bias.shape == shape):
            return functional.layer_norm(x, shape, scale, bias, epsilon)
        y = functional.layer_norm(x, shape, None, None, epsilon) * scale
        return y if bias is None else y + bias

    def with_statistics(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> tuple[Tensor, ...]:
        wide = x.float() if single else x
        variance, mean = torch.var_mean(wide, tuple(range(axis % x.ndim, x.ndim)), correction=0, keepdim=True)
        return (normalize(x, scale, bias), mean, (variance + epsilon).rsqrt())[: spec.n_outputs]

    return normalize if spec.n_outputs == 1 else with_statistics


@register("RMSNormalization")
def rms_normalization(spec: OpSpec) -> Kernel:
    """Divide by the root of the mean square over all axes from one on."""
    axis = spec.integer("axis", -1)
    epsilon = spec.number("epsilon", 1e-5)
    single = spec.integer("stash_type", 1) == 1

    def kernel(x: Tensor, scale: Tensor) -> Tensor:
        wide = x.float() if single else x
        squares = wide.square().mean(tuple(range(axis % x.ndim, x.ndim)), keepdim=True)
        return (wide * (squares + epsilon).rsqrt()).to(x.dtype) * scale

    return kernel


@register("MeanVarianceNormalization")
def mean_variance_normalization(spec: OpSpec) -> Kernel:
    """Subtract the mean and divide by the standard deviation, by default of each channel over the batch."""
    axes = spec.integers("axes") or (0, 2, 3)

    def kernel(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        return (x - mean) / (variance.sqrt() + 1e-9)

    return kernel


@register("LpNormalization")
def lp_normalization(spec: OpSpec) -> Kernel:
    """Divide by the norm along an axis; zeros stay zeros."""
    axis, power = spec.integer("axis", -1), spec.number("p", 2.0)

    def kernel(x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, power, axis, keepdim=True)
        return x / torch.where(norm == 0, 1, norm)

    return kernel


@register("LRN")
def local_response_normalization(spec: OpSpec) -> Kernel:
    """Divide by a power of the mean square of neighbouring channels; of an even size the odd one lies behind."""
    size, bias = spec.integer("size"), spec.number("bias", 1.0)
    alpha, beta = spec.number("alpha", 1e-4), spec.number("beta", 0.75)
    border = [0, 0, (size - 1) // 2, size // 2]

    def kernel(x: Tensor) -> Tensor:
        squares = x.square().reshape(x.shape[0], 1, x.shape[1], -1)
        means = functional.avg_pool2d(functional.pad(squares, border), (size, 1), 1).view(x.shape)
        normalized: Tensor = x / (bias + alpha * means) ** beta
        return normalized

    return kernel
