"""Arithmetic, comparison and logic, element by element with numpy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from natonnx.supernet.ops.placement import moved
from natonnx.supernet.ops.registry import register, register_kernels

if TYPE_CHECKING:
    from natonnx.supernet.ops.registry import Kernel, OpSpec

Binary: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def _divide(a: Tensor, b: Tensor) -> Tensor:
    """Divide; integers round towards zero."""
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _in_one_place(*operands: Tensor) -> tuple[Tensor, ...]:
    """Bring scalars to where the others are: `where`, and the gradient of `pow`, wait for a scalar of the CPU."""
    device = next((operand.device for operand in operands if not operand.is_cpu), None)
    return operands if device is None else tuple(moved(operand, device) for operand in operands)


def _power(base: Tensor, exponent: Tensor) -> Tensor:
    """Raise to a power; the result has the type of the base."""
    return torch.pow(*_in_one_place(base, exponent)).to(base.dtype)


_UNSIGNED = {torch.uint16, torch.uint32, torch.uint64}
"""The types that torch stores but hardly computes with."""


def _widened(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Let a function take unsigned integers too, by way of int64, and give a result of numbers their type."""

    def wide(*operands: Tensor) -> Tensor:
        dtype = operands[0].dtype
        if dtype not in _UNSIGNED:
            return function(*operands)
        integers = [operand.to(torch.int64) for operand in operands]
        if dtype == torch.uint64 and any(bool((operand < 0).any()) for operand in integers):
            raise OverflowError("unsigned integers from 2**63 on cannot be computed with")
        y = function(*integers)
        return y if y.dtype == torch.bool else y.to(dtype)

    return wide


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
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
}


@register(*_BINARY)
def binary(spec: OpSpec) -> Kernel:
    """Combine two tensors; before opset 7 the second may have to be lined up at an axis of the first."""
    function = _widened(_BINARY[spec.op_type])
    axis = spec.attributes.get("axis") if spec.opset < 7 and spec.integer("broadcast") else None
    if axis is None:
        return function

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        missing = a.ndim - axis % a.ndim - b.ndim
        return function(a, b.reshape(*b.shape, *(1,) * missing))

    return kernel


@register("Mod")
def modulo(spec: OpSpec) -> Kernel:
    """Remainder with the sign of the divisor or, with fmod, of the dividend."""
    return _widened(torch.fmod if spec.integer("fmod") else torch.remainder)


@register("BitShift")
def bit_shift(spec: OpSpec) -> Kernel:
    """Shift bits; those shifted out are lost, and from the left come zeros or, in negative numbers, ones."""
    left = spec.text("direction", "") == "LEFT"

    def kernel(x: Tensor, count: Tensor) -> Tensor:
        wide, counts = x.to(torch.int64), count.to(torch.int64)
        if left:
            y = torch.where(counts < 64, wide << counts.clamp(max=63), 0)
        elif x.dtype == torch.uint64:
            halves = (wide >> 1) & torch.iinfo(torch.int64).max
            y = torch.where(counts > 0, halves >> (counts - 1).clamp(0, 63), wide)
        else:
            y = wide >> counts.clamp(max=63)
        return y.to(x.dtype)

    return kernel


@register("IsInf")
def is_inf(spec: OpSpec) -> Kernel:
    """Find infinities, on demand of one sign only."""
    negative, positive = bool(spec.integer("detect_negative", 1)), bool(spec.integer("detect_positive", 1))
    return lambda x: (torch.isneginf(x) & negative) | (torch.isposinf(x) & positive)


def _variadic(function: Binary) -> Kernel:
    """Fold any number of tensors with a function of two."""
    wide = _widened(function)
    return lambda *operands: reduce(wide, operands)


def _mean(*operands: Tensor) -> Tensor:
    """Average any number of tensors."""
    return reduce(torch.add, operands) / len(operands)


def _where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Choose element by element."""
    condition, a, b = _in_one_place(condition, a, b)
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
        "Tan": torch.tan,
        "Asin": torch.asin,
        "Acos": torch.acos,
        "Atan": torch.atan,
        "Sinh": torch.sinh,
        "Cosh": torch.cosh,
        "Asinh": torch.asinh,
        "Acosh": torch.acosh,
        "Atanh": torch.atanh,
        "IsNaN": torch.isnan,
        "BitwiseNot": _widened(torch.bitwise_not),
        "Reciprocal": torch.reciprocal,
        "Floor": torch.floor,
        "Ceil": torch.ceil,
        "Round": torch.round,
    }
)
