"""Runs of steps that one call of torch computes: a bias behind a matrix product, GELU spelt out.

Exporters write them as several nodes. In one call they take less time and memory, forward and backward; what is between
them is not there then, so whoever asks for that gets the steps one by one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from natonnx.frontend import RunNode
from natonnx.supernet.plan import Step

__all__ = ["Fused", "affine", "fuse"]

_CLOSE = 1e-5
"""Relative: that a constant may differ from what it stands for."""

Numbers = Callable[[str], float | None]
"""The value of a constant of one element, by name; None of others and of what is trained."""


class Fused(NamedTuple):
    """Steps of which some are several.

    Attributes:
        steps: In order.
        hidden: Tensors that they do not make.
    """

    steps: list[Step]
    hidden: frozenset[str]


class _Run(NamedTuple):
    """Steps that one call computes."""

    call: Callable[..., Tensor]
    inputs: tuple[str, ...]
    steps: tuple[int, ...]


def fuse(steps: Sequence[Step], ranks: Mapping[str, int], number: Numbers, kept: frozenset[str]) -> Fused:
    """Join steps.

    Args:
        steps: Those of a plan.
        ranks: Numbers of axes of the constants, trained or not, by name.
        number: See `Numbers`.
        kept: Tensors that must be made.
    """
    view = _View(steps, kept)
    found: dict[int, _Run] = {}
    for i in range(len(steps)):
        run = _linear(view, i, ranks) or _gelu(view, i, number)
        if run is not None:
            found[max(run.steps)] = run
    gone = {i for run in found.values() for i in run.steps} - found.keys()
    made: list[Step] = []
    for i, step in enumerate(steps):
        if i in found:
            made.append(Step(step.instruction, found[i].call, found[i].inputs, step.outputs))
        elif i not in gone:
            made.append(step)
    return Fused(made, frozenset(name for i in gone for name in steps[i].outputs))


class _View:
    """Steps by what they make and read."""

    def __init__(self, steps: Sequence[Step], kept: frozenset[str]) -> None:
        self.steps = steps
        self.maker = {name: i for i, step in enumerate(steps) for name in step.outputs}
        self.readers: dict[str, list[int]] = {}
        for i, step in enumerate(steps):
            for name in step.inputs:
                self.readers.setdefault(name, []).append(i)
        self._kept = kept

    def is_a(self, i: int, kind: str) -> bool:
        """Whether a step is a node of a kind, and all of it."""
        step = self.steps[i]
        whole = isinstance(step.instruction, RunNode) and step.instruction.trim is None
        return whole and step.spec is not None and step.spec.op_type == kind

    def only_reader(self, i: int) -> int | None:
        """Return the step that alone reads what a step makes, once; None where there is none such."""
        (output, *more) = self.steps[i].outputs
        readers = self.readers.get(output, ())
        return None if more or output in self._kept or len(readers) != 1 else readers[0]

    def other(self, i: int, name: str) -> str | None:
        """Return the other input of a step of two."""
        inputs = self.steps[i].inputs
        if len(inputs) != 2 or name not in inputs:
            return None
        return inputs[1] if inputs[0] == name else inputs[0]


def _linear(view: _View, i: int, ranks: Mapping[str, int]) -> _Run | None:
    """A matrix product with a constant, and a bias."""
    if not view.is_a(i, "MatMul") or ranks.get(view.steps[i].inputs[1]) != 2:
        return None
    end = view.only_reader(i)
    if end is None or not view.is_a(end, "Add"):
        return None
    bias = view.other(end, view.steps[i].outputs[0])
    if bias is None or ranks.get(bias) != 1:
        return None
    return _Run(affine, (*view.steps[i].inputs, bias), (i, end))


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the product and the bias; a bias that is no vector of outputs is broadcast as onnx does."""
    if x.dim() < 2 or bias.shape[0] != weight.shape[1]:
        return x @ weight + bias
    return functional.linear(x, weight.t(), bias)


def _gelu(view: _View, i: int, number: Numbers) -> _Run | None:
    """0.5 · x · (1 + erf(x / √2)), in any order of the products."""
    if not view.is_a(i, "Erf"):
        return None
    before = view.maker.get(view.steps[i].inputs[0])
    if before is None or view.only_reader(before) != i:
        return None
    x = _scaled(view, before, math.sqrt(0.5), number)
    added = view.only_reader(i)
    if x is None or added is None or not view.is_a(added, "Add"):
        return None
    one = view.other(added, view.steps[i].outputs[0])
    if one is None or not _is(number(one), 1.0):
        return None
    return _product(view, x, (before, i, added), number)


def _scaled(view: _View, i: int, factor: float, number: Numbers) -> str | None:
    """Return what a step multiplies by a factor, or divides by its inverse; None where it does not."""
    inputs = view.steps[i].inputs
    if view.is_a(i, "Div"):
        by = number(inputs[1])
        return inputs[0] if by and _is(1 / by, factor) else None
    if view.is_a(i, "Mul"):
        for x, other in (inputs, inputs[::-1]):
            if _is(number(other), factor):
                return x
    return None


def _product(view: _View, x: str, steps: tuple[int, ...], number: Numbers) -> _Run | None:
    """Follow the products with x and with a half, behind or before one another; x · 0.5 may have been made apart."""
    has_x = has_half = False
    while not (has_x and has_half):
        end = view.only_reader(steps[-1])
        if end is None or not view.is_a(end, "Mul"):
            return None
        factor = view.other(end, view.steps[steps[-1]].outputs[0])
        apart = None if factor is None else view.maker.get(factor)
        if factor == x and not has_x:
            has_x = True
        elif factor is not None and _is(number(factor), 0.5) and not has_half:
            has_half = True
        elif apart is not None and not (has_x or has_half) and view.only_reader(apart) == end:
            if _scaled(view, apart, 0.5, number) != x:
                return None
            steps, has_x, has_half = (apart, *steps), True, True
        else:
            return None
        steps = (*steps, end)
    return _Run(functional.gelu, (x,), steps)


def _is(value: float | None, wanted: float) -> bool:
    return value is not None and math.isclose(value, wanted, rel_tol=_CLOSE)
