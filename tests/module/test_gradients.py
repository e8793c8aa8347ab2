"""Gradients of every differentiable operator against finite differences, in double precision, by the official cases."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from natonnx.frontend import parse
from natonnx.module import convert
from natonnx.supernet.ops import host_positions, supported
from natonnx.supernet.ops.operands import as_tensor
from tools.conformance.onnx_cases import Case, all_cases

if TYPE_CHECKING:
    from collections.abc import Mapping

FEW, MOST_VALUES = 1, 20_000
"""Cases of an operator, the smallest ones; numbers that a case is given."""

LEFT_OUT = ("_expanded", "empty_set", "test_operator_sqrt")
"""Parts of names of cases: spelt out in other operators, of no numbers, of roots of negative ones."""

CONSTANT: Mapping[str, set[int]] = {
    "BatchNormalization": {3, 4},  # running statistics
    "GridSample": {1},  # where the case puts points on the border, which it is not smooth at
    "NegativeLogLikelihoodLoss": {2},  # weights of classes
    "OneHot": {0},
    "RoiAlign": {1},  # boxes, of which torch knows no gradient either
    "SoftmaxCrossEntropyLoss": {2},
}
"""Inputs in which an operator is not differentiable, besides whole numbers and what kernels read as numbers."""

COARSE = frozenset({"RMSNormalization", "DequantizeLinear"})
"""Computed in single precision, as the cases ask by an attribute, or exactly that of a type."""

NONE = frozenset(
    {"And", "ArgMax", "ArgMin", "BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"}
    | {"BlackmanWindow", "Cast", "CastLike", "Constant", "ConstantOfShape", "ConvInteger", "Equal", "EyeLike"}
    | {"Greater", "GreaterOrEqual", "HammingWindow", "HannWindow", "Hardmax", "IsInf", "IsNaN", "Less", "LessOrEqual"}
    | {"MatMulInteger", "NonZero", "Not", "Or", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "Range", "Shape"}
    | {"Size", "Unique", "Xor"}
)
"""Operators of whole numbers, truth values or types, and those whose output says nothing of how much input changes."""
UNCOVERED = frozenset({"GlobalLpPool", "MaxRoiPool", "Trilu"})
"""No official case has fractions: tests/supernet compares the first two with onnxruntime, the last one cuts."""


def check(case: Case) -> bool | str:
    """Whether gradients of a case are right; False where it has none."""
    module = convert(parse(case.model)).double().eval()
    generator = torch.Generator().manual_seed(0)
    given: dict[str, Tensor] = {}
    node = next(node for node in case.model.graph.node if node.op_type == case.op_type)
    fixed = {name for i, name in enumerate(node.input) if i in host_positions(node.op_type)}
    fixed.update(name for i, name in enumerate(node.input) if i in CONSTANT.get(case.op_type, set()))
    for info, array in zip(case.model.graph.input, case.inputs, strict=False):
        value = as_tensor(np.array(array))
        if info.name not in module.input_names:
            continue
        value = value.double() if value.dtype == torch.float32 else value
        if value.dtype == torch.float64 and info.name not in fixed:
            noise = torch.rand(value.shape, generator=generator, dtype=torch.float64)
            value = (value * (1 + 0.03 * noise) + 0.01 * noise).requires_grad_()  # away from kinks, in the same domain
        given[info.name] = value
    names = list(given)
    if sum(value.numel() for value in given.values()) > MOST_VALUES:
        return False

    def run(*values: Tensor) -> tuple[Tensor, ...]:
        made = module(**dict(zip(names, values, strict=True)))
        made = made if isinstance(made, tuple) else (made,)
        return tuple(value for value in made if value.requires_grad and value.dtype == torch.float64)

    eps, tolerance = (1e-2, 1e-2) if case.op_type in COARSE else (1e-6, 1e-5)
    try:
        if not any(value.requires_grad for value in given.values()) or not run(*given.values()):
            return False
        torch.autograd.gradcheck(run, list(given.values()), fast_mode=True, eps=eps, atol=tolerance, rtol=1e-3)
    except (RuntimeError, ValueError) as error:
        return f"{case.name}: {' '.join(str(error).split())[:200]}"
    return True


def test_gradients_of_every_operator() -> None:
    cases = defaultdict(list)
    for case in all_cases():
        if case.skipped is None and not any(part in case.name for part in LEFT_OUT):
            cases[case.op_type].append(case)
    wrong: list[str] = []
    checked: set[str] = set()
    for op_type, group in cases.items():
        found = 0
        for case in sorted(group, key=lambda case: sum(np.size(array) for array in case.inputs)):
            outcome = check(case) if found < FEW and op_type not in NONE else False
            found += bool(outcome)
            if isinstance(outcome, str):
                wrong.append(outcome)
        if found:
            checked.add(op_type)
    assert not wrong, "\n".join(wrong)
    assert supported() - checked == NONE | UNCOVERED


@pytest.mark.parametrize("name", ["picture", "sentence"])
def test_gradients_of_parameters(name: str) -> None:
    """Of whole nets, by the directions of random vectors."""
    from tests.module import nets

    module = nets.brought_back(name).double()
    x = nets.inputs_of(name, 2)
    x = x.double() if x.is_floating_point() else x
    names = [key for key, _ in module.named_parameters()]

    def run(*values: Tensor) -> Tensor:
        made: Tensor = torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))
        return made

    values = [value.detach().clone().requires_grad_() for value in module.parameters()]
    assert torch.autograd.gradcheck(run, values, fast_mode=True)
