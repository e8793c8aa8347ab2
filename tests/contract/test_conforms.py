"""The check of payloads by their types can fail."""

from typing import Any

import pytest

from natonnx.contract.optimize import OptimizeReport
from natonnx.contract.schema import finite
from tests.contract.conforms import departures, require_payload
from tests.report.examples import found


def changed(path: str, value: Any) -> Any:
    """The example with something else in a place; without it where the value is an ellipsis."""
    payload = finite(found())
    *parts, last = path.split(".")
    place = payload
    for part in parts:
        place = place[int(part) if part.isdigit() else part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return payload


def test_the_example_conforms() -> None:
    require_payload(finite(found()), OptimizeReport)
    require_payload(finite(found(output=None)), OptimizeReport)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("seed", "3", "$.seed: '3'"),
        ("status", "better", "$.status: 'better'"),
        ("input.params", None, "$.input.params: None"),
        ("input.score.test", "0.9", "$.input.score.test: '0.9'"),
        ("input.accuracy", 0.9, "$.input.accuracy: unknown"),
        ("constraints.0.label", ..., "$.constraints[0].label: missing"),
        ("front.0.interval", [0.5], "$.front[0].interval: [0.5]"),
        ("front.0.interval", [0.5, "0.6"], "$.front[0].interval: [0.5, '0.6']"),
        ("history.1.madds", 0.5, "$.history[1].madds: unknown"),
        ("idle_edges", "two", "$.idle_edges: 'two'"),
        ("input.outputs.validation", {"scores": True}, "$.input.outputs.validation.scores: True"),
    ],
)
def test_what_does_not(path: str, value: Any, says: str) -> None:
    assert departures(changed(path, value), OptimizeReport) == [says]


def test_what_may_be_left_out() -> None:
    payload = changed("history.0.entropy", ...)
    assert departures(payload, OptimizeReport) == []
