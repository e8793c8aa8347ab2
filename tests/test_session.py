"""onnxruntime, quiet, and refusing in one line."""

import gc
from pathlib import Path

import numpy as np
import onnx.parser
import onnxruntime
import pytest
import torch

from natonnx.errors import InputError
from natonnx.session import run, run_bound, session
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


BOUND = """<ir_version: 8, opset_import: ["" : 18]>
agraph (float[n, 3] x, int64[n] i, bool[n, 3] b, double[n, 3] d)
    => (float[n, 3] y, int64[n] j, bool[n, 3] c, double[n, 3] e, float[0] z) <float[0] nothing = {}>
{ y = Where(b, x, x) j = Add(i, i) c = Not(b) e = Neg(d) z = Identity(nothing) }"""


@pytest.mark.parametrize("numpy_alone", [False, True])
def test_tensors_that_are_bound_give_what_arrays_do(numpy_alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any type, whatever their strides; what is made outlives the next run. Older onnxruntimes give numpy alone."""
    if numpy_alone:
        monkeypatch.delattr(onnxruntime.OrtValue, "__dlpack__")
    runtime = session(onnx.parser.parse_model(BOUND))
    generator = torch.Generator().manual_seed(0)

    def inputs() -> dict[str, torch.Tensor]:
        x = torch.randn(3, 4, generator=generator).t()
        return {"x": x, "i": torch.arange(8)[::2], "b": x > 0, "d": x.double()}

    first, second = inputs(), inputs()
    names = ["e", "y", "j", "c", "z"]
    made = [run_bound(runtime, given, names) for given in (first, second)]
    for given, found in zip((first, second), made, strict=True):
        expected = run(runtime, {name: value.numpy() for name, value in given.items()})
        assert list(found) == names
        for name, value in found.items():
            np.testing.assert_array_equal(value.numpy(), expected[name], strict=True)


def test_tensors_that_do_not_fit_are_refused() -> None:
    runtime = session(onnx.parser.parse_model(BOUND))
    given = {"x": torch.ones(2, 3), "i": torch.ones(2, dtype=torch.int64), "b": torch.ones(2, 3, dtype=torch.bool)}
    with pytest.raises(InputError, match="onnxruntime cannot run the model"):
        run_bound(runtime, {**given, "d": torch.ones(2, 3)}, ["y"])


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


def test_weights_that_are_not_laid_out_give_the_same() -> None:
    graph = Builder()
    graph.op("Relu", graph.batchnorm(graph.conv("x", "a", kernel=3), "n"), out="y")
    model, x = graph.model("y"), {"x": images(2, 4, 8)}
    given = run(session(model, optimise=False), x)["y"]
    np.testing.assert_allclose(run(session(model, lay_out=False), x)["y"], given, rtol=1e-4, atol=1e-5)
