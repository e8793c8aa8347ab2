"""How a promise is shown: its bound rounded up, what it rests on, and which models it was not asked of."""

import io
from typing import Any

import pytest
from rich.console import Console

from natonnx.contract.optimize import OptimizeReport
from natonnx.contract.schema import finite
from natonnx.report.console import show_optimization
from natonnx.report.html import html_report
from natonnx.report.markdown import optimization
from natonnx.report.optimize import front, limits
from natonnx.report.score import bound
from tests.contract.conforms import require_payload
from tests.report.examples import ENVIRONMENT, PERCENT, POINTS, REWARD, found, inspected, made

LABEL = "test accuracy lost, upper bound at 95 % confidence"


def report(value: float, enough: int | None, **changed: Any) -> OptimizeReport:
    promise = {"confidence": 0.95, "split": "test", "samples": 1000, "lost": 0.2, "enough": enough}
    row = {
        "name": "promise",
        "label": LABEL,
        "unit": POINTS,
        "limit": 0.5,
        "value": value,
        "met": enough is None,
        "interval": None,
        "promise": promise,
    }
    return found(constraints=[row], **changed)


def test_a_promise_that_holds() -> None:
    payload = report(0.4312, None)
    require_payload(finite(payload), OptimizeReport)
    assert limits(payload) == [
        (LABEL, "+0.44 points", "+0.50 points", True, "1,000 test samples, which lost +0.2 points")
    ]


def test_one_that_does_not_says_what_would_do() -> None:
    payload = report(0.61, 2900, output=None, edits=[])
    page = io.StringIO()
    show_optimization(Console(file=page, width=200), payload)
    said = "1,000 test samples, which lost +0.2 points; about 2,900 that lose as much would be enough"
    assert f"{LABEL}: +0.61 points, at most +0.50 points: not met ({said})" in page.getvalue()
    assert f"| {LABEL} | +0.61 points | at most +0.50 points | **not met**: {said} |" in optimization(payload)
    assert said in html_report(inspected(), ENVIRONMENT, payload)


def test_a_model_that_was_not_asked_is_not_said_to_fail() -> None:
    rows = [made(lost_at_most=0.004), made(met=False, lost_at_most=0.00611), made(met=None), made(met=False)]
    assert [row[-1] for row in front(found(front=rows))] == [
        "met",
        "not met: up to +0.62 points lost",
        "met on validation",
        "not met",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0.005, "+0.50 points"), (0.0050001, "+0.51 points"), (0.0, "+0.00 points")]
)
def test_a_bound_is_rounded_up(value: float, text: str) -> None:
    assert bound(value, PERCENT) == text
    assert bound(12.3456, REWARD["unit"]) == "+12.35"
