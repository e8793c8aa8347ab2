"""Commands on models with external data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from natonnx import inspect, optimize
from natonnx.search import Settings
from natonnx.tensors import is_external
from tests import external
from tests.cli import tiny

SKIP_ONE = b'[{"edge": "one", "from": "O", "to": "S"}]'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tiny model with its weights beside it, and its data set."""
    external.save(tiny.model(), tmp_path / "model.onnx", threshold=100)
    (tmp_path / "data.npz").write_bytes(tiny.data_bytes())
    (tmp_path / "out").mkdir()
    return tmp_path


def data_bytes(folder: Path) -> int:
    return (folder / "model.onnx").stat().st_size + (folder / "model.onnx.data").stat().st_size


def test_inspect_is_that_of_the_inline_model(folder: Path) -> None:
    (folder / "inline.onnx").write_bytes(tiny.model().SerializeToString())
    found, expected = inspect(folder / "model.onnx"), inspect(folder / "inline.onnx")
    assert found == {**expected, "model": {**expected["model"], "path": str(folder / "model.onnx")}}


def test_no_edits_give_the_same_bytes_and_their_data(folder: Path) -> None:
    before = tiny.snapshot(folder)
    for output in ("same.onnx", "out/other.onnx"):
        code, stdout, stderr = tiny.natonnx("apply", "model.onnx", "-", "-o", output, cwd=folder, stdin=b"[]")
        assert (code, stdout) == (0, ""), stderr
        assert tiny.snapshot(folder)[output] == before["model.onnx"]
    after = tiny.snapshot(folder)
    assert after.keys() - before.keys() == {"same.onnx", "out/other.onnx", "out/model.onnx.data"}
    assert after["out/model.onnx.data"] == before["model.onnx.data"]
    assert before.items() <= after.items()


def test_an_edit_gives_a_model_with_data_of_its_own(folder: Path) -> None:
    before = tiny.snapshot(folder)
    code, stdout, stderr = tiny.natonnx("apply", "model.onnx", "-", cwd=folder, stdin=SKIP_ONE, PYTHONWARNINGS="always")
    assert (code, stdout) == (0, ""), stderr
    assert "equals the input, edited node by node" in stderr
    after = tiny.snapshot(folder)
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {"model.nat.onnx", "model.nat.onnx.data"}
    (folder / "model.onnx.data").unlink()
    onnx.checker.check_model(str(folder / "model.nat.onnx"), full_check=True)
    (provenance,) = json.loads(
        {p.key: p.value for p in onnx.load(folder / "model.nat.onnx").metadata_props}["natonnx.provenance"]
    )
    assert provenance["source_sha256"] == before["model.onnx"]


def test_optimize_reads_trains_and_writes_external_data(folder: Path) -> None:
    settings = Settings(lookups=3, finetune_epochs=1, target_madds=0.55, max_drop=60.0, seed=5)
    found = optimize(
        folder / "model.onnx", folder / "data.npz", folder / "model.nat.onnx", settings=settings, threads=1
    )
    assert found.report["input"]["size_bytes"] == data_bytes(folder)
    assert found.output is not None
    row: Any = found.report["output"]
    files = [found.output, folder / "model.nat.onnx.data"]
    assert row["size_bytes"] == sum(path.stat().st_size for path in files)
    after = onnx.load(found.output, load_external_data=False)
    assert {t.name for t in after.graph.initializer if is_external(t)} <= {
        "stem.weight",
        "one.weight",
        "two.weight",
        "head.weight",
    }
    before = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(folder / "model.onnx").graph.initializer}
    trained = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(found.output).graph.initializer}
    assert not np.array_equal(trained["head.weight"], before["head.weight"])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("missing", "no data file"),
        ("truncated", "truncated"),
        ("outside", "outside the model's folder"),
        ("link", "is a link"),
        ("output", "is the input model's data"),
    ],
)
def test_bad_data_is_refused_in_one_line(folder: Path, spoil: str, says: str) -> None:
    data, arguments = folder / "model.onnx.data", ["apply", "model.onnx", "-", "-o", "out.onnx"]
    if spoil == "missing":
        data.unlink()
    elif spoil == "truncated":
        data.write_bytes(data.read_bytes()[:-1])
    elif spoil == "outside":
        external.repoint(folder / "model.onnx", {"location": "../data"}, "stem.weight")
    elif spoil == "link":
        data.symlink_to(data.rename(folder / "elsewhere"))
    else:
        arguments = ["apply", "model.onnx", "-", "-o", "model.onnx.data", "--force"]
    before = tiny.snapshot(folder)
    code, stdout, stderr = tiny.natonnx(*arguments, cwd=folder, stdin=b"[]")
    assert (code, stdout) == (2, "")
    assert says in stderr
    assert len(stderr.splitlines()) == 1, stderr
    assert stderr.startswith("natonnx: error: ")
    assert tiny.snapshot(folder) == before
