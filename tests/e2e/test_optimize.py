"""`natonnx optimize` from end to end: its report, its file, and what it leaves alone."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from natonnx import apply, inspect
from natonnx.cli import main
from natonnx.contract.edits import parse_edits
from natonnx.contract.optimize import OptimizeReport
from natonnx.policy import LEARNERS
from natonnx.session import run, session
from tests.cli import tiny
from tests.contract.conforms import require_payload
from tests.e2e.conftest import CHEAPER, Run, optimize


def properties(path: Path) -> dict[str, str]:
    return {prop.key: prop.value for prop in onnx.load(path).metadata_props}


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, (int, float)):
        yield value


@pytest.fixture(params=["improved", "unchanged"])
def either(request: pytest.FixtureRequest) -> Run:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Run)
    assert found.report["status"] == request.param
    return found


def test_the_contract(either: Run) -> None:
    report = either.report
    require_payload(report, OptimizeReport)
    for row in (report["input"], report["output"]):
        if row is not None:
            assert all(0 <= value <= 1 for value in row["score"].values())
            assert row["latency_ms"] > 0
    for limit in report["constraints"]:
        assert limit["met"] == (limit["value"] <= limit["limit"])
    assert [row["epoch"] for row in report["history"]] == [1, 2]
    assert all({"epoch", "reward", "entropy", "loss"} <= row.keys() for row in report["history"])
    assert all(map(math.isfinite, numbers(report)))
    assert report["learner"] == LEARNERS[0]
    assert report["seconds"] > 0


def test_input_row_is_the_file(either: Run) -> None:
    row = either.report["input"]
    assert row["path"] == "model.onnx"
    assert row["size_bytes"] == (either.folder / "model.onnx").stat().st_size
    assert (row["params"], row["madds"]) == (1275, 78360)


def test_code_status_and_file_agree(either: Run) -> None:
    found = either.report["status"] == "improved"
    assert either.code == (0 if found else 1)
    assert either.output.exists() == found
    assert (either.report["output"] is not None) == found
    assert bool(either.report["edits"]) == found
    assert all(limit["met"] for limit in either.report["constraints"]) == found
    assert either.report["constraints"]


def test_nothing_but_the_output_is_left(either: Run) -> None:
    after = tiny.snapshot(either.folder)
    assert either.before.items() <= after.items()
    assert after.keys() - either.before.keys() == ({either.output.name} if either.code == 0 else set())


def test_progress_is_a_plain_line_a_step(either: Run) -> None:
    assert "\x1b" not in either.stderr
    assert "\r" not in either.stderr
    stages = [line.split()[0] for line in either.stderr.splitlines() if line]
    assert next(stage for stage in stages if stage != "data") == "search"
    assert {"search", "select", "fine-tune"} <= set(stages)
    for line in either.stderr.splitlines():
        if line.startswith(("search", "select", "fine-tune")):
            done, total = map(int, line.split()[1].split("/"))
            assert done <= total


def test_the_output_is_what_the_report_says(improved: Run) -> None:
    row = improved.report["output"]
    found = inspect(improved.output)
    assert row["path"] == improved.output.name
    assert row["size_bytes"] == improved.output.stat().st_size
    assert (row["params"], row["madds"]) == (found["cost"]["params"], found["cost"]["madds"])
    model = onnx.load(improved.output)
    onnx.checker.check_model(model, full_check=True)
    data = tiny.arrays()
    (scores,) = run(session(model), {"image": data["x_test"]}).values()
    accuracy = float(np.mean(scores.argmax(1) == data["y_test"]))
    assert row["score"]["test"] == pytest.approx(accuracy)


def test_the_target_holds_by_inspect(improved: Run) -> None:
    before, after = (inspect(path)["cost"]["madds"] for path in (improved.folder / "model.onnx", improved.output))
    assert before is not None
    assert after is not None
    assert after <= 0.7 * before
    limits = {limit["name"]: limit for limit in improved.report["constraints"]}
    assert limits["madds"]["limit"] == pytest.approx(0.7 * before)
    assert limits["lost"]["limit"] == 40.0


def test_never_worse_on_validation(improved: Run) -> None:
    before, after = (improved.report[part]["score"]["validation"] for part in ("input", "output"))
    assert after >= before - 0.4


def test_every_check_passed(improved: Run) -> None:
    assert all(check["passed"] for check in improved.report["checks"])
    assert "onnxruntime equals the supernet" in {check["name"] for check in improved.report["checks"]}


def test_apply_replays_the_report(improved: Run, tmp_path: Path) -> None:
    edits = parse_edits(json.dumps(improved.report), "report")
    replayed, _ = apply(improved.folder / "model.onnx", edits, tmp_path / "replayed.onnx")
    mine, theirs = inspect(replayed), inspect(improved.output)
    for part in ("cost", "feature_maps", "edges", "opaque"):
        assert mine[part] == theirs[part]
    shape = [(node.op_type, list(node.input), list(node.output)) for node in onnx.load(replayed).graph.node]
    assert shape == [
        (node.op_type, list(node.input), list(node.output)) for node in onnx.load(improved.output).graph.node
    ]


def test_the_file_says_where_it_comes_from(improved: Run) -> None:
    said = properties(improved.output)
    (entry,) = json.loads(said.pop("natonnx.provenance"))
    assert said == {"author": "the tests"}
    assert entry["source_sha256"] == improved.before["model.onnx"]
    assert entry["edits"] == improved.report["edits"]


def test_the_contract_of_the_model_is_kept(improved: Run) -> None:
    before, after = inspect(improved.folder / "model.onnx")["model"], inspect(improved.output)["model"]
    assert {**after, "path": None} == {**before, "path": None}


def test_the_same_seed_gives_the_same_bytes(improved: Run, folder: Path) -> None:
    again = optimize(folder, *CHEAPER, PYTHONHASHSEED="1")
    assert again.report["edits"] == improved.report["edits"]
    assert again.report["history"] == improved.report["history"]
    assert again.report["candidates"] == improved.report["candidates"]
    assert again.output.read_bytes() == improved.output.read_bytes()


def test_the_table(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process, with a data function that prints, which must not end up in stdout."""
    (folder / "chatty.py").write_text(
        "import numpy\ndef data():\n    print('loading')\n    return dict(numpy.load('data.npz'))\n", encoding="utf-8"
    )
    monkeypatch.chdir(folder)
    monkeypatch.setattr("natonnx.verbs.optimize.report.latencies_ms", lambda models, _, **__: [1.0] * len(models))
    arguments = ["optimize", "model.onnx", "--data", "chatty:data", "--epochs", "1", "--finetune-epochs", "0"]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--learner", "random", "--target-madds", "0.5", "--max-drop", "100"])
    stdout, stderr = capsys.readouterr()
    assert stopped.value.code == 0
    assert "loading" in stderr
    assert "loading" not in stdout
    assert "validation accuracy (%)" in stdout
    assert "improved: model.nat.onnx" in stdout


def test_the_reports(folder: Path) -> None:
    """The page has the payload that --json prints, and the mapping knows the nodes of the input."""
    found = optimize(folder, *CHEAPER, "--html", "report.html", "--sync-navigation", "mapping.json")
    page = (folder / "report.html").read_text(encoding="utf-8")
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["optimization"] == found.report
    assert data["inspection"] == inspect(folder / "model.onnx") | {"model": data["inspection"]["model"]}
    assert data["environment"]["command"].endswith("--html report.html --sync-navigation mapping.json")
    mapping = json.loads((folder / "mapping.json").read_text(encoding="utf-8"))["mapping"]
    assert mapping.keys() == {node.name for node in onnx.load(folder / "model.onnx").graph.node}
    assert found.report["scored"]
    edges = {edge["name"] for edge in data["inspection"]["edges"]}
    assert set(found.report["idle_edges"]) <= edges
