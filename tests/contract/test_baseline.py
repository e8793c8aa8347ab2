"""Earlier reports as JSON: what is read of them, and what is refused."""

import json
from typing import Any

import pytest

from natonnx.contract.baseline import parse_report
from natonnx.contract.schema import SCHEMA_VERSION, finite
from natonnx.errors import InputError
from tests.report.examples import found

TIMES = {"median": 2.0, "p90": 3.0, "low": 1.9, "high": 2.1}


def row(path: str = "a/m.onnx", provider: str = "CPUExecutionProvider", **changed: Any) -> dict[str, Any]:
    return {
        "path": path,
        "sha256": "0",
        "provider": provider,
        "params": 10,
        "madds": 20,
        "size_bytes": 30,
        "peak_memory_bytes": 40,
        "score": {"validation": 0.5, "test": None},
        "latency_ms": {**TIMES},
        "ratio": None,
        "cpu_ms": None,
        "cpu_ratio": None,
        "sessions": 10,
        "rounds": 20,
        "profile": None,
        **changed,
    }


def bench(*models: dict[str, Any], **changed: Any) -> dict[str, Any]:
    conditions = {
        "providers": ["CPUExecutionProvider"],
        "threads": 1,
        "seconds": 1.0,
        "warm_up": 3,
        "seed": 7,
        "inputs": [],
        "confidence": 0.99,
        "onnxruntime": "1",
        "machine": {"system": "s", "cpu": None, "cores": 1, "gpus": []},
    }
    payload = {"schema": SCHEMA_VERSION, "models": [*models], "left_out": [], "conditions": conditions}
    return {**payload, "objective": None, "data": None, **changed}


def test_a_report_of_bench() -> None:
    cuda = row(provider="CUDAExecutionProvider", latency_ms={**TIMES, "median": 1.0})
    report = parse_report(json.dumps(bench(row(), cuda, row("b/n.onnx"))), "r.json")
    assert [figures.path for figures in report.models] == ["a/m.onnx", "b/n.onnx"]
    figures = report.figures_of("elsewhere/m.onnx")
    assert (figures.params, figures.madds, figures.size_bytes) == (10, 20, 30)
    assert [each["latency_ms"]["median"] for each in figures.measured.values()] == [2.0, 1.0]
    assert (report.seed, report.data, report.samples) == (7, None, {})
    assert report.conditions is not None


def test_a_report_of_optimize() -> None:
    """The output's figures, the input's where that stands; nothing was measured that can be compared."""
    payload = finite(found())
    report = parse_report(json.dumps(payload), "r.json")
    (figures,) = report.models
    after = payload["output"]
    assert (figures.params, figures.madds, figures.score) == (after["params"], after["madds"], after["score"])
    assert (figures.measured, report.conditions) == ({}, None)
    assert (report.data, report.samples) == (payload["data"]["name"], payload["data"]["samples"])
    report = parse_report(json.dumps({**payload, "output": None}), "r.json")
    assert report.figures_of("any").params == payload["input"]["params"]


def test_further_keys_are_ignored() -> None:
    """Keys may be added without a new version."""
    assert parse_report(json.dumps({**bench(row(more=[1])), "new": {}}), "r.json").models


@pytest.mark.parametrize("model", ["n.onnx", "m"])
def test_which_model_of_several(model: str) -> None:
    report = parse_report(json.dumps(bench(row("a/m.onnx"), row("b/m.onnx"), row("m"))), "r.json")
    if model == "m":
        assert report.figures_of("x/m").path == "m"
        with pytest.raises(InputError, match=r"several called m\.onnx; give a report of one model"):
            report.figures_of("m.onnx")
    else:
        with pytest.raises(InputError, match=r"r\.json: has figures of a/m\.onnx, b/m\.onnx, m, none called n\.onnx"):
            report.figures_of(model)


def damaged(path: str, value: Any) -> str:
    payload = bench(row())
    *parts, last = path.split(".")
    place: Any = payload
    for part in parts:
        place = place[int(part) if part.isdigit() else part]
    place[last] = value
    return json.dumps(payload)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"not JSON \(line 1: Expecting value\); give what natonnx bench --json or .*"),
        ("[" * 100_000, "not a report .*"),
        ("9" * 5000, "not a report .*"),
        ('{"schema": NaN}', r"not a report \(NaN is no number\); .*"),
        ("[]", "not a report of natonnx, or one of a version before schemas; .*"),
        ('{"models": []}', "not a report of natonnx, or one of a version before schemas; .*"),
        ('{"schema": "4"}', "not a report of natonnx, .*"),
        ('{"schema": 4, "gates": []}', "a report of natonnx check, which has ratios and no figures; .*"),
        ('{"schema": 4, "edges": []}', "a report of another command; .*"),
        (json.dumps(bench(row(), schema=3)), r"made by an older natonnx \(schema 3, this one reads \d\); make it anew"),
        (json.dumps(bench(row(), schema=99)), r"made by a newer natonnx \(schema 99, .*"),
        (json.dumps(bench()), "has no models; .*"),
        (damaged("models", {}), r"damaged at \$\.models: \{\}; .*"),
        (damaged("models.0.params", "ten"), r"damaged at \$\.models\[0\]\.params: 'ten'; .*"),
        (damaged("models.0.params", -1), r"damaged at \$\.models\[0\]\.params: -1; .*"),
        (damaged("models.0.latency_ms.low", 0), r"damaged at \$\.models\[0\]\.latency_ms\.low: 0; .*"),
        (damaged("models.0.latency_ms", None), r"damaged at \$\.models\[0\]\.latency_ms: None; .*"),
        (damaged("models.0.score.test", "x" * 9999), r"damaged at .{160}; .*"),
        (damaged("conditions.machine", "here"), r"damaged at \$\.conditions\.machine: 'here'; .*"),
        (damaged("models.0.latency_ms.high", 7).replace("7}", "1e999}"), r"damaged at .*latency_ms\.high: inf; .*"),
        (json.dumps({**finite(found()), "input": None}), r"damaged at \$\.input: None; .*"),
    ],
)
def test_what_is_no_such_report_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(InputError, match=f"^r.json: {says}$"):
        parse_report(text, "r.json")
