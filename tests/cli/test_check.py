"""`natonnx check`: gates, exit codes, reports."""

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from natonnx import apply, check
from natonnx.architecture import Edit, State
from natonnx.bench import Timings
from natonnx.cli import main
from natonnx.contract.check import CheckReport, GateName, gate_row, status_of
from natonnx.errors import InputError
from natonnx.report.check import junit_xml, lines, markdown
from natonnx.verbs.check import Thresholds
from natonnx.verbs.model_comparison import Conditions
from tests.cli import tiny
from tests.contract.conforms import require_payload

CONV = 64 * 9 * 8 * 8
"""MAdds of one of the tiny model's 3x3 convolutions."""

CPU = "CPUExecutionProvider"

Array = npt.NDArray[np.float64]


@pytest.fixture
def pair(folder: Path) -> Path:
    """Also skipped.onnx, the tiny model without its second convolution."""
    apply(folder / "model.onnx", [Edit("one", State.O, State.S)], folder / "skipped.onnx")
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["check", *map(str, arguments)])
    return stopped.value.code, *capsys.readouterr()


def against(folder: Path, *options: str) -> list[str]:
    return [str(folder / "skipped.onnx"), "--baseline", str(folder / "model.onnx"), *options]


def with_data(folder: Path, *options: str) -> list[str]:
    return against(folder, "--data", str(folder / "data.npz"), *options)


@pytest.mark.parametrize(
    ("limits", "states"),
    [
        (["--max-madds-ratio", "0.6", "--max-params-ratio", "0.6"], ["met", "met"]),
        (["--max-madds-ratio", "0.5", "--max-params-ratio", "0.6"], ["failed", "met"]),
        (["--max-params-ratio", "0.5"], ["failed"]),
    ],
    ids=["met", "one failed", "failed"],
)
def test_costs(pair: Path, capsys: pytest.CaptureFixture[str], limits: list[str], states: list[str]) -> None:
    code, stdout, stderr = run(capsys, *against(pair, *limits))
    assert [line.split()[0] for line in stdout.splitlines()] == states
    assert stderr == ""
    assert code == (1 if "failed" in states else 0)
    assert f"{78360 - CONV:,} against 78,360" in stdout or "madds" not in limits[0]


def test_a_limit_that_is_reached_exactly_is_met(pair: Path) -> None:
    payload = check(
        pair / "skipped.onnx", pair / "model.onnx", Thresholds(max_madds_ratio=(78360 - CONV) / 78360, max_drop=None)
    )
    assert payload["status"] == "passed"


def test_gates_on_data(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against what onnxruntime itself says of both models."""
    from natonnx.session import run as run_model
    from natonnx.session import session

    data = tiny.arrays()
    before, after = (
        run_model(session(onnx.load(pair / name)), {tiny.INPUT: data["x_test"]})["scores"].argmax(1)
        for name in ("model.onnx", "skipped.onnx")
    )
    right = [int(np.sum(found == data["y_test"])) for found in (before, after)]
    same = int(np.sum(before == after))
    assert right[1] < right[0]
    limits = ("--min-accuracy", str(right[1] / 60), "--max-drop", "0", "--min-agreement", str(same / 60))
    code, stdout, _ = run(capsys, *with_data(pair, *limits, "--json"))
    payload = json.loads(stdout)
    gates = {gate["name"]: gate for gate in payload["gates"]}
    assert {name: gate["state"] for name, gate in gates.items()} == {
        "accuracy": "met",
        "drop": "failed",
        "agreement": "met",
    }
    assert gates["accuracy"]["value"] == right[1] / 60
    assert gates["drop"]["value"] == pytest.approx(100 * (right[0] - right[1]) / 60)
    assert gates["agreement"]["value"] == same / 60
    assert payload["data"] == {"split": "test", "samples": 60}
    require_payload(payload, CheckReport)
    assert payload["status"] == "failed"
    assert code == 1


def test_the_contract(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--max-latency-ratio", "100", "--seconds", "0.1", "--max-madds-ratio", "1", "--json")
    code, stdout, stderr = run(capsys, *against(pair, *options))
    assert (code, stderr) == (0, "")
    payload = json.loads(stdout)
    assert payload.keys() == {"schema", "status", "model", "baseline", "baseline_report", "gates", "data"}
    require_payload(payload, CheckReport)
    assert (payload["model"], payload["baseline"]) == (str(pair / "skipped.onnx"), str(pair / "model.onnx"))
    assert payload["data"] is None
    madds, latency = payload["gates"]
    keys = [
        "name",
        "label",
        "at_least",
        "unit",
        "limit",
        "value",
        "low",
        "high",
        "state",
        "provider",
        "clock",
        "detail",
    ]
    assert list(madds) == list(latency) == keys
    assert (madds["label"], madds["at_least"], madds["unit"]) == ("MAdds ratio", False, None)
    assert (madds["name"], madds["low"], madds["high"]) == ("madds_ratio", None, None)
    assert (madds["provider"], madds["clock"]) == (None, None)
    assert (latency["name"], latency["provider"], latency["clock"]) == ("latency_ratio", CPU, "cpu")
    assert "by the wall clock" in latency["detail"]
    assert latency["low"] <= latency["value"] <= latency["high"] <= 100


def test_size_and_memory(pair: Path) -> None:
    limits = Thresholds(max_size_ratio=0.99, max_memory_ratio=1.5)
    size, memory = check(pair / "skipped.onnx", pair / "model.onnx", limits)["gates"]
    sizes = [(pair / name).stat().st_size for name in ("skipped.onnx", "model.onnx")]
    assert (size["name"], size["value"]) == ("size_ratio", sizes[0] / sizes[1])
    assert size["detail"] == f"size {sizes[0]:,} against {sizes[1]:,} bytes"
    assert (memory["name"], memory["provider"], memory["state"]) == ("memory_ratio", CPU, "met")
    assert memory["value"] is not None
    assert 0.5 < memory["value"] < 1.5


def test_a_model_against_itself_agrees_in_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ("--min-agreement", "1", "--max-drop", "0", "--max-params-ratio", "1")
    path = str(folder / "model.onnx")
    code, stdout, _ = run(capsys, path, "--baseline", path, "--data", str(folder / "data.npz"), *limits)
    assert code == 0
    assert stdout.count("met ") == 3


# Latency: by made-up times, as a real ratio is not known


def measure(timings: Timings, cpu: Sequence[float] | Array, wall: Sequence[float] | Array | None = None) -> None:
    """Put in made-up ratios of a second model's times to a first one's, a block each."""
    timings.cpu_blocks += blocks(cpu)
    timings.blocks += blocks(cpu if wall is None else wall)


def blocks(ratios: Sequence[float] | Array) -> list[Array]:
    return [np.array([[1.0, 1.0], [ratio, ratio]]) for ratio in ratios]


@pytest.mark.parametrize(
    ("ratio", "spread", "limit", "state", "turns"),
    [
        (0.8, 0.01, 0.9, "met", 1),
        (1.0, 0.01, 0.9, "failed", 1),
        (0.9, 0.01, 0.9, "undecided", 4),
    ],
)
def test_latency_goes_by_the_interval(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    ratio: float,
    spread: float,
    limit: float,
    state: str,
    turns: int,
) -> None:
    asked: list[float] = []

    def extend(self: Timings, seconds: float) -> None:
        asked.append(seconds)
        noise = np.random.default_rng(0).normal(size=10)
        measure(self, ratio * np.exp(spread * np.concatenate([noise, -noise])))

    monkeypatch.setattr("natonnx.bench.latency.Timings.extend", extend)
    said: list[str] = []
    path = folder / "model.onnx"
    payload = check(path, path, Thresholds(max_latency_ratio=limit), tell=said.append)
    (gate,) = payload["gates"]
    assert gate["state"] == state
    assert payload["status"] == {"met": "passed"}.get(state, state)
    assert gate["low"] is not None
    assert gate["high"] is not None
    assert gate["low"] < ratio < gate["high"]
    assert asked == [10.0] * turns
    assert len(said) == turns
    assert ("prolonged 3 times" in said[-1]) == (turns == 4)


def test_a_prolonged_measurement_may_decide(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([[0.8, 1.2] * 10, [0.99, 1.01] * 100])

    def extend(self: Timings, _seconds: float) -> None:
        measure(self, next(found))

    monkeypatch.setattr("natonnx.bench.latency.Timings.extend", extend)
    path = folder / "model.onnx"
    payload = check(path, path, Thresholds(max_latency_ratio=1.1))
    assert payload["status"] == "passed"
    assert "in 220 sessions" in payload["gates"][0]["detail"]


@pytest.mark.parametrize(
    ("cpu", "wall", "limit", "state", "clock"),
    [
        (0.8, [0.5, 2.0] * 5, 0.9, "met", "cpu"),  # beside other jobs the wall clock tells nothing
        (1.0, [0.5, 2.0] * 5, 0.9, "failed", "cpu"),
        (0.8, [1.0] * 10, 0.9, "undecided", "cpu"),  # but it may contradict
        (1.0, [0.8] * 10, 0.9, "undecided", "cpu"),
    ],
)
def test_cpu_time_decides_unless_the_wall_clock_contradicts(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    cpu: float,
    wall: list[float],
    limit: float,
    state: str,
    clock: str,
) -> None:
    monkeypatch.setattr(
        "natonnx.bench.latency.Timings.extend", lambda self, _seconds: measure(self, [cpu] * len(wall), wall)
    )
    path = folder / "model.onnx"
    (gate,) = check(path, path, Thresholds(max_latency_ratio=limit))["gates"]
    assert (gate["state"], gate["clock"]) == (state, clock)
    assert gate["value"] == pytest.approx(cpu)
    assert "of CPU time against" in gate["detail"]
    assert ("which contradicts" in gate["detail"]) == (state == "undecided")


def test_several_threads_are_timed_by_the_wall_clock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "natonnx.bench.latency.Timings.extend", lambda self, _seconds: measure(self, [0.5] * 10, [0.8] * 10)
    )
    path = folder / "model.onnx"
    (gate,) = check(path, path, Thresholds(max_latency_ratio=0.9), conditions=Conditions(threads=2))["gates"]
    assert (gate["state"], gate["clock"]) == ("met", "wall")
    assert gate["value"] == pytest.approx(0.8)


def test_undecided_has_an_exit_code_and_a_test_result_of_its_own(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natonnx.bench.latency.Timings.extend", lambda self, _seconds: measure(self, [0.8, 1.25] * 5))
    path, junit, summary = folder / "model.onnx", folder / "check.xml", folder / "check.md"
    options: list[str | Path] = [
        "--baseline",
        path,
        "--max-latency-ratio",
        "1",
        "--junit",
        junit,
        "--markdown",
        summary,
    ]
    code, stdout, _ = run(capsys, path, *options, "--json")
    assert (code, json.loads(stdout)["status"]) == (4, "undecided")
    suites = ET.parse(junit).getroot()  # noqa: S314 - our own
    assert [suites.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["1", "0", "1", "0"]
    error = suites.find(".//error")
    assert error is not None
    assert error.get("type") == "undecided"
    assert summary.read_text(encoding="utf-8").startswith("## natonnx check: undecided\n")
    code, stdout, _ = run(capsys, path, *options, "--max-madds-ratio", "0.5")  # what is failed is failed
    assert (code, [line.split()[0] for line in stdout.splitlines()]) == (1, ["failed", "undecided"])


def test_every_provider_has_gates_of_its_own(
    pair: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the first is met and that of the second failed; counts are the same on both."""
    found = iter([[0.8] * 10, [1.2] * 10])
    monkeypatch.setattr("natonnx.bench.latency.Timings.extend", lambda self, _seconds: measure(self, next(found)))
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", CPU])
    asked = iter([CPU, "CUDAExecutionProvider"])
    monkeypatch.setattr("natonnx.verbs.model_comparison.find_provider", lambda _name: next(asked))
    monkeypatch.setattr("natonnx.verbs.model_comparison.provider_used", lambda _runtime: "CUDAExecutionProvider")
    junit, summary = pair / "check.xml", pair / "check.md"
    limits = ["--max-latency-ratio", "1", "--max-params-ratio", "1", "--max-drop", "100", "--provider", "cpu,cuda"]
    code, stdout, _ = run(capsys, *with_data(pair, *limits), "--json", "--junit", junit, "--markdown", summary)
    payload = json.loads(stdout)
    require_payload(payload, CheckReport)
    assert [(gate["name"], gate["provider"], gate["state"]) for gate in payload["gates"]] == [
        ("params_ratio", None, "met"),
        ("drop", CPU, "met"),
        ("latency_ratio", CPU, "met"),
        ("drop", "CUDAExecutionProvider", "met"),
        ("latency_ratio", "CUDAExecutionProvider", "failed"),
    ]
    assert code == 1
    cases = [case.get("name") for case in ET.parse(junit).getroot().iter("testcase")]  # noqa: S314 - our own
    assert len(set(cases)) == 5
    assert cases[:3] == ["params_ratio", f"drop on {CPU}", f"latency_ratio on {CPU}"]
    assert "| latency ratio on CUDAExecutionProvider | 1.200 |" in summary.read_text(encoding="utf-8")
    assert f"latency ratio on {CPU} 0.800" in "\n".join(lines(payload))


def test_no_other_provider_is_measured_instead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natonnx.verbs.model_comparison.find_provider", lambda _name: "CUDAExecutionProvider")
    monkeypatch.setattr("natonnx.verbs.model_comparison.provider_used", lambda _runtime: CPU)
    path = folder / "model.onnx"
    with pytest.raises(InputError, match=r"CUDAExecutionProvider cannot be used here.*, onnxruntime took CPUExec"):
        check(path, path, Thresholds(max_latency_ratio=1.1))


# Reports


def test_reports(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    junit, summary = pair / "check.xml", pair / "check.md"
    limits = ("--max-madds-ratio", "0.6", "--max-params-ratio", "0.5")
    for place in (junit, summary):  # a file of another's is kept
        place.write_text("my notes", encoding="utf-8")
        option = "--junit" if place is junit else "--markdown"
        code, _, stderr = run(capsys, *against(pair, *limits, option, str(place)))
        assert (code, place.read_text("utf-8")) == (2, "my notes")
        assert "natonnx did not write it" in stderr
        place.unlink()
    summary.write_text("## natonnx check: of the last run", encoding="utf-8")
    code, stdout, _ = run(capsys, *against(pair, *limits, "--junit", str(junit), "--markdown", str(summary)))
    assert code == 1
    assert len(stdout.splitlines()) == 2
    suites = ET.parse(junit).getroot()  # noqa: S314 - our own
    (suite,) = suites
    assert suites.tag == "testsuites"
    assert suite.attrib == suites.attrib
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    madds, params = suite.findall("testcase")
    assert (madds.get("name"), params.get("name")) == ("madds_ratio", "params_ratio")
    assert madds.find("failure") is None
    failure = params.find("failure")
    assert failure is not None
    assert failure.get("type") == "failed"
    assert "at most 0.500" in str(failure.get("message"))
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("## natonnx check: failed\n")
    assert "| parameters ratio | 0.542 | at most 0.500 | **failed** |" in text
    assert {path.name for path in pair.iterdir()} == {
        "model.onnx",
        "data.npz",
        "skipped.onnx",
        "check.xml",
        "check.md",
    }


def payload_of(model: str, name: GateName = "drop", value: float = 0.1, limit: float = 0.1) -> CheckReport:
    gates = [gate_row(name, limit, value, "d")]
    return {
        "schema": 4,
        "status": status_of(gates),
        "model": model,
        "baseline": "b",
        "baseline_report": None,
        "gates": gates,
        "data": None,
    }


@pytest.mark.parametrize("name", ["a<&>\"'.onnx", "bell\a.onnx", "lone\udcff.onnx", "β 模型.onnx", "a|b`c.onnx"])
def test_any_file_name_can_be_reported(name: str) -> None:
    suites = ET.fromstring(junit_xml(payload_of(name)))  # noqa: S314 - our own
    found = suites.find(".//property[@name='model']")
    assert found is not None
    assert found.get("value") == name.replace("\a", "\\x07").replace("\udcff", "?")
    row = markdown(payload_of(name)).splitlines()[2]
    assert "`" not in row.split("` against `")[0].removeprefix("`")


def test_numbers_are_told_apart_from_their_limit() -> None:
    text = markdown(payload_of("m", name="madds_ratio", value=0.50001, limit=0.5))
    assert "| 0.50001 | at most 0.50000 |" in text
    assert "| accuracy lost | +0.100 points | at most +0.100 points |" in markdown(payload_of("m"))


# Bad usage


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "no limit to check; give at least one of --max-madds-ratio"),
        (["--max-madds-ratio", "0"], "--max-madds-ratio 0: must be above 0"),
        (["--max-latency-ratio", "nan"], "--max-latency-ratio nan: must be above 0"),
        (["--min-accuracy", "88"], "--min-accuracy 88: must be a share"),
        (["--min-agreement", "-1"], "--min-agreement -1: must be a share"),
        (["--max-drop", "nan"], "--max-drop nan: must be points"),
        (["--min-accuracy", "0.9"], "give --data"),
        (["--max-madds-ratio", "1", "--junit", "model.onnx"], "model.onnx: is also the model, or another output"),
        (["--max-madds-ratio", "1", "--junit", "r", "--markdown", "./r"], "r: is also the model, or another output"),
        (["--max-madds-ratio", "1", "--junit", "nowhere/r.xml"], "create it first"),
        (["--max-madds-ratio", "1", "--markdown", "/dev/null"], "device or pipe"),
        (["--max-madds-ratio", "x"], "--max-madds-ratio"),
        (["--max-madds-ratio", "1", "--baseline", "nothing.onnx"], "no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str], says: str
) -> None:
    monkeypatch.chdir(folder)
    before = tiny.snapshot(folder)
    code, stdout, stderr = run(capsys, "model.onnx", "--baseline", "model.onnx", *options)
    assert says in stderr
    assert len(stderr.splitlines()) == 1
    assert (code, stdout) == (2, "")
    assert tiny.snapshot(folder) == before


def test_a_baseline_is_needed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, stderr = run(capsys, folder / "model.onnx", "--max-madds-ratio", "1")
    assert code == 2
    assert "--baseline" in stderr


def test_unknown_and_zero_costs_have_no_ratio(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tiny.model()
    made.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(made, folder / "open.onnx")
    arguments = (folder / "open.onnx", "--baseline", folder / "open.onnx", "--max-madds-ratio", "1")
    code, _, stderr = run(capsys, *arguments)
    assert code == 2
    assert "MAdds are unknown" in stderr
    assert run(capsys, *arguments, "--input-shape", "image:1,1,8,8")[0] == 0
    info = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    shapes = [info(name, onnx.TensorProto.FLOAT, [1, 2]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "g", shapes[:1], shapes[1:])
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), folder / "0"
    )
    code, _, stderr = run(capsys, folder / "0", "--baseline", folder / "0", "--max-params-ratio", "1")
    assert code == 2
    assert "parameters are 0" in stderr


def test_outputs_of_nan_are_wrong_and_a_baseline_of_them_is_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(folder / "model.onnx")
    model.graph.node[-1].output[0] = "inner"
    model.graph.node.extend(
        [
            onnx.helper.make_node("Sub", ["inner", "inner"], ["zero"]),
            onnx.helper.make_node("Div", ["zero", "zero"], ["scores"]),
        ]
    )
    onnx.save(model, folder / "nan.onnx")
    given = ["--data", str(folder / "data.npz"), "--max-drop", "50", "--min-agreement", "0.1"]
    code, stdout, stderr = run(capsys, folder / "nan.onnx", "--baseline", folder / "model.onnx", *given)
    assert code == 1
    assert [line.split()[0] for line in stdout.splitlines()] == ["failed", "failed"]
    told = (
        "nan.onnx: gives NaN or infinity for 60 of 60 test samples, which count as wrong; Div makes the first NaN, in "
    )
    assert told in stderr.replace("\n", " ")
    code, stdout, stderr = run(capsys, folder / "nan.onnx", "--baseline", folder / "nan.onnx", *given)
    assert (code, stdout) == (2, "")
    assert "the baseline gives NaN or infinity for all 60 test samples; nothing can be compared with it" in stderr


def test_samples_too_few_for_a_gate_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = dict(np.load(folder / "data.npz"))
    for count, said in ((3, "3 test samples cannot tell one model from another: give at least 100"), (100, "")):
        test = {f"{kind}_test": arrays[f"{kind}_train"][:count] for kind in "xy"}
        np.savez(folder / "few.npz", **{**arrays, **test})
        given = ["--data", str(folder / "few.npz"), "--max-drop", "1"]
        code, _, stderr = run(capsys, folder / "model.onnx", "--baseline", folder / "model.onnx", *given)
        assert (code, said in stderr) == (0, True)
        assert bool(said) == ("cannot tell" in stderr)
