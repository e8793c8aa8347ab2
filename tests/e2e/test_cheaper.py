"""`--transitions nat++`, from the command line to the files it leads to."""

import json
from pathlib import Path

import onnx
import pytest

from natonnx import Edit, State, apply, diff, inspect, to_torch
from natonnx.contract.edits import parse_edits
from natonnx.frontend import ParseOptions, Transitions
from tests.cli import tiny
from tests.rewrite.helpers import Builder

COMMAND = ["optimize", "model.onnx", "--data", "data.npz", "--transitions", "nat++", "--target-madds", "0.4", "--force"]
COMMAND += ["--max-drop", "100", "--finetune-epochs", "1", "--threads", "1", "--json"]


def narrowing() -> onnx.ModelProto:
    """A classifier of tiny's data, whose second convolution has no skip: its channels become fewer."""
    graph = Builder(channels=1, opset=17)
    graph.conv("x", "a", 8, kernel=3, bias=True)
    graph.conv(graph.op("Relu", "a", out="r"), "b", 4, kernel=3, bias=True)
    graph.op("Flatten", graph.op("GlobalAveragePool", graph.op("Relu", "b", out="s"), out="p"), out="f")
    graph.op("Gemm", "f", graph.weight("w", 4, 3), out="y")
    return graph.model("y")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.fill(tmp_path)
    onnx.save(narrowing(), tmp_path / "model.onnx")
    return tmp_path


@pytest.mark.parametrize("more", [["--lookups", "6"], ["--algorithm", "paper", "--epochs", "1"]])
def test_an_operation_becomes_a_cheaper_one(folder: Path, more: list[str]) -> None:
    done = tiny.natonnx(*COMMAND, *more, "-o", "out.onnx", "--html", "out.html", cwd=folder)
    assert done.code == 0, done.stderr
    report = json.loads(done.stdout)
    becomes = {edit["edge"]: edit["to"] for edit in report["edits"]}
    cheaper = inspect(folder / "model.onnx", ParseOptions(transitions=Transitions.NATPP))["edges"]
    costs = {edge["name"]: edge["cheaper"] for edge in cheaper}
    assert becomes["B"] in costs["B"]
    assert report["output"]["madds"] <= 0.4 * report["input"]["madds"]
    assert f"becomes {becomes['B']}" in (folder / "out.html").read_text()
    edits = parse_edits(done.stdout, "report")
    applied, checks = apply(folder / "model.onnx", edits, folder / "applied.onnx")
    assert all(check.passed for check in checks)
    told = diff(folder / "model.onnx", folder / "out.onnx")["provenance"]
    assert told is not None
    assert told["replayed"]
    shown = [inspect(path)["cost"] for path in (applied, folder / "out.onnx")]
    assert shown[0] == shown[1] == {key: report["output"][key] for key in ("params", "madds")}
    assert sum(value.numel() for value in to_torch(folder / "model.onnx", edits).parameters()) == shown[0]["params"]


def test_a_difference_is_told_by_what_is_noted(folder: Path) -> None:
    made, _ = apply(folder / "model.onnx", [Edit("B", State.O, State("sep_conv_3x3"))], folder / "out.onnx")
    found = diff(folder / "model.onnx", made)
    assert found["provenance"] is not None
    assert found["provenance"]["replayed"]
    assert [edit["seen"] for edit in found["provenance"]["edits"]] == [True]
    assert [(change["edge"], change["noted"]) for change in found["edges"]["changes"]] == [("B", "O → sep_conv_3x3")]


def test_the_cheapest_that_can_be_reached_is_told_without_a_run(folder: Path) -> None:
    words = [word for word in COMMAND if word != "nat++"]
    words.insert(words.index("--transitions") + 1, "nat")
    plain, more = (tiny.natonnx(*command, "--dry-run", cwd=folder) for command in (words, COMMAND))
    assert plain.code == more.code == 0, (plain.stderr, more.stderr)
    reached = [json.loads(done.stdout) for done in (plain, more)]
    assert reached[0] != reached[1]


def test_an_operation_that_does_not_exist_is_refused(folder: Path) -> None:
    edits = '[{"edge": "B", "from": "O", "to": "conv_9x9"}]'
    done = tiny.natonnx("apply", "model.onnx", "-", cwd=folder, stdin=edits)
    assert done.code == 2
    assert "O->conv_9x9 does not exist; allowed: O->S or O->N or O->conv_1x1" in done.stderr
