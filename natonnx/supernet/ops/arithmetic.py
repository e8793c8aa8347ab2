"""Arithmetic, comparison and logic, element by element with numpy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from natonnx.supernet.ops.operands import aligned
from natonnx.supernet.ops.registry import register, register_kernels

if TYPE_CHECKING:
    from natonnx.supernet.ops.registry import Kernel, OpSpec

Binary: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def _divide(a: Tensor, b: Tensor) -> Tensor:
    """Divide; integers round towards zero."""
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _power(base: Tensor, exponent: Tensor) -> Tensor:
    """Raise to a power; the result has the type of the base."""
    return base.pow(exponent).to(base.dtype)


_BINARY: dict[str, Binary] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": _divide,
    "Pow": _power,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
}


@register(*_BINARY)
def binary(spec: OpSpec) -> Kernel:
    """Combine two tensors; before opset 7 the second may have to be lined up at an axis of the first."""
    function = _BINARY[spec.op_type]
    axis = spec.attributes.get("axis") if spec.opset < 7 and spec.integer("broadcast") else None
    if axis is None:
        return lambda a, b: function(*aligned(a, b))

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        missing = a.ndim - axis % a.ndim - b.ndim
        return function(*aligned(a, b.reshape(*b.shape, *(1,) * missing)))

    return kernel


@register("Mod")
def modulo(spec: OpSpec) -> Kernel:
    """Remainder with the sign of the divisor or, with fmod, of the dividend."""
    function: Binary = torch.fmod if spec.integer("fmod") else torch.remainder
    return lambda a, b: function(*aligned(a, b))


def _variadic(function: Binary) -> Kernel:
    """Fold any number of tensors with a function of two."""
    return lambda *operands: reduce(function, aligned(*operands))


def _mean(*operands: Tensor) -> Tensor:
    """Average any number of tensors."""
    return reduce(torch.add, aligned(*operands)) / len(operands)


def _where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Choose element by element."""
    condition, a, b = aligned(condition, a, b)
    return torch.where(condition, a, b)


register_kernels(
    {
        "Sum": _variadic(torch.add),
        "Max": _variadic(torch.maximum),
        "Min": _variadic(torch.minimum),
        "Mean": _mean,
        "Where": _where,
        "Not": torch.logical_not,
        "Neg": torch.neg,
        "Abs": torch.abs,
        "Sign": torch.sign,
        "Sqrt": torch.sqrt,
        "Exp": torch.exp,
        "Log": torch.log,
        "Erf": torch.erf,
        "Sin": torch.sin,
        "Cos": torch.cos,
        "Reciprocal": torch.reciprocal,
        "Floor": torch.floor,
        "Ceil": torch.ceil,
        "Round": torch.round,
    }
)
