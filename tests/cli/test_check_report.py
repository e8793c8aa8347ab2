"""`natonnx check --baseline-report`: figures of an earlier report, and when they say nothing of now."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from natonnx import apply, benchmark, check
from natonnx.architecture import Edit, State
from natonnx.bench import Timings
from natonnx.cli import main
from natonnx.contract.check import CheckReport, GateRow
from natonnx.errors import InputError
from natonnx.verbs.check import Thresholds
from natonnx.verbs.model_comparison import Conditions
from tests.cli import tiny
from tests.contract.conforms import require_payload

CPU = "CPUExecutionProvider"
ALL = Thresholds(max_madds_ratio=1, max_params_ratio=1, max_size_ratio=1, max_memory_ratio=1.5, max_drop=0)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx, skipped.onnx, which is smaller, and last.json: what bench says of both."""
    folder = tiny.fill(tmp_path_factory.mktemp("measured"))
    apply(folder / "model.onnx", [Edit("one", State.O, State.S)], folder / "skipped.onnx")
    models = [folder / "model.onnx", folder / "skipped.onnx"]
    payload = benchmark(models, str(folder / "data.npz"), conditions=Conditions(seconds=0.05))
    (folder / "last.json").write_text(json.dumps(payload), encoding="utf-8")
    return folder


@pytest.fixture
def last(measured: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the report with something else in places of it, such as `conditions.threads`."""

    def write(*, only: int | None = None, **changed: Any) -> Path:
        payload = json.loads((measured / "last.json").read_text(encoding="utf-8"))
        if only is not None:
            payload["models"] = [payload["models"][only]]
        for path, value in changed.items():
            *parts, final = path.split("__")
            place = payload
            for part in parts:
                place = place[int(part) if part.isdigit() else part]
            place[final] = value
        made = tmp_path / "last.json"
        made.write_text(json.dumps(payload), encoding="utf-8")
        return made

    return write


@pytest.fixture
def ratio(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """Makes models take a millisecond, and the last of several so many times as long, by each clock."""

    def put(cpu: float, wall: float) -> None:
        def extend(timings: Timings, _seconds: float) -> None:
            for blocks, value in ((timings.cpu_blocks, cpu), (timings.blocks, wall)):
                rows = [[1.0, 1.0]] * (len(timings._open) - 1) + [[value, value]]
                blocks.extend([np.array(rows)] * 10)

        monkeypatch.setattr("natonnx.bench.latency.Timings.extend", extend)

    return put


def latency(folder: Path, report: Path, limit: float, baseline: str | None = None, **conditions: Any) -> GateRow:
    payload = check(
        folder / "skipped.onnx",
        baseline and folder / baseline,
        Thresholds(max_latency_ratio=limit),
        conditions=Conditions(**conditions),
        baseline_report=report,
    )
    (gate,) = payload["gates"]
    return gate


def times(median: float, spread: float = 1.0) -> dict[str, float]:
    return {"median": median, "p90": 2 * median, "low": median / spread, "high": median * spread}


def of(value: float) -> dict[str, float]:
    return {"value": value, "low": value, "high": value}


def test_figures_of_the_same_model_are_its_own(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the model's old file; real runs."""
    limits = ["--max-madds-ratio", "1", "--max-params-ratio", "1", "--max-size-ratio", "1", "--max-memory-ratio", "1.5"]
    given = [*limits, "--max-drop", "0", "--max-latency-ratio", "1000", "--seconds", "0.05"]
    report = measured / "last.json"
    with pytest.raises(SystemExit) as stopped:
        main(["check", str(measured / "skipped.onnx"), "--baseline-report", str(report), *given, "--data",
              str(measured / "data.npz"), "--json"])  # fmt: skip
    payload = json.loads(capsys.readouterr().out)
    assert stopped.value.code == 0
    require_payload(payload, CheckReport)
    assert (payload["baseline"], payload["baseline_report"]) == (None, str(report))
    gates = {gate["name"]: gate for gate in payload["gates"]}
    assert {name: gate["value"] for name, gate in gates.items() if name not in ("memory_ratio", "latency_ratio")} == {
        "madds_ratio": 1.0,
        "params_ratio": 1.0,
        "size_ratio": 1.0,
        "drop": 0.0,
    }
    assert gates["latency_ratio"]["clock"] == "cpu"
    assert "not measured side by side" in gates["latency_ratio"]["detail"]
    assert all("skipped.onnx in " in gate["detail"] for gate in gates.values())


def test_figures_of_the_larger_model(measured: Path, last: Callable[..., Path]) -> None:
    """The only model of a report is what is compared with, whatever it is called."""
    found = check(measured / "skipped.onnx", None, ALL, str(measured / "data.npz"), baseline_report=last(only=0))
    gates = {gate["name"]: gate for gate in found["gates"]}
    own = check(measured / "skipped.onnx", measured / "model.onnx", ALL, str(measured / "data.npz"))
    for gate in own["gates"]:
        if gate["name"] != "memory_ratio":
            assert (gates[gate["name"]]["value"], gates[gate["name"]]["state"]) == (gate["value"], gate["state"])
    assert found["status"] == "failed"


# Latency, by made-up times of now and then


def test_latency_goes_through_the_model_that_is_in_both(
    measured: Path, last: Callable[..., Path], ratio: Callable[[float, float], None]
) -> None:
    """0.8 times the baseline now, 0.5 times it then: 1.6 times slower, whatever the machine does otherwise."""
    ratio(0.8, 0.88)
    report = last(models__1__cpu_ratio=of(0.5), models__1__ratio=of(0.55), models__1__cpu_ms=times(1e-3))
    gate = latency(measured, report, 1.5, "model.onnx")
    assert gate["value"] == pytest.approx(1.6)
    assert (gate["state"], gate["clock"]) == ("failed", "cpu")
    assert "0.800 times" in gate["detail"]
    assert "which contradicts" not in gate["detail"]
    assert latency(measured, report, 1.7, "model.onnx")["state"] == "met"
    wide = last(models__1__cpu_ratio={"value": 0.5, "low": 0.4, "high": 0.6})
    assert latency(measured, wide, 1.7, "model.onnx")["state"] == "undecided"


def test_it_is_the_same_whichever_of_the_two_came_first(
    measured: Path, last: Callable[..., Path], ratio: Callable[[float, float], None]
) -> None:
    ratio(0.8, 0.8)
    rows = json.loads((measured / "last.json").read_text(encoding="utf-8"))["models"]
    turned = [{**rows[1], "ratio": None, "cpu_ratio": None}, {**rows[0], "ratio": of(2.0), "cpu_ratio": of(2.0)}]
    assert latency(measured, last(models=turned), 1.7, "model.onnx")["value"] == pytest.approx(1.6)


@pytest.mark.parametrize(
    ("then", "limit", "state"),
    [(1.0, 1.11, "met"), (1.0, 1.09, "undecided"), (1.0, 0.9, "failed"), (0.5, 1.5, "failed")],
)
def test_without_such_a_model_by_cpu_time_with_a_margin(
    measured: Path,
    last: Callable[..., Path],
    ratio: Callable[[float, float], None],
    then: float,
    limit: float,
    state: str,
) -> None:
    """A millisecond now; what the wall clock says of other days does not count."""
    ratio(1.0, 7.0)
    report = last(only=1, models__0__cpu_ms=times(then), models__0__latency_ms=times(100.0))
    gate = latency(measured, report, limit)
    assert gate["value"] == pytest.approx(1 / then)
    assert (gate["state"], gate["clock"]) == (state, "cpu")
    assert "not measured side by side" in gate["detail"]


@pytest.mark.parametrize(
    ("changed", "conditions", "says"),
    [
        ({"conditions__threads": 4}, {}, "threads: 4 in "),
        ({}, {"threads": 2}, "threads: 1 in "),
        ({"conditions__onnxruntime": "0.9"}, {}, "onnxruntime: 0.9 in "),
        ({"conditions__machine__cores": 999}, {}, "999 cores in "),
        ({"conditions__machine__gpus": ["NVIDIA X"]}, {}, "cores, NVIDIA X in "),
        ({}, {"batch": 3}, "inputs: image float32 [1, 1, 8, 8] in "),
        (
            {"models__1__provider": "CUDAExecutionProvider"},
            {},
            f"has no figures on {CPU}, but on CUDAExecutionProvider",
        ),
        ({"models__1__cpu_ms": None}, {}, "give --baseline a model that the report has too"),
    ],
)
def test_what_was_otherwise_leaves_latency_undecided(
    measured: Path, last: Callable[..., Path], changed: dict[str, Any], conditions: dict[str, Any], says: str
) -> None:
    """Nothing is measured then; the reason is said."""
    gate = latency(measured, last(**changed), 100, **conditions)
    assert (gate["state"], gate["value"]) == ("undecided", None)
    assert says in gate["detail"]
    assert "\n" not in gate["detail"]


# Scores


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"data__name": "other"}, "data: other in "),
        ({"data__samples__test": 61}, "test samples: 61 in "),
        ({"conditions__seed": 1}, "seed: 1 in "),
        ({"objective__measure": "agreement"}, "scores: agreement in "),
        ({"models__1__score": {"validation": 0.5, "test": None}}, "has no test score"),
    ],
)
def test_scores_of_something_else_leave_a_drop_undecided(
    measured: Path, last: Callable[..., Path], changed: dict[str, Any], says: str
) -> None:
    limits, data = Thresholds(max_drop=100), str(measured / "data.npz")
    (gate,) = check(measured / "skipped.onnx", None, limits, data, baseline_report=last(**changed))["gates"]
    assert (gate["state"], gate["value"]) == ("undecided", None)
    assert says in gate["detail"]


def test_agreement_then_and_now_is_with_the_same_model(measured: Path, last: Callable[..., Path]) -> None:
    """0.9 then; what it is now, a check without a report says."""
    model, baseline, data = measured / "skipped.onnx", measured / "model.onnx", str(measured / "data.npz")
    objective = {
        "name": "agreement",
        "measure": "agreement",
        "unit": {"symbol": "%", "scale": 100.0, "difference": "points"},
        "outputs": [],
    }
    report = last(objective=objective, models__1__score={"validation": 0.1, "test": 0.9})
    limits = Thresholds(max_drop=50, min_agreement=0)
    drop, agreement = check(model, baseline, limits, data, objective="agreement", baseline_report=report)["gates"]
    assert agreement["value"] is not None
    assert drop["value"] == pytest.approx(100 * (0.9 - agreement["value"]))
    drop, _ = check(model, model, limits, data, objective="agreement", baseline_report=report)["gates"]
    assert drop["state"] == "undecided"
    assert "agreement with: " in drop["detail"]
    with pytest.raises(InputError, match="--max-drop compares outputs; give --baseline too"):
        check(model, None, Thresholds(max_drop=50), data, objective="agreement", baseline_report=report)


# What is refused


@pytest.mark.parametrize(
    ("changed", "limits", "says"),
    [
        ({"objective": None, "data": None}, {"max_drop": 1}, "has no scores, which --max-drop needs"),
        ({"models__1__madds": None}, {"max_madds_ratio": 1}, "its MAdds are not known there"),
        ({"models__1__params": 0}, {"max_params_ratio": 1}, "its parameters are 0, which has no multiples"),
        ({"models__1__path": "x"}, {"max_size_ratio": 1}, "none called skipped.onnx"),
        ({}, {"min_agreement": 1}, "which a report does not have; give --baseline too"),
        ({"schema": 3}, {"max_size_ratio": 1}, "made by an older natonnx"),
    ],
)
def test_what_a_report_lacks(
    measured: Path, last: Callable[..., Path], changed: dict[str, Any], limits: dict[str, float], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        check(
            measured / "skipped.onnx",
            None,
            Thresholds(**limits),
            str(measured / "data.npz"),
            baseline_report=last(**changed),
        )


def test_other_sizes_have_other_madds(measured: Path, last: Callable[..., Path]) -> None:
    """Those of a sample: the batch makes no difference."""
    inputs = [{"name": "image", "dtype": "float32", "shape": [5, 1, 8, 8]}]
    limits = Thresholds(max_madds_ratio=1)
    assert check(measured / "skipped.onnx", None, limits, baseline_report=last(conditions__inputs=inputs))["status"]
    inputs[0]["shape"] = [1, 1, 16, 8]
    (gate,) = check(measured / "skipped.onnx", None, limits, baseline_report=last(conditions__inputs=inputs))["gates"]
    assert gate["state"] == "undecided"
    assert "input image is [1, 1, 8, 8] now, and was [1, 1, 16, 8] in " in gate["detail"]


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read (No such file or directory)"), (b"\xff", "is no text"), (b"[]", "not a report")],
)
def test_bad_files(folder: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, says: str) -> None:
    report = folder / "report.json"
    if content is not None:
        report.write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        main(["check", str(folder / "model.onnx"), "--baseline-report", str(report), "--max-size-ratio", "1"])
    stdout, stderr = capsys.readouterr()
    assert (stopped.value.code, stdout) == (2, "")
    assert stderr.startswith(f"natonnx: error: {report}: ")
    assert says in stderr
    assert len(stderr.splitlines()) == 1


def test_the_report_is_no_place_for_another(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = str(measured / "last.json")
    with pytest.raises(SystemExit) as stopped:
        main(
            [
                "check",
                str(measured / "model.onnx"),
                "--baseline-report",
                report,
                "--max-size-ratio",
                "1",
                "--junit",
                report,
            ]
        )
    assert stopped.value.code == 2
    assert "is also the model, or another output" in capsys.readouterr().err
