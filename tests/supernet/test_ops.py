"""The op table against ONNX's own node cases, and what it says of itself."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from natonnx.errors import InputError
from natonnx.frontend.vocabulary import TRAINABLE
from natonnx.supernet.ops import OpSpec, UnsupportedOpError, build, is_mode_dependent, supported
from tests.supernet.away import WaitsError, run_case
from tools.conformance.onnx_cases import KNOWN_FAILURES, UNCOVERED, Case, all_cases, failure
from tools.conformance.op_coverage import README, describe_table, families

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FEWEST_CASES = 1200  # a guard against a filter that drops cases silently
SOME_CASES = 8
WAITS: Mapping[str, str] = {
    "NonZero": "how many there are depends on values",
    "Unique": "how many there are depends on values",
    "uint64": "numbers from 2**63 on are refused",
}
"""Operators that wait for the host, and an element type; `tests/supernet/test_away.py` has those without a case."""


@pytest.fixture(scope="module")
def cases() -> dict[str, list[Case]]:
    """All cases that the table must pass, by operator."""
    by_op = defaultdict(list)
    for case in all_cases():
        if case.skipped is None:
            by_op[case.op_type].append(case)
    return by_op


@pytest.fixture(autouse=True)
def single_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("op_type", sorted(supported()))
def test_official_cases(op_type: str, cases: dict[str, list[Case]]) -> None:
    covered = any("_expanded" not in case.name for case in cases[op_type])
    assert covered != (op_type in UNCOVERED), "an operator is uncovered if and only if it is named there"
    failures = {case.name: reason for case in cases[op_type] if (reason := failure(case))}
    expected = {case.name for case in cases[op_type]} & KNOWN_FAILURES.keys()
    assert failures.keys() - expected == set(), failures
    assert expected - failures.keys() == set(), "these pass now: take them off the list of known failures"


def test_the_cases_wait_for_no_host(cases: dict[str, list[Case]]) -> None:
    """But for operators that have a reason: some cases of each, those that are spelt out in others left out."""
    failures: dict[str, list[str]] = defaultdict(list)
    groups = [[case for case in group if "_expanded" not in case.name] for group in cases.values()]
    for case in (case for group in groups for case in group[:: 1 + len(group) // SOME_CASES]):
        try:
            run_case(case)
        except (RuntimeError, WaitsError) as error:
            wide = any(value.dtype == np.uint64 for value in case.inputs)
            failures["uint64" if wide else case.op_type].append(f"{case.name}: {error}")
    assert failures.keys() == WAITS.keys(), failures


def test_official_cases_are_all_there(cases: dict[str, list[Case]]) -> None:
    names = [case.name for group in cases.values() for case in group]
    assert len(names) >= FEWEST_CASES
    assert set(names) >= KNOWN_FAILURES.keys()
    assert len(KNOWN_FAILURES) < 0.01 * len(names)


def test_the_readme_tells_what_the_table_holds() -> None:
    assert README.read_text().startswith(describe_table()), "python -m tools.conformance.op_coverage --markdown"
    listed = [op_type for group in families().values() for op_type in group]
    assert sorted(listed) == sorted(supported())


@pytest.mark.parametrize("op_type", ["Add", "Mul", "Pow", "Equal", "Max", "Where", "Concat"])
@pytest.mark.parametrize("shape", [(), (4,)])
def test_constants_on_the_cpu_mix_with_tensors_elsewhere(op_type: str, shape: tuple[int, ...]) -> None:
    """The device without data stands for an accelerator: torch checks devices there just as strictly."""
    if op_type == "Concat" and not shape:
        pytest.skip("scalars cannot be joined")
    away, here = torch.ones(4, device="meta"), torch.ones(shape)
    for operands in ((away, here), (here, away)):
        mask = (torch.ones(shape, dtype=torch.bool),) if op_type == "Where" else ()
        node = helper.make_node(op_type, ["x"] * (len(mask) + 2), ["y"], axis=0)
        result = build(OpSpec.from_node(node, 17))(*mask, *operands)
        assert isinstance(result, torch.Tensor)
        assert result.device.type == "meta"


def test_names_of_nodes_and_outputs_are_optional() -> None:
    node = helper.make_node("MaxPool", ["x"], ["y", ""], kernel_shape=[2, 2])
    spec = OpSpec.from_node(node, 12)
    assert (spec.name, spec.outputs, spec.n_outputs, spec.n_inputs) == ("y", (True, False), 2, 1)


@pytest.mark.parametrize(
    ("node", "opset", "reason"),
    [
        (helper.make_node("Bernoulli", ["x"], ["y"], name="odd"), 17, "no such operator"),
        (helper.make_node("BatchNormalization", list("xsbmv"), ["y"], name="odd", spatial=0), 8, "spatial=0"),
        (helper.make_node("Cast", ["x"], ["y"], name="odd", to=TensorProto.STRING), 17, "STRING"),
        (helper.make_node("Constant", [], ["y"], name="odd", value_string="text"), 17, "value_string"),
        (helper.make_node("Pad", ["x", "p"], ["y"], name="odd", mode="mirror"), 17, "mirror"),
        (helper.make_node("MaxPool", ["x"], ["y"], name="odd", kernel_shape=[1] * 4), 17, "4 spatial axes"),
    ],
)
def test_what_cannot_run_exactly_is_refused_in_one_line(node: onnx.NodeProto, opset: int, reason: str) -> None:
    with pytest.raises(UnsupportedOpError) as caught:
        build(OpSpec.from_node(node, opset))
    message = str(caught.value)
    assert isinstance(caught.value, InputError)
    assert "'odd'" in message
    assert node.op_type in message
    assert reason in message
    assert "\n" not in message


def test_the_tables_fit_together() -> None:
    assert TRAINABLE.keys() <= supported()
    assert {op_type for op_type in supported() if is_mode_dependent(op_type)} == {"BatchNormalization"}
    assert TRAINABLE["BatchNormalization"] == {1, 2}
