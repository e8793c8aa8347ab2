"""Arithmetic with shapes in Python's own integers: nobody waits for a device, and torch.compile sees through it."""

import functools
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from onnx import TensorProto
from torch import Tensor

from natonnx.supernet.ops import OpSpec, host_positions

__all__ = ["Numbers", "as_numbers", "as_tensor", "numbers_at", "of_numbers", "of_shapes", "rule_of"]

Rule: TypeAlias = Callable[..., Any]

_MOST = 64
"""Entries."""

_READ_AS_INTEGERS = frozenset(
    {"ConstantOfShape", "Expand", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Unsqueeze"}
)


@dataclass(frozen=True)
class Numbers:
    """A tensor of int64, or of truth values, of one axis or none.

    Attributes:
        values: Its entries; sizes may be symbolic while torch.compile traces.
        rank: How many axes it has, 0 or 1.
        held: The same as a tensor, where it is a constant.
    """

    values: tuple[Any, ...]
    rank: int
    held: Tensor | None = None

    is_cpu = True
    """As kernels ask of a tensor."""

    def reshape(self, *_: int) -> "Numbers":
        """Return the entries along one axis."""
        return self

    def tolist(self) -> list[Any]:
        """Return the entries."""
        return list(self.values)


def as_numbers(value: Tensor) -> Numbers | Tensor:
    """Return a small constant of int64 as numbers, and anything else as it is."""
    if value.dtype != torch.int64 or value.dim() > 1 or value.numel() > _MOST:
        return value
    return Numbers(tuple(value.reshape(-1).tolist()), value.dim(), value)


def as_tensor(value: Any) -> Any:
    """Return numbers as a tensor on the CPU, and anything else as it is."""
    if not isinstance(value, Numbers):
        return value
    if value.held is not None:
        return value.held
    if not value.values:
        return torch.empty(0, dtype=torch.int64)
    return torch.tensor(value.values if value.rank else value.values[0])


def numbers_at(op_type: str) -> frozenset[int]:
    """Return the positions of the inputs that an operator's kernels take numbers at: they read them by `integers`."""
    reads = op_type in _READ_AS_INTEGERS or op_type.startswith("Reduce")
    return host_positions(op_type) if reads else frozenset()


def of_shapes(op_type: str) -> bool:
    """Whether an operator makes numbers of the shape of a tensor."""
    return op_type in {"Shape", "Size"}


def of_numbers(op_type: str) -> bool:
    """Whether an operator makes numbers of numbers."""
    return op_type in _RULES.keys() - {"Range"} | {"ConstantOfShape", "Gather"}


def rule_of(spec: OpSpec) -> Rule | None:
    """Return how a node runs on numbers, or on the shape of a tensor; None where its kernel has to.

    Returns:
        A function of the operands, tensors or numbers, which may return None too.
    """
    if spec.op_type in _MIXED:
        return functools.partial(_MIXED[spec.op_type], spec)
    if spec.op_type == "ConstantOfShape":
        value = spec.attributes.get("value")
        if value is None or value.dtype != "int64":
            return None
        return functools.partial(_on_numbers, functools.partial(_filled, int(value.flat[0])))
    rule = _RULES.get(spec.op_type)
    return None if rule is None else functools.partial(_on_numbers, functools.partial(rule, spec))


def _on_numbers(rule: Rule, *operands: Any) -> Any:
    return rule(*operands) if all(one is None or isinstance(one, Numbers) for one in operands) else None


def _shape(spec: OpSpec, x: Tensor | Numbers) -> Numbers:
    return Numbers(tuple(as_tensor(x).shape[spec.integer("start") : spec.attributes.get("end")]), 1)


def _gather(spec: OpSpec, x: Tensor | Numbers, index: Any) -> Tensor | Numbers | None:
    """Look up numbers, or one entry of an axis of a tensor, which goes."""
    if not isinstance(index, Numbers):
        return None
    if isinstance(x, Numbers):
        return Numbers(tuple(x.values[i] for i in index.values), index.rank)
    return None if index.rank else x.select(spec.integer("axis") % x.ndim, index.values[0])


_MIXED: Mapping[str, Callable[..., Any]] = {
    "Gather": _gather,
    "Shape": _shape,
    "Size": lambda _, x: Numbers((as_tensor(x).numel(),), 0),
}
"""Of tensors too."""


def _concat(_: OpSpec, *parts: Numbers) -> Numbers | None:
    return Numbers(tuple(value for part in parts for value in part.values), 1) if all(p.rank for p in parts) else None


def _unsqueeze(_: OpSpec, x: Numbers, *__: Numbers | None) -> Numbers | None:
    return None if x.rank else Numbers(x.values, 1)


def _squeeze(_: OpSpec, x: Numbers, *__: Numbers | None) -> Numbers | None:
    return Numbers(x.values, 0) if len(x.values) == 1 else None


def _slice(spec: OpSpec, x: Numbers, *bounds: Numbers | None) -> Numbers | None:
    if spec.opset < 10:
        start, end, step = (spec.integers("starts") or (0,))[0], (spec.integers("ends") or (0,))[0], 1
    else:
        start, end = (bound.values[0] for bound in bounds[:2] if bound is not None)
        step = 1 if len(bounds) < 4 or bounds[3] is None else bounds[3].values[0]
    return Numbers(x.values[start:end:step], 1) if x.rank else None


def _cast(spec: OpSpec, x: Numbers) -> Numbers | None:
    whole = not any(isinstance(value, bool) for value in x.values)
    return x if spec.integer("to") == TensorProto.INT64 and whole else None


def _reshape(spec: OpSpec, x: Numbers, shape: Numbers | None = None) -> Numbers | None:
    target = shape.values if shape is not None else spec.integers("shape") or ()
    fits = target in {(), (-1,), (len(x.values),)}
    return Numbers(x.values, len(target)) if fits and (target or len(x.values) == 1) else None


def _filled(value: int, shape: Numbers) -> Numbers | None:
    count = shape.values[0] if len(shape.values) == 1 else None
    return Numbers((value,) * count, 1) if isinstance(count, int) and count <= _MOST else None


def _range(_: OpSpec, start: Numbers, limit: Numbers, delta: Numbers) -> Tensor:
    first, last, step = (number.values[0] for number in (start, limit, delta))
    return torch.arange(first, max(first, last) if step > 0 else min(first, last), step)


def _product(spec: OpSpec, x: Numbers, *_: Numbers | None) -> Numbers | None:
    return Numbers((math.prod(x.values),), 0) if not spec.integer("keepdims", 1) and x.rank else None


def _each(function: Callable[..., Any]) -> Callable[..., Numbers | None]:
    """A rule of each entry by itself; of one entry, it stands for all."""

    def rule(_: OpSpec, *operands: Numbers) -> Numbers | None:
        lengths = {len(operand.values) for operand in operands if operand.rank and len(operand.values) != 1}
        if len(lengths) > 1:
            return None
        size = max(lengths, default=1)
        columns = [one.values if len(one.values) == size else one.values * size for one in operands]
        rank = max(operand.rank for operand in operands)
        return Numbers(tuple(function(*row) for row in zip(*columns, strict=True)), rank)

    return rule


def _divide(a: Any, b: Any) -> Any:
    """Divide and cut off; sizes that are symbols are never negative."""
    whole = isinstance(a, int) and isinstance(b, int)
    return a // b if not whole or (a < 0) == (b < 0) else -(-a // b)


_RULES: Mapping[str, Callable[..., Any]] = {
    "Add": _each(operator.add),
    "Cast": _cast,
    "Concat": _concat,
    "Div": _each(_divide),
    "Equal": _each(operator.eq),
    "Identity": lambda _, x: x,
    "Mul": _each(operator.mul),
    "Range": _range,
    "ReduceProd": _product,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _each(operator.sub),
    "Unsqueeze": _unsqueeze,
    "Where": _each(lambda condition, a, b: a if condition else b),
}
"""Of numbers alone."""
