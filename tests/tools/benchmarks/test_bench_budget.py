"""What the time budget is measured with."""

from pathlib import Path

import numpy as np

from natonnx.data.shipped import read_builtin
from tools.benchmarks.bench_budget import run, write_data


def test_more_training_data_of_the_same_kind(tmp_path: Path) -> None:
    write_data(tmp_path / "data.npz", 8500)
    given, made = read_builtin("fashion-mnist", None), np.load(tmp_path / "data.npz")
    assert made["x_train"].shape == (8500, 28, 28)
    assert made["x_train"].dtype == np.uint8
    assert (made["y_train"][8000:] == given["y_train"][:500]).all()
    change = np.abs(made["x_train"][:8000].astype(int) - given["x_train"])
    assert 0 < change.max() <= 4
    assert (made["x_train"][8000:] != made["x_train"][:500]).any()
    assert (made["x_test"] == given["x_test"]).all()


def test_a_run_is_timed() -> None:
    timed = run(["--version"])
    assert 0 < timed.first <= timed.seconds
    assert timed.code == 0
    assert timed.last.startswith("natonnx")
    assert run(["optimize", "missing.onnx"]).code == 2
