"""The options that say how a model is read, shared by all commands."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from natonnx.cli import main
from natonnx.frontend import WINDOW
from tests.cli import tiny
from tests.rewrite.helpers import Builder, runtime

RESNET = tiny.ROOT / "models" / "resnet20-fashion.onnx"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, captured.err


def inspect(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    code, out, _ = run(capsys, "inspect", str(RESNET), "--json", *options)
    assert code == 0
    payload: dict[str, Any] = json.loads(out)
    return payload


def changeable(payload: dict[str, Any]) -> set[str]:
    return {edge["name"] for edge in payload["edges"] if edge["legal"]}


def test_include_and_exclude_decide_what_may_change(capsys: pytest.CaptureFixture[str]) -> None:
    everything = changeable(inspect(capsys))
    first = changeable(inspect(capsys, "--include", "*stage1*"))
    rest = changeable(inspect(capsys, "--exclude", "*stage1*"))
    assert first
    assert rest
    assert first < everything
    assert rest < everything
    assert not first & rest


def test_the_window_decides_how_far_back_a_shortcut_starts(capsys: pytest.CaptureFixture[str]) -> None:
    found = {window: inspect(capsys, "--window", window) for window in ("0", "4", "6")}
    shortcuts = {
        window: {e["name"] for e in payload["edges"] if e["state"] == "N"} for window, payload in found.items()
    }
    assert WINDOW == 4  # the option's default
    assert shortcuts["0"] == set()
    assert shortcuts["4"] == {e["name"] for e in inspect(capsys)["edges"] if e["state"] == "N"}
    assert shortcuts["4"] < shortcuts["6"]
    code, _, err = run(capsys, "inspect", str(RESNET), "--window", "-1")
    assert code == 2
    assert "--window" in err


def test_a_refusal_names_the_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    edges = {edge["name"]: edge for edge in inspect(capsys, "--exclude", "*stage1*")["edges"]}
    reasons = set(edges["stage1_block1.first.conv"]["illegal"].values())
    assert reasons == {"--exclude '*stage1*' keeps it as it is"}


@pytest.mark.parametrize("option", ["--include", "--exclude", "--freeze-outputs-of"])
def test_a_pattern_that_matches_nothing_fails_loudly(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "inspect", str(RESNET), option, "no-such-layer")
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert f"{option} no-such-layer" in err


def test_what_is_frozen_keeps_its_value(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    payload = inspect(capsys, "--freeze-outputs-of", "stage2_block1.second.conv")
    assert changeable(payload)
    assert not any(name.startswith(("stage1", "stem")) for name in changeable(payload))
    edits = tmp_path / "edits.json"
    edits.write_text(json.dumps([{"edge": "stage1_block1.second.conv", "from": "O", "to": "N"}]))
    options = ["--freeze-outputs-of", "stage2_block1.second.conv", "-o", str(tmp_path / "out.onnx")]
    code, _, err = run(capsys, "apply", str(RESNET), str(edits), *options)
    assert code == 2
    assert "--freeze-outputs-of keeps what it leads to as it is" in err


def test_a_branch_is_one_edge_and_can_be_applied(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    payload = inspect(capsys, "--granularity", "branch")
    branch = next(edge for edge in payload["edges"] if ".." in edge["name"] and "N" in edge["legal"])
    edits, output = tmp_path / "edits.json", tmp_path / "out.onnx"
    edits.write_text(json.dumps([{"edge": branch["name"], "from": "O", "to": "N"}]))
    code, _, _ = run(capsys, "apply", str(RESNET), str(edits), "--granularity", "branch", "-o", str(output))
    assert code == 0
    assert len(onnx.load(output).graph.node) < len(onnx.load(RESNET).graph.node)
    code, _, err = run(capsys, "apply", str(RESNET), str(edits), "-o", str(tmp_path / "other.onnx"))
    assert code == 2, "an edit list of branches means nothing at another granularity"
    assert "no such edge" in err


def test_a_baked_batch_is_freed_on_demand(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    graph = Builder(batch=1, size=4)
    graph.op("Reshape", graph.conv("x", "a"), graph.constant("flat", np.array([1, 64])), out="y")
    path, edits, output = tmp_path / "baked.onnx", tmp_path / "edits.json", tmp_path / "out.onnx"
    onnx.save(graph.model("y"), path)
    edits.write_text("[]")
    code, _, err = run(capsys, "apply", str(path), str(edits), "--free-batch", "-o", str(output))
    assert code == 0
    assert "batch sizes [1, 3]" in err
    assert runtime(onnx.load(output), {"x": np.zeros((7, 4, 4, 4), np.float32)})["y"].shape == (7, 64)
