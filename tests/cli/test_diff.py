"""`natonnx diff`: what it says of pairs of models of every kind, against onnxruntime and numpy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, version_converter

import natonnx
from natonnx.architecture import Edit, State
from natonnx.cli import main
from natonnx.contract.diff import DiffReport
from natonnx.frontend import Granularity, ParseOptions
from natonnx.rewrite.provenance import KEY
from tests import external
from tests.cli import tiny
from tests.contract.conforms import require_payload
from tests.rewrite.helpers import Builder, copy, runtime, shipped_model
from tests.verbs.diff.test_digest import renamed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RESNET = tiny.ROOT / "models" / "resnet20-fashion.onnx"
VGG = tiny.ROOT / "models" / "vgg-fashion.onnx"
EDITS = (
    Edit("stage1_block2.second.conv", State.O, State.N),
    Edit("stage3_block2.first.conv", State.O, State.S),
    Edit("relu_14->relu_16", State.S, State.N),
    Edit("relu_1->relu_4", State.N, State.S),
)


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["diff", *map(str, arguments)])
    stdout, stderr = capsys.readouterr()
    return stopped.value.code, stdout, stderr


def saved(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def pair(folder: Path, before: onnx.ModelProto, after: onnx.ModelProto, **options: Any) -> Any:
    return natonnx.diff(saved(before, folder / "before.onnx"), saved(after, folder / "after.onnx"), **options)


def with_weights(model: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    made = copy(model)
    for tensor in made.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), tensor.name))
    return made


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, _ = natonnx.apply(RESNET, EDITS, tmp_path_factory.mktemp("diff") / "resnet.nat.onnx")
    return path


@pytest.fixture(scope="module")
def found(edited: Path) -> Any:
    return natonnx.diff(RESNET, edited)


def test_the_contract(edited: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, stderr = run(capsys, RESNET, edited, "--json", "--data", str(pictures))
    assert (code, stderr) == (0, "")
    payload = json.loads(stdout)
    require_payload(payload, DiffReport)
    assert list(payload) == [
        "schema",
        "before",
        "after",
        "differs_in",
        "fields",
        "metadata",
        "provenance",
        "operators",
        "nodes",
        "edges",
        "weights",
        "outputs",
        "data",
    ]
    assert payload["before"]["path"] == str(RESNET)
    assert payload["differs_in"] == ["graph"]
    assert payload["data"]["samples"] == 500
    before, after = payload["data"]["score"]
    assert (payload["data"]["name"], before) == (str(pictures), 0.93)
    assert 0 < payload["data"]["agreement"] < 1
    assert abs(before - after) <= 1 - payload["data"]["agreement"]


def test_costs_are_those_of_inspect(found: dict[str, Any], edited: Path) -> None:
    for side, path in (("before", RESNET), ("after", edited)):
        row = found[side]
        assert {key: row[key] for key in ("params", "madds")} == natonnx.inspect(path)["cost"]
        assert row["size_bytes"] == path.stat().st_size
        assert row["nodes"] == len(onnx.load(path).graph.node)


def test_edits_are_seen_and_noted(found: dict[str, Any]) -> None:
    rows = {row["edge"]: (row["from"], row["to"], row["noted"]) for row in found["edges"]["changes"]}
    assert rows == {
        "stage1_block2.first.conv": ("O", None, None),
        "stage1_block2.second.conv": ("O", None, "O → N"),
        "stage3_block2.first.conv": ("O", "S", "O → S"),
        "relu_14->relu_16": ("S", "N", "S → N"),
        "relu_1->relu_4": ("N", "S", "N → S"),
    }
    noted = found["provenance"]
    assert (noted["of"], noted["runs"], noted["is_source"], noted["replayed"]) == ("after", 1, True, True)
    assert noted["edits"] == [
        {"edge": edit.edge, "from": edit.before, "to": edit.after, "seen": True} for edit in EDITS
    ]


def test_operators_and_weights_are_those_of_the_files(found: dict[str, Any], edited: Path) -> None:
    before, after = onnx.load(RESNET), onnx.load(edited)
    kinds = [[node.op_type for node in model.graph.node] for model in (before, after)]
    for row in found["operators"]:
        assert [row["before"], row["after"]] == [own.count(row["op_type"]) for own in kinds]
    assert sum(row["after"] - row["before"] for row in found["operators"]) == len(kinds[1]) - len(kinds[0])
    names = [{tensor.name for tensor in model.graph.initializer} for model in (before, after)]
    assert found["weights"]["same"] == len(names[1])
    assert {row["name"] for row in found["weights"]["removed"]} == names[0] - names[1]


def test_outputs_are_onnxruntimes(found: dict[str, Any], edited: Path) -> None:
    """On the inputs that the documentation describes: four runs of eight, seeds one after the other."""
    from natonnx.bench import random_inputs

    before, after = onnx.load(RESNET), onnx.load(edited)
    results = []
    for seed in range(4):
        x = random_inputs(before, "", batch=8, seed=seed)
        results.append((runtime(before, x)["logits"], runtime(after, x)["logits"]))
    (row,) = found["outputs"]["outputs"]
    assert found["outputs"]["samples"] == 32
    assert row["max_abs"] == pytest.approx(max(np.abs(a - b).max() for a, b in results), rel=1e-5)
    assert row["max_rel"] == pytest.approx(max(np.abs(a - b).max() / np.abs(a).max() for a, b in results), rel=1e-5)
    assert row["same_argmax"] == pytest.approx(np.mean([a.argmax(1) == b.argmax(1) for a, b in results]))
    assert row["bit_equal"] is False


def test_the_other_way_round(edited: Path) -> None:
    found: Any = natonnx.diff(edited, RESNET)
    rows = {row["edge"]: (row["change"], row["from"], row["to"]) for row in found["edges"]["changes"]}
    assert rows["stage3_block2.first.conv"] == ("transition", "S", "O")
    assert rows["relu_14->relu_16"] == ("transition", "N", "S")
    assert rows["stage1_block2.second.conv"] == ("added", None, "O")
    assert (found["provenance"]["of"], found["provenance"]["replayed"]) == ("before", True)


def test_for_people(edited: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    code, stdout, _ = run(capsys, RESNET, edited)
    assert code == 0
    for line in (
        "different in the graph",
        "natonnx 0.1.0 made AFTER from BEFORE (its sha256 agrees); replayed, its edits give its graph",
        "of its 4 edits, 4 are seen below",
        "edges: 29 → 27, 25 the same (matched 26 by name)",
        "  O → S      stage3_block2.first.conv Conv",
        "  N → S      relu_1->relu_4",
        "  S → N      relu_14->relu_16",
        "constants: 109 → 94 tensors; 94 bit-identical, 15 removed",
        "  ... and 3 more",
        "outputs: 32 random samples in onnxruntime",
    ):
        assert line in stdout, stdout


@pytest.mark.parametrize("path", [RESNET, VGG])
def test_a_model_and_itself(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = run(capsys, path, path, "--json", "--exit-code")
    found = json.loads(stdout)
    assert code == 0
    assert found["differs_in"] == found["fields"] == found["operators"] == found["edges"]["changes"] == []
    assert not any(found["weights"][key] for key in ("changed", "renamed", "removed", "added"))
    (row,) = found["outputs"]["outputs"]
    assert (row["bit_equal"], row["max_abs"], row["same_argmax"]) == (True, 0.0, 1.0)


def test_other_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = pair(tmp_path, shipped_model("vgg"), with_weights(shipped_model("vgg"), 1.25))
    assert found["differs_in"] == ["weights"]
    assert found["edges"]["changes"] == []
    floats = {t.name: t for t in shipped_model("vgg").graph.initializer if t.data_type == TensorProto.FLOAT}
    rows = {row["name"]: row for row in found["weights"]["changed"]}
    assert rows.keys() == floats.keys()
    for name, row in rows.items():
        value = numpy_helper.to_array(floats[name]).astype(np.float64)
        assert row["relative_l2"] == pytest.approx(0.25, rel=1e-5)
        assert row["max_abs"] == pytest.approx(0.25 * np.abs(value).max(), rel=1e-5)
    code, stdout, _ = run(capsys, tmp_path / "before.onnx", tmp_path / "after.onnx", "--exit-code")
    assert code == 1
    assert "different in the weights; the graph is the same" in stdout


@pytest.mark.parametrize("name", ["resnet20", "mobilenetv2"])
def test_other_names(name: str, tmp_path: Path) -> None:
    """Nothing within has the name that it had, and everything is found by the structure."""
    model = shipped_model(name)
    found = pair(tmp_path, model, renamed(model))
    assert found["differs_in"] == []
    assert found["edges"]["changes"] == []
    assert found["edges"]["matched"]["structure"] == found["edges"]["same"] == found["edges"]["before"]
    assert len(found["weights"]["renamed"]) == found["weights"]["same"] == len(model.graph.initializer)
    assert found["nodes"]["same"] == len(model.graph.node)
    assert found["outputs"]["outputs"][0]["bit_equal"]


def test_other_names_and_weights(tmp_path: Path) -> None:
    found = pair(tmp_path, shipped_model("vgg"), renamed(with_weights(shipped_model("vgg"), 2.0)))
    assert found["differs_in"] == ["weights"]
    assert {row["relative_l2"] for row in found["weights"]["changed"]} == {1.0}
    assert {row["name"] for row in found["weights"]["changed"]} <= {
        t.name for t in shipped_model("vgg").graph.initializer
    }
    assert not found["weights"]["removed"]


def test_other_names_of_nodes_only(tmp_path: Path) -> None:
    after = copy(shipped_model("vgg"))
    for i, node in enumerate(after.graph.node):
        node.name = f"n{i}"
    found = pair(tmp_path, shipped_model("vgg"), after)
    assert found["differs_in"] == found["edges"]["changes"] == []
    assert found["edges"]["matched"]["structure"] == found["edges"]["before"]
    assert found["weights"]["renamed"] == []
    assert found["nodes"]["same"] == len(after.graph.node)


def test_an_edited_model_under_other_names_is_matched_up_to_the_first_edit(edited: Path, tmp_path: Path) -> None:
    """What cannot be matched is said to be gone and new, and counted by operator; weights are told by their content."""
    found = pair(tmp_path, shipped_model("resnet20"), renamed(onnx.load(edited)))
    assert not found["edges"]["related"]
    assert {row["change"] for row in found["edges"]["changes"]} == {"removed", "added"}
    assert found["edges"]["matched"] == {"name": 0, "structure": 4, "ends": 0, "nodes": 0}
    gone = {row["edge"] for row in found["edges"]["changes"] if row["before"]}
    assert not gone & {"stem.conv", "stage1_block1.first.conv", "stage1_block1.second.conv", "relu->relu_2"}
    assert {row["op_type"]: row["after"] - row["before"] for row in found["operators"]}["Conv"] == -3
    assert found["weights"]["same"] == len(found["weights"]["renamed"]) == 94


def test_another_opset(tmp_path: Path) -> None:
    graph = Builder(opset=17)
    graph.op("Relu", graph.conv("x", "a", bias=True), out="r")
    graph.op("Add", graph.conv("r", "b"), "r", out="s")
    graph.op("ReduceMean", "s", out="y", axes=[2, 3], keepdims=0)
    before = graph.model("y")
    found = pair(tmp_path, before, version_converter.convert_version(before, 18))
    assert {"what": "opset ai.onnx", "before": 17, "after": 18} in found["fields"]
    assert found["differs_in"] == ["graph"]  # its ReduceMean is another one
    assert found["edges"]["changes"] == []
    assert found["outputs"]["outputs"][0]["bit_equal"]


def test_a_later_version_of_an_operator(tmp_path: Path) -> None:
    """Nothing in the file says so but the number of the opset."""
    graph = Builder(opset=17)
    graph.op("Reshape", graph.conv("x", "a"), graph.constant("target", np.array([0, -1])), out="y")
    before = graph.model("y")
    after = copy(before)
    after.opset_import[0].version = 19
    found = pair(tmp_path, before, after)
    assert found["differs_in"] == ["graph"]
    assert found["edges"]["changes"] == found["nodes"]["changed"] == []
    assert [row["what"] for row in found["fields"]] == ["opset ai.onnx"]


def test_unrelated_models(capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = run(capsys, RESNET, VGG, "--exit-code")
    assert code == 1
    assert "few names are in both" in stdout
    assert "→ N" not in stdout
    assert "→ S" not in stdout


def test_what_does_not_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tiny.model(author="someone", more="x", ir_version=9)
    other.producer_name = "me"
    saved(other, folder / "other.onnx")
    code, stdout, _ = run(capsys, folder / "model.onnx", folder / "other.onnx", "--json", "--exit-code")
    payload = json.loads(stdout)
    assert code == 0
    assert payload["differs_in"] == []
    assert {row["what"] for row in payload["fields"]} == {"ir_version", "producer"}
    assert payload["metadata"] == {
        "added": {"more": "x"},
        "removed": {},
        "changed": {"author": ["the tests", "someone"]},
    }


def _open_size(info: onnx.ValueInfoProto) -> None:
    info.type.tensor_type.shape.dim[0].dim_param = "n"


def _fixed_size(info: onnx.ValueInfoProto) -> None:
    info.type.tensor_type.shape.dim[0].dim_value = 1


@pytest.mark.parametrize(("change", "counts"), [(_open_size, False), (_fixed_size, True)])
def test_the_interface(change: Any, counts: bool, tmp_path: Path) -> None:
    """What an open size is called does not matter to a caller; that it is fixed does."""
    after = tiny.model()
    change(after.graph.input[0])
    found = pair(tmp_path, tiny.model(), after)
    assert found["differs_in"] == (["interface"] if counts else [])
    assert [row["what"] for row in found["fields"]] == ["input image"]
    assert found["outputs"]["outputs"][0]["bit_equal"]


def test_inputs_and_outputs_of_other_names(tmp_path: Path) -> None:
    after = tiny.model()
    after.graph.input[0].name = after.graph.node[0].input[0] = "picture"
    after.graph.output[0].name = after.graph.node[-1].output[0] = "logits"
    found = pair(tmp_path, tiny.model(), after)
    assert found["differs_in"] == ["interface"]
    assert found["outputs"]["inputs_matched_by"] == "position"
    (row,) = found["outputs"]["outputs"]
    assert (row["before"], row["after"], row["matched_by"], row["bit_equal"]) == ("scores", "logits", "position", True)
    assert found["edges"]["changes"] == []


def two_inputs(*order: str, operator: str = "Sub") -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in order]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("d", "p")]
    nodes = [helper.make_node(operator, ["a", "b"], ["d"]), helper.make_node("Add", ["a", "b"], ["p"])]
    graph = helper.make_graph(nodes, "g", infos, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_the_order_of_inputs_does_not_matter_their_names_do(tmp_path: Path) -> None:
    found = pair(tmp_path, two_inputs("a", "b"), two_inputs("b", "a"))
    assert found["differs_in"] == []
    assert [row["what"] for row in found["fields"]] == ["order of inputs"]
    assert all(row["bit_equal"] for row in found["outputs"]["outputs"])
    found = pair(tmp_path, two_inputs("a", "b"), two_inputs("a", "b", operator="Mul"))
    assert found["differs_in"] == ["graph"]
    assert [row["bit_equal"] for row in found["outputs"]["outputs"]] == [False, True]
    assert found["nodes"]["changed"] == [{"name": "d", "changes": {"op_type": ["Sub", "Mul"]}}]


def test_external_data(tmp_path: Path) -> None:
    before = external.save(external.residual(), tmp_path / "before.onnx")
    after = external.save(with_weights(external.residual(), 1.5), tmp_path / "after.onnx", one_file=False)
    inside = saved(external.residual(), tmp_path / "inside.onnx")
    assert natonnx.diff(before, inside)["differs_in"] == []
    found: Any = natonnx.diff(before, after)
    assert found["differs_in"] == ["weights"]
    assert [row["relative_l2"] for row in found["weights"]["changed"]] == [pytest.approx(0.5)] * 6
    assert found["before"]["size_bytes"] > before.stat().st_size
    edited, _ = natonnx.apply(before, [Edit("B", State.O, State.S)], tmp_path / "edited.onnx")
    found = natonnx.diff(before, edited)
    assert [(row["edge"], row["from"], row["to"]) for row in found["edges"]["changes"]] == [("B", "O", "S")]
    assert found["provenance"]["replayed"]


def test_open_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a size nothing can be run, and everything else is said all the same."""
    models = []
    for i, factor in enumerate((1.0, 2.0)):
        graph = Builder(size="s")
        graph.conv("x", "y", kernel=3)
        models.append(saved(with_weights(graph.model("y"), factor), tmp_path / f"{i}.onnx"))
    found: Any = natonnx.diff(*models)
    assert "give --input-shape x:N,..." in found["outputs"]["reason"]
    assert found["before"]["madds"] is None
    assert found["differs_in"] == ["weights"]
    code, stdout, _ = run(capsys, *models, "--input-shape", "x:3,4,6,6", "--json")
    found = json.loads(stdout)
    assert (code, found["outputs"]["reason"], found["outputs"]["samples"]) == (0, None, 12)
    assert found["before"]["madds"] == 4 * 4 * 9 * 36


def test_sizes_that_only_one_model_leaves_open(tmp_path: Path) -> None:
    models = []
    for size, batch in (("s", "n"), (8, 2)):
        graph = Builder(size=size, batch=batch)
        graph.conv("x", "y", kernel=3)
        models.append(graph.model("y"))
    for before, after in (models, models[::-1]):
        found = pair(tmp_path, before, after)
        assert found["outputs"]["reason"] is None
        assert found["outputs"]["samples"] == 8
        assert found["outputs"]["outputs"][0]["bit_equal"]
        assert found["differs_in"] == ["interface"]


def test_a_model_that_onnxruntime_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tiny.model()
    after = copy(before)
    after.graph.node[1].domain = "com.example"
    after.opset_import.append(helper.make_opsetid("com.example", 1))
    found = pair(tmp_path, before, after)
    assert found["outputs"]["reason"].startswith(f"{tmp_path / 'after.onnx'}: onnxruntime refuses the model")
    assert found["outputs"]["outputs"] == []
    assert found["weights"]["same"] == 8
    code, stdout, stderr = run(capsys, tmp_path / "before.onnx", tmp_path / "after.onnx")
    assert (code, stderr) == (0, "")
    assert "outputs: not compared, " in stdout


def test_other_inputs(tmp_path: Path) -> None:
    found = pair(tmp_path, tiny.model(), two_inputs("a", "b"))
    assert found["outputs"]["reason"].endswith(f"its inputs are a, b, those of {tmp_path / 'before.onnx'} are image")
    assert found["differs_in"] == ["interface", "graph"]


def test_outputs_that_vary_or_are_no_numbers(tmp_path: Path) -> None:
    def made(text: str) -> onnx.ModelProto:
        nodes = [
            helper.make_node("RandomNormalLike", ["x"], ["noise"]),
            helper.make_node("Div", ["x", "zero"], ["large"]),
            helper.make_node("Identity", ["text"], ["said"]),
            helper.make_node("Shape", ["x"], ["shape"]),
        ]
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            nodes,
            "g",
            [value("x", 1, ["n", 2])],
            [value("noise", 1, ["n", 2]), value("large", 1, ["n", 2]), value("said", 8, [1]), value("shape", 7, [2])],
            [
                numpy_helper.from_array(np.array(0 if text == "a" else 1, np.float32), "zero"),
                numpy_helper.from_array(np.array([text], object), "text"),
            ],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    rows = {row["before"]: row for row in pair(tmp_path, made("a"), made("b"))["outputs"]["outputs"]}
    assert rows["noise"]["reason"] == "varies from run to run by itself"
    assert rows["large"]["reason"] == "it is NaN or infinite in one only"
    assert rows["said"]["reason"] == "no tensor of numbers"
    assert rows["shape"]["bit_equal"]
    assert [rows[name]["bit_equal"] for name in ("noise", "large", "said")] == [None, False, False]


@pytest.mark.parametrize("random", [0, 1])
def test_an_output_that_varies_in_one_model_only(random: int, tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    models = []
    for i in range(2):
        node = helper.make_node("RandomNormalLike" if i == random else "Identity", ["x"], ["y"])
        graph = helper.make_graph([node], "g", [value("x", 1, ["n", 2])], [value("y", 1, ["n", 2])])
        models.append(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    (row,) = pair(tmp_path, *models)["outputs"]["outputs"]
    assert row["reason"] == "varies from run to run by itself"
    assert row["bit_equal"] is row["max_abs"] is None


def test_an_output_that_the_other_model_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = two_inputs("a", "b")
    del after.graph.output[1], after.graph.node[1]
    found = pair(tmp_path, two_inputs("a", "b"), after)
    rows = {row["before"]: row for row in found["outputs"]["outputs"]}
    assert rows["d"]["bit_equal"]
    assert (rows["p"]["after"], rows["p"]["reason"]) == (None, "the other model has no such output")
    assert found["differs_in"] == ["interface", "graph"]
    _, stdout, _ = run(capsys, tmp_path / "before.onnx", tmp_path / "after.onnx")
    assert "p: the other model has no such output" in stdout


def test_provenance_of_another_file(edited: Path) -> None:
    found: Any = natonnx.diff(VGG, edited)["provenance"]
    assert (found["of"], found["is_source"], found["replayed"], found["edits"]) == ("after", False, None, [])


def test_provenance_that_is_not_true(edited: Path, tmp_path: Path) -> None:
    """The edits that are noted are not those that were made."""
    model = onnx.load(edited)
    (noted,) = [prop for prop in model.metadata_props if prop.key == KEY]
    history = json.loads(noted.value)
    history[0]["edits"] = history[0]["edits"][1:]
    noted.value = json.dumps(history)
    found: Any = natonnx.diff(RESNET, saved(model, tmp_path / "m.onnx"))
    assert found["provenance"]["replayed"] is False
    assert {row["noted"] for row in found["edges"]["changes"]} == {None}
    history[0]["edits"][0]["edge"] = "nothing"
    noted.value = json.dumps(history)
    found = natonnx.diff(RESNET, saved(model, tmp_path / "m.onnx"))
    assert "cannot be replayed" in found["provenance"]["detail"]
    assert [edit["seen"] for edit in found["provenance"]["edits"]] == [False, True, True]
    for text in ("nonsense", "{}", "[1]", "[" * 100_000):
        noted.value = text
        assert natonnx.diff(RESNET, saved(model, tmp_path / "m.onnx"))["provenance"] is None


def test_two_runs_of_edits_are_replayed(edited: Path, tmp_path: Path) -> None:
    again = [Edit("stage2_block2.second.conv", State.O, State.S)]
    twice, _ = natonnx.apply(edited, again, tmp_path / "twice.onnx")
    found: Any = natonnx.diff(RESNET, twice)["provenance"]
    assert (found["runs"], found["replayed"]) == (2, True)
    assert [edit["edge"] for edit in found["edits"]] == [edit.edge for edit in (*EDITS, *again)]
    found = natonnx.diff(edited, twice)["provenance"]
    assert (found["runs"], found["replayed"], len(found["edits"])) == (2, True, 1)


def test_reading_options(tmp_path: Path) -> None:
    """Patterns are the first model's, so that what they name may be gone from the second."""
    reading = ParseOptions(granularity=Granularity.BRANCH, include=("stage1_block2.*",))
    edits = [Edit("stage1_block2.first.conv..stage1_block2.second.conv", State.O, State.N)]
    path, _ = natonnx.apply(RESNET, edits, tmp_path / "m.onnx", reading=reading)
    found: Any = natonnx.diff(RESNET, path, reading=reading)
    (row,) = [row for row in found["edges"]["changes"] if row["edge"] == edits[0].edge]
    assert (row["from"], row["to"], row["noted"]) == ("O", "N", "O → N")
    found = natonnx.diff(RESNET, path)
    assert "cannot be replayed by these reading options" in found["provenance"]["detail"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["model.onnx"], "Missing argument 'AFTER'"),
        (["model.onnx", "missing.onnx"], "missing.onnx: no such file"),
        (["data.npz", "model.onnx"], "data.npz: not an ONNX model"),
        (["model.onnx", "model.onnx", "--input-shape", "z:1,1,8,8"], "no input 'z' in either model"),
        (["model.onnx", "model.onnx", "--include", "nothing"], "matches no node"),
        (["model.onnx", "model.onnx", "--data", "missing.npz"], "missing.npz"),
        (["model.onnx", "model.onnx", "--seed", "-1"], "--seed"),
    ],
)
def test_bad_usage(
    folder: Path,
    arguments: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    code, stdout, stderr = run(capsys, *arguments)
    assert (code, stdout) == (2, "")
    assert says in stderr
    assert len(stderr.splitlines()) == 1


def test_data(folder: Path) -> None:
    found: Any = natonnx.diff(folder / "model.onnx", folder / "model.onnx", data=str(folder / "data.npz"))["data"]
    model, arrays = tiny.model(), tiny.arrays()
    scores: NDArray[Any] = runtime(model, {tiny.INPUT: arrays["x_test"]})["scores"]
    right = float(np.mean(scores.argmax(1) == arrays["y_test"]))
    assert found == {
        "name": str(folder / "data.npz"),
        "split": "test",
        "samples": 60,
        "objective": {
            "name": "labels",
            "measure": "accuracy",
            "unit": {"symbol": "%", "scale": 100.0, "difference": "points"},
            "outputs": [{"name": "scores", "measure": "accuracy"}],
        },
        "score": [pytest.approx(right)] * 2,
        "agreement": 1.0,
        "outputs": [{"name": "scores", "measure": "top-1 agreement", "agreement": 1.0}],
    }


def test_names_that_look_like_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = tiny.model(), tiny.model()
    after.metadata_props.add(key="[red]x[/]", value="y")
    after.graph.node[0].name = "[bold]stem"
    saved(before, tmp_path / "a.onnx")
    saved(after, tmp_path / "[b].onnx")
    code, stdout, _ = run(capsys, tmp_path / "a.onnx", tmp_path / "[b].onnx")
    assert code == 0
    assert "[b].onnx" in stdout
    assert "[red]x[/]" in stdout
