"""`natonnx apply`: edits replayed, and the empty list that changes nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from natonnx import apply, inspect
from natonnx.architecture import Edit, State
from natonnx.cli import main
from natonnx.contract.apply import ApplyReport
from natonnx.session import run, session
from tests.cli import tiny
from tests.contract.conforms import require_payload

MODELS = sorted((tiny.ROOT / "models").glob("*.onnx"))
SKIP_ONE = '[{"edge": "one", "from": "O", "to": "S"}]'


def outputs(model: onnx.ModelProto, inputs: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
    return run(session(model), {model.graph.input[0].name: inputs})


def properties(model: onnx.ModelProto) -> dict[str, str]:
    return {prop.key: prop.value for prop in model.metadata_props}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_no_edits_change_nothing(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    written, checks = apply(path, [], out)
    assert written == out
    assert checks
    assert all(check.passed for check in checks)
    assert out.read_bytes() == path.read_bytes()
    before, after = onnx.load(path), onnx.load(out)
    inputs = np.random.default_rng(0).normal(size=(5, 1, 28, 28)).astype(np.float32)
    given, found = outputs(before, inputs), outputs(after, inputs)
    assert given.keys() == found.keys()
    assert all(np.array_equal(given[name], found[name]) for name in given)
    assert properties(after) == properties(before)
    assert after.ir_version == before.ir_version
    assert list(after.opset_import) == list(before.opset_import)
    assert [node.name for node in after.graph.node] == [node.name for node in before.graph.node]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_skip_is_seen_by_inspect_and_costs_less(path: Path, tmp_path: Path) -> None:
    before: Any = inspect(path)
    edge = next(edge for edge in before["edges"] if edge["operation"] == "Conv" and "S" in edge["legal"])
    out, _ = apply(path, [Edit(edge["name"], State.O, State.S)], tmp_path / "out.onnx")
    after: Any = inspect(out)
    assert after["cost"]["madds"] == before["cost"]["madds"] - edge["madds"]
    assert after["cost"]["params"] == before["cost"]["params"] - edge["params"]
    assert {e["name"]: e["state"] for e in after["edges"]}[edge["name"]] == "S"
    assert after["model"] == {**before["model"], "path": str(out)}
    onnx.checker.check_model(onnx.load(out), full_check=True)


def test_from_a_file(folder: Path) -> None:
    given = folder / "edits.json"
    given.write_text(SKIP_ONE, encoding="utf-8")
    before = tiny.snapshot(folder)
    code, stdout, stderr = tiny.natonnx("apply", "model.onnx", "edits.json", "-o", "out.onnx", cwd=folder)
    assert (code, stdout) == (0, "")
    assert stderr.splitlines()[-1] == "out.onnx: 1 edits"
    assert tiny.snapshot(folder).keys() - before.keys() == {"out.onnx"}
    assert before.items() <= tiny.snapshot(folder).items()
    assert {edge["name"]: edge["state"] for edge in inspect(folder / "out.onnx")["edges"]}["one"] == "S"


def test_from_stdin_with_json_and_the_default_output(folder: Path) -> None:
    code, stdout, _ = tiny.natonnx(
        "apply", "model.onnx", "-", "--json", cwd=folder, stdin=SKIP_ONE, PYTHONWARNINGS="always"
    )
    assert code == 0
    payload = json.loads(stdout)
    require_payload(payload, ApplyReport)
    assert (payload["output"], payload["edits"]) == ("model.nat.onnx", 1)
    assert all(check.keys() == {"name", "passed", "detail"} and check["passed"] for check in payload["checks"])
    assert "equals the input, edited node by node" in {check["name"] for check in payload["checks"]}
    assert onnx.load(folder / "model.nat.onnx").graph.node


def test_the_result_says_what_was_done_and_keeps_what_it_said(folder: Path) -> None:
    source = folder / "model.onnx"
    hash_before = tiny.snapshot(folder)["model.onnx"]
    out, _ = apply(source, [Edit("one", State.O, State.S)], folder / "out.onnx")
    said = properties(onnx.load(out))
    (entry,) = json.loads(said.pop("natonnx.provenance"))
    assert said == properties(onnx.load(source))
    assert entry["source_sha256"] == hash_before
    assert entry["edits"] == json.loads(SKIP_ONE)
    assert entry["version"]
    again, _ = apply(out, [Edit("two", State.O, State.N)], folder / "again.onnx")
    history = json.loads(properties(onnx.load(again))["natonnx.provenance"])
    assert history[0] == entry
    assert history[1]["source_sha256"] == tiny.snapshot(folder)["out.onnx"]


def test_a_report_of_optimize_is_an_edit_list(folder: Path) -> None:
    report = folder / "report.json"
    report.write_text(json.dumps({"status": "improved", "edits": json.loads(SKIP_ONE)}), encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(["apply", str(folder / "model.onnx"), str(report)])
    assert stopped.value.code == 0
    assert inspect(folder / "model.nat.onnx")["cost"]["madds"] == 78360 - 36864


def test_a_model_of_the_front_is_replayed_by_its_number(folder: Path) -> None:
    report, rest = folder / "report.json", [{"edge": "two", "from": "O", "to": "N"}]
    front = [{"edits": json.loads(SKIP_ONE)}, {"edits": [*json.loads(SKIP_ONE), *rest]}]
    report.write_text(json.dumps({"status": "unchanged", "edits": [], "front": front}), encoding="utf-8")
    for pick, count in ((1, 1), (2, 2)):
        out = folder / f"{pick}.onnx"
        code, _, stderr = tiny.natonnx("apply", "model.onnx", "report.json", "--pick", str(pick), "-o", out, cwd=folder)
        assert (code, stderr.splitlines()[-1]) == (0, f"{out}: {count} edits")
    assert inspect(folder / "1.onnx")["cost"]["madds"] == 78360 - 36864
    assert inspect(folder / "2.onnx")["cost"]["madds"] == 78360 - 2 * 36864
    assert tiny.natonnx("apply", "model.onnx", "report.json", "-o", "same.onnx", cwd=folder).code == 0
    assert (folder / "same.onnx").read_bytes() == (folder / "model.onnx").read_bytes()


def test_the_same_edits_give_the_same_bytes(folder: Path) -> None:
    edits = [Edit("one", State.O, State.S), Edit("two", State.O, State.N)]
    first, _ = apply(folder / "model.onnx", edits, folder / "first.onnx")
    second, _ = apply(folder / "model.onnx", edits, folder / "second.onnx")
    other, _ = apply(folder / "model.onnx", reversed(edits), folder / "other.onnx")
    assert first.read_bytes() == second.read_bytes()
    assert onnx.load(first).graph == onnx.load(other).graph


def test_our_own_output_is_overwritten_and_another_only_by_force(folder: Path) -> None:
    source, out = folder / "model.onnx", folder / "out.onnx"
    for _ in range(2):
        apply(source, [Edit("one", State.O, State.S)], out)
    foreign = folder / "foreign.onnx"
    foreign.write_bytes(b"something of the user's")
    with pytest.raises(SystemExit) as stopped:
        main(["apply", str(source), str(_list(folder)), "-o", str(foreign)])
    assert stopped.value.code == 2
    assert foreign.read_bytes() == b"something of the user's"
    with pytest.raises(SystemExit) as stopped:
        main(["apply", str(source), str(_list(folder)), "-o", str(foreign), "--force"])
    assert stopped.value.code == 0
    assert foreign.read_bytes() == source.read_bytes()


def _list(folder: Path) -> Path:
    path = folder / "none.json"
    path.write_text("[]", encoding="utf-8")
    return path
