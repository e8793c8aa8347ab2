"""onnxruntime, quiet, and refusing in one line."""

import gc
from pathlib import Path

import numpy as np
import onnx
import pytest

from natonnx.errors import InputError
from natonnx.session import run, session
from natonnx.tensors import with_values
from tests import external
from tests.cli import tiny
from tests.rewrite.helpers import Builder, images


@pytest.mark.parametrize(
    ("opset", "ir_version"), [(28, 14), (17, 99), (99, 8)], ids=["both too new", "IR too new", "opset too new"]
)
def test_a_model_from_the_future_is_refused(opset: int, ir_version: int, capfd: pytest.CaptureFixture[str]) -> None:
    model = tiny.model(opset=17, ir_version=ir_version)
    model.opset_import[0].version = opset
    with pytest.raises(InputError) as refused:
        session(model)
    assert str(refused.value).startswith("onnxruntime refuses the model: ")
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_an_operator_that_onnxruntime_lacks_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    model = tiny.model()
    model.graph.node[0].op_type = "Unknown"
    with pytest.raises(InputError, match="Unknown"):
        session(model)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "inputs",
    [
        {"image": np.zeros((1, 1, 8, 9), np.float32)},
        {"image": np.zeros((1, 1, 8, 8), np.int64)},
        {"picture": np.zeros((1, 1, 8, 8), np.float32)},
        {},
    ],
    ids=["shape", "type", "name", "none"],
)
def test_bad_inputs_are_refused(inputs: dict[str, np.ndarray], capfd: pytest.CaptureFixture[str]) -> None:
    runtime = session(tiny.model())
    with pytest.raises(InputError) as refused:
        run(runtime, inputs)
    assert str(refused.value).startswith("onnxruntime cannot run the model: ")
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_outputs_come_by_name_and_nothing_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    model = tiny.model()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3, np.float32), "unused"))  # ORT warns of it
    found = run(session(model), {"image": tiny.arrays()["x_test"]})
    assert found.keys() == {"scores"}
    assert found["scores"].shape == (60, tiny.CLASSES)
    assert capfd.readouterr() == ("", "")


def test_the_tiny_model_was_trained() -> None:
    data = tiny.arrays()
    (scores,) = run(session(tiny.model()), {"image": data["x_test"]}).values()
    assert np.mean(scores.argmax(1) == data["y_test"]) > 0.95


# External data


def test_large_new_values_are_run_without_being_written(tmp_path: Path) -> None:
    model = external.residual()
    path = external.save(model, tmp_path / "model.onnx")
    pending = onnx.load(path, load_external_data=False)
    for tensor, whole in zip(pending.graph.initializer, model.graph.initializer, strict=True):
        value = 3 * onnx.numpy_helper.to_array(whole)
        tensor.CopyFrom(with_values(tensor, value))
        whole.CopyFrom(onnx.numpy_helper.from_array(value, whole.name))
    (tmp_path / "model.onnx.data").unlink()
    x = {"x": images(2, 8, 8)}
    runtimes = [session(pending, folder=tmp_path) for _ in range(3)]
    gc.collect()
    for runtime in runtimes:
        np.testing.assert_array_equal(run(runtime, x)["c"], run(session(model), x)["c"])


def test_small_external_operands_are_run(tmp_path: Path) -> None:
    graph = Builder()
    graph.op("Reshape", graph.conv("x", "a"), graph.constant("shape", np.array([0, 2, 2, 64])), out="r")
    model = graph.model("r")
    path = external.save(model, tmp_path / "model.onnx")
    runtime = session(onnx.load(path, load_external_data=False), folder=tmp_path)
    x = {"x": images(2, 4, 8)}
    np.testing.assert_array_equal(run(runtime, x)["r"], run(session(model), x)["r"])


def test_missing_data_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = external.save(external.residual(), tmp_path / "model.onnx")
    model = onnx.load(path, load_external_data=False)
    (tmp_path / "model.onnx.data").unlink()
    for folder in (tmp_path, None):
        with pytest.raises(InputError) as refused:
            session(model, folder=folder)
        assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")
