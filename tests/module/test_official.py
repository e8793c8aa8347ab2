"""ONNX's own node cases, each model as a module."""

from __future__ import annotations

import pytest

from tools.conformance.onnx_cases import KNOWN_FAILURES, all_cases
from tools.conformance.to_torch import problem

SOME = 12


def _failures(step: int) -> dict[str, str]:
    cases = [case for case in all_cases() if case.skipped is None][::step]
    return {case.name: wrong for case in cases if (wrong := problem(case))}


def test_some_cases_pass() -> None:
    failures = _failures(SOME)
    assert failures.keys() <= KNOWN_FAILURES.keys(), failures


@pytest.mark.slow
def test_all_cases_pass_that_the_table_passes() -> None:
    failures = _failures(1)
    assert failures.keys() == KNOWN_FAILURES.keys(), failures
