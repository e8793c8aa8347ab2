"""What files leave open is as the data has it; outputs belong together by name. Judged by onnxruntime alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from natonnx.cli import main
from natonnx.session import run, session

SAMPLES = 40


def model(outputs: tuple[str, ...], noise: float = 0.0) -> onnx.ModelProto:
    """x [N, T, 4] → the mean over T → two dense layers of 3 classes, in either order."""
    generator = np.random.default_rng(0)
    weights = {name: generator.standard_normal((4, 3)) for name in ("first", "second")}
    weights = {name: value + noise * generator.standard_normal((4, 3)) for name, value in weights.items()}
    nodes = [helper.make_node("ReduceMean", ["x"], ["pooled"], axes=[1], keepdims=0)]
    nodes += [helper.make_node("Gemm", ["pooled", f"{name}.w", f"{name}.b"], [name], name) for name in outputs]
    constants = [numpy_helper.from_array(value.astype(np.float32), f"{name}.w") for name, value in weights.items()]
    constants += [numpy_helper.from_array(np.zeros(3, np.float32), f"{name}.b") for name in weights]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in outputs]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "T", 4])]
    graph = helper.make_graph(nodes, "g", inputs, infos, constants)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    generator = np.random.default_rng(1)
    onnx.save(model(("first", "second")), tmp_path / "a.onnx")
    onnx.save(model(("second", "first"), 0.5), tmp_path / "b.onnx")
    inputs = generator.standard_normal((2, SAMPLES, 5, 4)).astype(np.float32)
    parts = {"train/x": inputs[0], "val/x": inputs[1]}
    np.savez(tmp_path / "data.npz", **parts)
    labels = {f"{part}/labels": generator.integers(0, 3, SAMPLES) for part in ("train", "val")}
    np.savez(tmp_path / "labelled.npz", allow_pickle=False, **parts, **labels)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def payload(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--json"])
    out, err = capsys.readouterr()
    assert end.value.code in (0, 1), err
    return json.loads(out)


def outputs(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / "data.npz") as data:
        return run(session(onnx.load(folder / name)), {"x": data["val/x"]})


@pytest.mark.usefixtures("folder")
def test_bench_takes_sizes_from_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    found = payload(capsys, "bench", "a.onnx", "b.onnx", "--data", "data.npz", "--seconds", "0.05")
    assert found["conditions"]["inputs"][0]["shape"] == [1, 5, 4]
    assert [row["madds"] for row in found["models"]] == [24, 24]


@pytest.mark.usefixtures("folder")
def test_check_counts_madds_at_the_sizes_of_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--max-madds-ratio", "1", "--min-agreement", "0"]
    found = payload(capsys, "check", "b.onnx", "--baseline", "a.onnx", "--data", "data.npz", *limits)
    assert found["gates"][0]["value"] == 1


def test_outputs_of_the_same_names_belong_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In whatever order the files have them."""
    found = payload(capsys, "check", "b.onnx", "--baseline", "a.onnx", "--data", "data.npz", "--min-agreement", "0")
    before, after = outputs(folder, "a.onnx"), outputs(folder, "b.onnx")
    same = [np.mean(before[name].argmax(1) == after[name].argmax(1)) for name in ("first", "second")]
    assert [gate["value"] for gate in found["gates"]] == pytest.approx(same)


def test_labels_are_for_the_output_of_the_first_model_s_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = payload(capsys, "check", "b.onnx", "--baseline", "a.onnx", "--data", "labelled.npz", "--min-accuracy", "0")
    with np.load(folder / "labelled.npz") as data:
        right = np.mean(outputs(folder, "b.onnx")["first"].argmax(1) == data["val/labels"])
    assert found["gates"][0]["value"] == pytest.approx(right)


def test_diff_says_each_output_s_agreement(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = payload(capsys, "diff", "a.onnx", "b.onnx", "--data", "data.npz")
    before, after = outputs(folder, "a.onnx"), outputs(folder, "b.onnx")
    assert {row["name"]: row["agreement"] for row in found["data"]["outputs"]} == pytest.approx(
        {name: np.mean(before[name].argmax(1) == after[name].argmax(1)) for name in ("first", "second")}
    )
    assert found["after"]["madds"] == 24
    assert all(row["max_abs"] is not None for row in found["outputs"]["outputs"])
