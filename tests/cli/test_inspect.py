"""`natonnx inspect`: the contract of its JSON, and the table."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from natonnx.cli import main
from natonnx.contract.inspect import Inspection
from tests.cli import tiny
from tests.contract.conforms import require_payload

MODELS = sorted((tiny.ROOT / "models").glob("*.onnx"))
STATES = {"O", "S", "N"}
MAY_BECOME = {"O": {"S", "N"}, "S": {"N"}, "N": {"S"}}


def inspect(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(path), "--json", *options])
    assert stopped.value.code == 0
    payload: dict[str, Any] = json.loads(capsys.readouterr().out)
    return payload


def is_count(value: object) -> bool:
    return type(value) is int and value >= 0


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_the_contract(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    payload = inspect(path, capsys)
    assert payload.keys() == {"schema", "model", "cost", "feature_maps", "edges", "opaque"}
    require_payload(payload, Inspection)
    assert payload["model"].keys() == {"path", "opset", "ir_version", "inputs", "outputs"}
    model = onnx.load(path)
    assert payload["model"] == {
        "path": str(path),
        "opset": model.opset_import[0].version,
        "ir_version": model.ir_version,
        "inputs": [{"name": "image", "dtype": "float", "shape": ["batch", 1, 28, 28], "batch_axis": 0}],
        "outputs": [{"name": "logits", "dtype": "float", "shape": ["batch", 10], "batch_axis": 0}],
    }
    assert payload["cost"].keys() == {"params", "madds"}
    assert all(map(is_count, payload["cost"].values()))
    maps = [fmap["name"] for fmap in payload["feature_maps"]]
    assert len(set(maps)) == len(maps)
    for fmap in payload["feature_maps"]:
        assert fmap.keys() == {"name", "shape", "join", "inputs"}
        assert fmap["join"] in {"input", "single", "sum", "opaque"}
    names = [edge["name"] for edge in payload["edges"]]
    assert len(set(names)) == len(names)
    for edge in payload["edges"]:
        own = {"name", "source", "target", "state", "operation", "params", "madds", "legal", "illegal", "cheaper"}
        assert edge.keys() == own
        assert edge["cheaper"] == {}  # without NAT++
        assert edge["source"] in maps
        assert edge["target"] in maps
        assert edge["state"] in STATES
        assert is_count(edge["params"])
        assert is_count(edge["madds"])
        assert set(edge["legal"]) | edge["illegal"].keys() == MAY_BECOME[edge["state"]]
        assert not set(edge["legal"]) & edge["illegal"].keys()
        assert all(reason and "\n" not in reason for reason in edge["illegal"].values())
        if edge["state"] == "O":
            assert edge["operation"]
    for node in payload["opaque"]:
        assert node.keys() == {"node", "op_type", "reason"}
    operations = [edge for edge in payload["edges"] if edge["state"] == "O"]
    assert sum(edge["madds"] for edge in operations) == payload["cost"]["madds"]


def test_the_tiny_model_in_full(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counted by hand: 3x3 convolutions of 8 channels on 8x8 pixels, and an 8 to 3 product."""
    payload = inspect(folder / "model.onnx", capsys)
    conv = 9 * 8 * 8
    assert payload["cost"] == {
        "params": (9 * 8 + 8) + 2 * (conv + 8) + (8 * 3 + 3),
        "madds": 64 * (9 * 8 + 2 * conv) + 8 * 3,
    }
    edges = {edge["name"]: edge for edge in payload["edges"]}
    assert edges["one"]["madds"] == 64 * conv
    assert edges["one"]["params"] == conv + 8
    assert {name: edge["state"] for name, edge in edges.items() if "image->" not in name} == {
        "stem": "O",
        "one": "O",
        "two": "O",
        "x->z": "S",
        "head": "O",
    }
    assert {name: set(edges[name]["legal"]) for name in ("stem", "one", "two", "x->z", "head")} == {
        "stem": {"S"},
        "one": {"S", "N"},
        "two": {"S", "N"},
        "x->z": {"N"},
        "head": set(),
    }
    assert [node["op_type"] for node in payload["opaque"]] == ["ReduceMean"]


def test_input_shape_changes_the_count_of_an_open_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny.model()
    for info in model.graph.input:
        info.type.tensor_type.shape.dim[2].dim_param = "height"
    path = tmp_path / "open.onnx"
    onnx.save(model, path)
    unknown = inspect(path, capsys)
    assert unknown["cost"]["madds"] is None
    assert unknown["cost"]["params"] == 1275
    known = inspect(path, capsys, "--input-shape", "image:1,1,16,8")
    assert known["cost"]["madds"] == 2 * (78360 - 24) + 24


def test_stdout_is_json_alone_whatever_is_warned_of(folder: Path) -> None:
    code, stdout, _ = tiny.natonnx("inspect", "model.onnx", "--json", cwd=folder, PYTHONWARNINGS="always")
    assert code == 0
    assert json.loads(stdout)["model"]["path"] == "model.onnx"


def test_text_of_any_alphabet_survives(tmp_path: Path) -> None:
    path = tmp_path / "modèle β.onnx"
    path.write_bytes(tiny.model_bytes())
    code, stdout, _ = tiny.natonnx("inspect", path.name, "--json", cwd=tmp_path)
    assert code == 0
    assert json.loads(stdout)["model"]["path"] == path.name


def test_the_table(folder: Path) -> None:
    before = tiny.snapshot(folder)
    code, stdout, stderr = tiny.natonnx("inspect", "model.onnx", cwd=folder)
    assert (code, stderr) == (0, "")
    assert "opset 17, IR 8" in stdout
    assert "1,275 parameters, 78,360 MAdds" in stdout
    assert "nothing else feeds 'x'" in stdout
    assert "fixed: pool (ReduceMean)" in stdout
    assert "7 edges (4 O, 1 S, 2 N)" in stdout
    assert tiny.snapshot(folder) == before
