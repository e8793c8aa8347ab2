"""Sizes that are arithmetic over symbols, such as `20*N`, `H/2` or `floor((H + 1)/2)`."""

import ast
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from math import ceil, floor

import onnx

__all__ = ["declared_size", "evaluate"]

_LONGEST = 200
_LARGEST = 1 << 63
_FUNCTIONS: Mapping[str, Callable[..., Fraction | int]] = {
    "floor": floor,
    "ceil": ceil,
    "ceiling": ceil,
    "Max": max,
    "Min": min,
    "Mod": lambda one, other: one % other,
}
_OPERATORS: Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction | int]] = {
    ast.Add: lambda one, other: one + other,
    ast.Sub: lambda one, other: one - other,
    ast.Mult: lambda one, other: one * other,
    ast.Div: lambda one, other: one / other,
    ast.FloorDiv: lambda one, other: one // other,
    ast.Mod: lambda one, other: one % other,
}


def declared_size(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    """The size of an axis as a file has it; None where it is open and has no real name ("?", "-1", "unk__0")."""
    size: int = dim.dim_value
    if size > 0 or (size == 0 and dim.HasField("dim_value")):
        return size
    name = str(dim.dim_param)
    return None if name.startswith("unk__") or not name.strip("?-1 ") else name


def evaluate(size: int | str | None, values: Mapping[str, int]) -> int | None:
    """Compute a size from the sizes of symbols.

    Returns:
        None where it depends on anything else, or is no whole number.
    """
    if isinstance(size, int):
        return size
    if size is None or size in values or len(size) > _LONGEST or not values:
        return values.get(size) if size is not None else None
    names = sorted(values, key=len, reverse=True)  # a name may hold dots or spaces: it is replaced before parsing
    pattern = "|".join(rf"(?<![\w.]){re.escape(name)}(?![\w.])" for name in names)
    text = re.sub(pattern, lambda match: str(values[match.group()]), size)
    try:
        result = _compute(ast.parse(text, mode="eval").body)
    except (ValueError, TypeError, SyntaxError, ZeroDivisionError, OverflowError, RecursionError, MemoryError):
        return None
    return int(result) if result.denominator == 1 else None


def _compute(node: ast.expr) -> Fraction:
    """Compute an expression; what is too large for a size is none."""
    value = _computed(node)
    if abs(value) > _LARGEST:
        raise ValueError(value)
    return value


def _computed(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_compute(node.operand)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        exponent = _compute(node.right)
        if exponent not in (1, 2, 3, 4):
            raise ValueError(exponent)
        return _compute(node.left) ** int(exponent)
    if isinstance(node, ast.BinOp):
        operator = _OPERATORS.get(type(node.op))
        if operator is not None:
            return Fraction(operator(_compute(node.left), _compute(node.right)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        return Fraction(_FUNCTIONS[node.func.id](*map(_compute, node.args)))
    raise ValueError(ast.dump(node))
