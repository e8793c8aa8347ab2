"""Tensors out of nothing, out of shapes, and of other types."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from onnx import TensorProto

from natonnx.frontend.sparse import dense_values
from natonnx.supernet.ops.operands import as_tensor, dtype_of, integers
from natonnx.supernet.ops.registry import register, register_kernels

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from natonnx.supernet.ops.registry import Kernel, OpSpec

_NUMBERS = {
    "value_float": torch.float32,
    "value_floats": torch.float32,
    "value_int": torch.int64,
    "value_ints": torch.int64,
}


@register("Constant")
def constant(spec: OpSpec) -> Kernel:
    """Return a fixed tensor, a sparse one with its zeros; text has no place in a network."""
    if "value" in spec.attributes:
        tensor = _tensor(spec, spec.attributes["value"])
    elif "sparse_value" in spec.attributes:
        tensor = as_tensor(dense_values(spec.attributes["sparse_value"]))
    else:
        name = next(iter(spec.attributes), "no value")
        if name not in _NUMBERS:
            raise spec.unsupported(f"a constant given by {name}")
        tensor = torch.tensor(spec.attributes[name], dtype=_NUMBERS[name])
    return lambda: tensor


@register("ConstantOfShape", host=(0,))
def constant_of_shape(spec: OpSpec) -> Kernel:
    """Fill a shape with one value, by default a floating-point zero."""
    filling = _tensor(spec, spec.attributes["value"]) if "value" in spec.attributes else torch.zeros(1)
    value, dtype = filling.item(), filling.dtype
    return lambda shape: torch.full(integers(shape), value, dtype=dtype)


@register("Cast")
def cast(spec: OpSpec) -> Kernel:
    """Change the element type; fractions are cut off."""
    dtype = dtype_of(spec, spec.integer("to", TensorProto.UNDEFINED))
    return lambda x: x.to(dtype)


@register("BitCast", single=True)
def bit_cast(spec: OpSpec) -> Kernel:
    """Read the same bits as another type of the same width."""
    dtype = dtype_of(spec, spec.integer("to", TensorProto.UNDEFINED))
    return lambda x: x.view(dtype)


@register("EyeLike")
def eye_like(spec: OpSpec) -> Kernel:
    """Put ones on a diagonal of a matrix of zeros as large as another."""
    dtype = dtype_of(spec, spec.integer("dtype")) if "dtype" in spec.attributes else None
    diagonal = spec.integer("k")
    return lambda x: torch.ones_like(x, dtype=dtype).triu(diagonal).tril(diagonal)


@register("Shape")
def shape(spec: OpSpec) -> Kernel:
    """Return the sizes of the axes, from opset 15 of a range of them, as a tensor on the CPU."""
    chosen = slice(spec.integer("start"), spec.attributes.get("end"))
    return lambda x: torch.tensor(x.shape[chosen], dtype=torch.int64)


def _range(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """Count from a start to a limit, exclusive; half precision counts in single precision and keeps its type."""
    count = max(math.ceil((limit.item() - start.item()) / delta.item()), 0)
    dtype = torch.promote_types(start.dtype, torch.float32) if start.is_floating_point() else start.dtype
    steps = torch.arange(count, dtype=dtype, device=start.device)
    return (start.to(dtype) + steps * delta.to(dtype)).to(start.dtype)


def _cast_like(x: Tensor, like: Tensor) -> Tensor:
    """Change the element type to that of another tensor."""
    return x.to(like.dtype)


def _size(x: Tensor) -> Tensor:
    """Count the elements, on the CPU."""
    return torch.tensor(x.numel())


register_kernels({"CastLike": _cast_like, "Size": _size})
register_kernels({"Range": _range}, host=(0, 1, 2))


def _tensor(spec: OpSpec, array: np.ndarray) -> Tensor:
    """Copy a numpy array into a tensor."""
    try:
        return as_tensor(array)
    except TypeError:
        raise spec.unsupported(f"a constant of type {array.dtype}") from None
