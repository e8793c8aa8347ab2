"""`natonnx optimize --weights scratch`, from the command line to what it reports."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.cli import tiny

COMMAND = ["optimize", "model.onnx", "--data", "data.npz", "--lookups", "6", "--threads", "1", "--weights", "scratch"]
COMMAND += ["--finetune-epochs", "5", "--target-madds", "0.55", "--max-drop", "100", "--weight-decay", "0.001"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.fill(tmp_path)


def test_the_model_and_the_input_beside_it_are_trained_from_scratch(folder: Path) -> None:
    more = ["-o", "out.onnx", "--json", "--markdown", "out.md", "--html", "out.html"]
    done = tiny.natonnx(*COMMAND, *more, cwd=folder)
    assert done.code == 0, done.stderr
    assert "and as many for the input, both from scratch" in done.stderr
    report = json.loads(done.stdout)
    assert report["protocol"] == "scratch"
    (row,) = report["front"]
    beta = report["finetuned_input"]["score"]["validation"]
    assert row["behind"] == pytest.approx(beta - row["score"]["validation"], abs=1e-9)
    if row["behind_interval"] is None:
        assert row["behind"] == 0  # the two differ on no sample
    else:
        assert row["behind_interval"][0] <= row["behind"] <= row["behind_interval"][1]
    assert row["lost"] == pytest.approx(report["input"]["score"]["validation"] - row["score"]["validation"], abs=1e-9)
    assert report["images"]["teacher"] == 0
    assert "protocol scratch" in (folder / "out.md").read_text()
    assert "trained from scratch by the same budget" in (folder / "out.md").read_text()
    assert "<td>scratch</td>" in (folder / "out.html").read_text()
    before, after = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(folder / name).graph.initializer}
        for name in ("model.onnx", "out.onnx")
    )
    kept = [name for name in before.keys() & after.keys() if before[name].dtype == np.float32 and before[name].ndim > 1]
    assert kept
    for name in kept:  # hardly more alike than any two draws
        if before[name].shape == after[name].shape:
            assert abs(np.corrcoef(before[name].ravel(), after[name].ravel())[0, 1]) < 0.6


def test_what_is_trained_less_than_the_input_was_does_not_take_its_place(folder: Path) -> None:
    command = [word for word in COMMAND if word not in ("--max-drop", "100")]
    done = tiny.natonnx(*command, "--finetune-epochs", "0.1", "-o", "out.onnx", cwd=folder)
    assert done.code == 1, done.stderr
    assert "number 1, from scratch: validation accuracy lost to that input" in done.stdout
    assert not (folder / "out.onnx").exists()


def test_nothing_is_from_scratch_without_training(folder: Path) -> None:
    done = tiny.natonnx(*COMMAND, "--no-training", "-o", "out.onnx", cwd=folder)
    assert done.code == 2
    assert "weights scratch are to be trained: leave that out, or --no-training" in done.stderr
