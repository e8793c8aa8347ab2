"""The models that come with the project are sound, and as good as their table says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from natonnx.data import ArrayBatches, InputSpec, Signature, load, metadata_options
from natonnx.data.shipped import MODEL

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "models"
PATHS = {path.name: path for path in (*sorted(FOLDER.glob("*.onnx")), MODEL)}
NAMES = ("resnet20-fashion.onnx", "resnet14-fashion.onnx", "vgg-fashion.onnx", "mobilenetv2-fashion.onnx")


def run(path: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    logits: npt.NDArray[np.float32] = session.run(["logits"], {"image": images})[0]
    return logits


def table(readme: Path) -> dict[str, list[str]]:
    """The cells of the table in a README.md, by file name."""
    text = readme.read_text(encoding="utf-8").split("<!-- table -->")[1].split("<!-- /table -->")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in text.strip().splitlines()[2:]]
    return {row[0]: row[1:] for row in rows}


def test_no_model_is_missing() -> None:
    assert set(PATHS) == set(NAMES)
    assert set(table(FOLDER / "README.md")) == set(NAMES)


def test_the_wheels_model_is_small() -> None:
    assert MODEL.stat().st_size < 300_000


@pytest.mark.parametrize("name", NAMES)
def test_file_is_small_sound_and_says_what_it_needs(name: str) -> None:
    path = PATHS[name]
    assert path.stat().st_size < 2_000_000
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 10
    assert 17 <= model.opset_import[0].version <= 20
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    kinds = {node.op_type for node in model.graph.node}
    assert ("BatchNormalization" in kinds) == name.startswith("resnet")
    assert kinds <= {"Conv", "BatchNormalization", "Relu", "Clip", "Add", "MaxPool", "ReduceMean", "Reshape", "Gemm"}
    data, preprocessing = metadata_options({p.key: p.value for p in model.metadata_props})
    assert data == "fashion-mnist"
    assert preprocessing.mean is not None
    assert preprocessing.std is not None
    assert preprocessing.augment == "shift-flip"


@pytest.mark.parametrize("name", NAMES)
def test_batch_is_dynamic(name: str) -> None:
    images = np.random.default_rng(0).normal(size=(3, 1, 28, 28)).astype(np.float32)
    together = run(PATHS[name], images)
    assert together.shape == (3, 10)
    for index in range(3):
        np.testing.assert_allclose(
            run(PATHS[name], images[index : index + 1])[0], together[index], rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("name", NAMES)
def test_validation_accuracy_is_that_of_the_table(name: str) -> None:
    assert accuracy(name, "validation") == pytest.approx(float(table(FOLDER / "README.md")[name][-2]), abs=0.05)


@pytest.mark.parametrize(
    "name", [name if name == MODEL.name else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_test_accuracy_is_that_of_the_table(name: str) -> None:
    assert accuracy(name, "test") == pytest.approx(float(table(FOLDER / "README.md")[name][-1]), abs=0.05)


def accuracy(name: str, part: str) -> float:
    """In percent, of all samples of a part."""
    model = onnx.load(PATHS[name])
    data, preprocessing = metadata_options({p.key: p.value for p in model.metadata_props})
    assert data is not None
    spec = InputSpec("image", (None, 1, 28, 28), np.dtype(np.float32))
    found = getattr(load(data, Signature((spec,), classes=10), preprocessing=preprocessing), part)
    assert isinstance(found, ArrayBatches)
    return float(100 * (run(PATHS[name], found.inputs["image"]).argmax(1) == found.targets).mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20", "resnet14", "vgg", "mobilenetv2"])
def test_training_is_reproducible(name: str, tmp_path: Path) -> None:
    for out in ("first", "second"):
        command = [
            sys.executable,
            "-m",
            "tools.upkeep.train_models",
            name,
            "--epochs",
            "1",
            "--seed",
            "3",
            "--out",
            str(tmp_path / out),
        ]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    first, second = (onnx.load(tmp_path / out / f"{name}-fashion.onnx") for out in ("first", "second"))
    assert [tensor.name for tensor in first.graph.initializer] == [tensor.name for tensor in second.graph.initializer]
    for one, other in zip(first.graph.initializer, second.graph.initializer, strict=True):
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(one), onnx.numpy_helper.to_array(other))
    assert list(table(tmp_path / "first" / "README.md")) == [f"{name}-fashion.onnx"]
