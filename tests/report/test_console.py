"""Tables for people."""

import io
from typing import Any

import pytest
from rich.console import Console

from natonnx.frontend import parse
from natonnx.report.console import show_inspection, show_optimization
from natonnx.report.payload import inspection
from tests.cli import tiny


def row(**changed: Any) -> dict[str, Any]:
    return {
        "path": "model.onnx",
        "params": 2000,
        "madds": 1_000_000,
        "size_bytes": 9000,
        "accuracy": {"validation": 0.9, "test": 0.88},
        "latency_ms": 2.0,
        **changed,
    }


def report(**changed: Any) -> dict[str, Any]:
    return {
        "status": "improved",
        "input": row(),
        "output": row(
            path="out[1].onnx", params=1000, madds=600_000, latency_ms=1.5, accuracy={"validation": 0.91, "test": 0.87}
        ),
        "edits": [{"edge": "block[0].conv", "from": "O", "to": "S"}],
        "constraints": [{"name": "madds", "limit": 700_000.0, "value": 600_000.0, "met": True}],
        "checks": [],
        "seconds": 12.3,
        "finetuned_input": {"accuracy": {"validation": 0.9, "test": 0.885}},
        "without_gradient": [],
        **changed,
    }


def shown(payload: dict[str, Any], width: int = 100) -> str:
    stream = io.StringIO()
    show_optimization(Console(file=stream, width=width), payload)
    return stream.getvalue()


def test_improved() -> None:
    text = shown(report())
    lines = {line[:24].strip(): line[24:].split() for line in text.splitlines()}
    assert lines["parameters"] == ["2,000", "1,000", "-50.0", "%"]
    assert lines["MAdds"] == ["1,000,000", "600,000", "-40.0", "%"]
    assert lines["latency (ms, 1 thread)"] == ["2.000", "1.500", "-25.0", "%"]
    assert lines["validation accuracy (%)"] == ["90.0", "91.0", "+1.0", "points"]
    assert lines["test accuracy (%)"] == ["88.0", "87.0", "-1.0", "points"]
    assert "O → S  block[0].conv" in text
    assert "MAdds: 600,000, at most 700,000: met" in text
    assert "fine-tuned by the same budget: test accuracy 88.5 %" in text
    assert "improved: out[1].onnx (12 s)" in text


def test_unchanged() -> None:
    limit = {"name": "validation_drop_points", "limit": 0.0, "value": 3.5, "met": False}
    text = shown(report(status="unchanged", output=None, edits=[], constraints=[limit]))
    lines = {line[:24].strip(): line[24:].split() for line in text.splitlines()}
    assert lines["parameters"] == ["2,000"]
    assert lines["test accuracy (%)"] == ["88.0"]
    assert "validation points lost: +3.5, at most +0.0: not met" in text
    assert "unchanged: no architecture met every constraint" in text
    assert "improved" not in text


def test_what_was_not_measured_is_left_out() -> None:
    unmeasured = {"validation": 0.9, "test": None}
    before = row(madds=None, latency_ms=None, accuracy=unmeasured)
    after = row(madds=None, latency_ms=None, accuracy=unmeasured)
    text = shown(report(input=before, output=after, finetuned_input={"accuracy": unmeasured}))
    lines = {line[:24].strip(): line[24:].split() for line in text.splitlines()}
    assert lines["MAdds"] == ["unknown", "unknown"]
    assert lines["latency (ms, 1 thread)"] == []
    assert "test accuracy" not in text
    assert "fine-tuned by the same budget: validation accuracy 90.0 %" in text
    assert "None" not in text
    assert "nan" not in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_any_width_and_no_colour_where_it_is_no_terminal(width: int) -> None:
    text = shown(report(), width)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width


def test_inspection() -> None:
    model = tiny.model()
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["x[bold]" if name == "x" else name for name in names]
    payload = inspection(parse(model), "odd[red].onnx")
    stream = io.StringIO()
    show_inspection(Console(file=stream, width=200), payload)
    text = stream.getvalue()
    assert "odd[red].onnx  opset 17, IR 8" in text
    assert "image → x[bold]" in text
    assert "input image: float [batch, 1, 8, 8]" in text
    (stem,) = (line.split() for line in text.splitlines() if line.startswith("stem "))
    assert stem[4:8] == ["O", "Conv", "4,608", "S"]
    assert "fixed: pool (ReduceMean): " in text


def test_a_batch_that_does_not_lead_is_told_of() -> None:
    payload = inspection(parse(tiny.model()), "model.onnx")
    payload["model"]["inputs"].append({"name": "h", "dtype": "float", "shape": [2, "N", 8], "batch_axis": 1})
    payload["model"]["inputs"].append({"name": "sr", "dtype": "int64", "shape": [], "batch_axis": None})
    stream = io.StringIO()
    show_inspection(Console(file=stream, width=200), payload)
    lines = [line.strip() for line in stream.getvalue().splitlines()]
    assert "input image: float [batch, 1, 8, 8]" in lines
    assert "input h: float [2, N, 8], batch on axis 1" in lines
    assert "input sr: int64 [], no batch axis" in lines


def test_inspection_of_unknown_shapes() -> None:
    payload = inspection(parse(tiny.model()), "model.onnx")
    payload["model"]["inputs"][0]["shape"] = None
    payload["model"]["outputs"][0]["shape"] = ["batch", None]
    payload["cost"]["madds"] = None
    payload["opaque"][0]["op_type"] = "Odd[red]"
    stream = io.StringIO()
    show_inspection(Console(file=stream, width=200), payload)
    text = stream.getvalue()
    assert "input image: float ?" in text
    assert "output scores: float [batch, ?]" in text
    assert "unknown MAdds a sample" in text
    assert "(Odd[red])" in text


def test_the_users_own_reward_has_a_row_and_its_own_unit() -> None:
    limit = {"name": "reward_lost", "limit": 0.0, "value": -0.00125, "met": True}
    text = shown(report(input=row(reward=12.5), output=row(reward=12.50125), constraints=[limit]))
    assert ["reward", "12.5", "12.5", "+0.00125"] in [line.split() for line in text.splitlines()]
    assert "reward lost: -0.00125, at most +0: met" in text
    text = shown(report(input=row(reward=12.5), output=None))
    assert ["reward", "12.5"] in [line.split() for line in text.splitlines()]
    assert "reward" not in shown(report())
