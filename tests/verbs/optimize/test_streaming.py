"""A search on pictures that are read as they are needed ends as one on the same data in memory."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import natonnx
from natonnx import Settings
from natonnx.errors import InputError
from tests.cli import tiny

HOW = {"scale": 1.0, "mean": (128.0,), "std": (64.0,)}
SETTINGS = Settings(lookups=3, finetune_epochs=1, target_madds=0.6, max_drop=30, finalists=1)
COUNTS = {"train": 200, "val": 300, "test": 60}


class Stop(Exception):  # noqa: N818
    """Ends a search."""


def pixels() -> dict[str, Any]:
    """The tiny data set as grey pictures, sorted by class as a folder's are."""
    given, found = tiny.arrays(), {}
    for part, first in (("train", 0), ("val", 200), ("test", None)):
        x, y = (given[f"{name}_{'test' if first is None else 'train'}"] for name in "xy")
        rows = slice(first or 0, (first or 0) + COUNTS[part])
        order = np.argsort(y[rows], kind="stable")
        found[part] = (np.clip(x[rows][order, 0] * 64 + 128, 0, 255).astype(np.uint8), y[rows][order])
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("streaming")
    onnx.save(tiny.model(), place / "model.onnx")
    for part, (images, labels) in pixels().items():
        for position, (image, label) in enumerate(zip(images, labels, strict=True)):
            (place / "pictures" / part / str(label)).mkdir(parents=True, exist_ok=True)
            header = f"P5 {image.shape[1]} {image.shape[0]} 255\n".encode()  # of the portable graymap format
            (place / "pictures" / part / str(label) / f"{position:03}.pgm").write_bytes(header + image.tobytes())
    return place


def search(place: Path, data: Any, output: Path | None = None, **options: Any) -> natonnx.Result:
    return natonnx.optimize(
        place / "model.onnx", data, output, settings=SETTINGS, preprocessing=HOW, threads=1, **options
    )


def ended(found: natonnx.Result) -> str:
    """What a search ends with, as text in which NaN equals NaN."""
    kept = [found.report[key] for key in ("edits", "history", "front", "scored", "images")]
    assert found.model is not None
    return repr((kept, [tensor.SerializeToString() for tensor in found.model.graph.initializer]))


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Any:
    """No time is spent on measuring latencies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("natonnx.verbs.optimize.report.latencies_ms", lambda models, _, **__: [1.0] * len(models))
        yield


def test_it_ends_as_in_memory_and_goes_on_where_it_was_stopped(place: Path, tmp_path: Path) -> None:
    images = {part: {"images": x, "labels": y} for part, (x, y) in pixels().items()}
    whole = ended(search(place, images))
    assert ended(search(place, place / "pictures", cache=0, workers=2)) == whole
    output, one = tmp_path / "out.onnx", place / "pictures" / "train" / "0" / "000.pgm"

    def stop(step: natonnx.Step) -> None:
        if step.stage == "train" and step.done > 100:
            raise Stop

    with pytest.raises(Stop):
        search(place, place / "pictures", output, cache="9kB", workers=0, progress=stop)
    before = one.stat()
    one.touch()
    with pytest.raises(InputError, match="belongs to another model, data set or settings"):
        search(place, place / "pictures", output, cache=0, resume=True)
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ended(search(place, place / "pictures", output, cache=0, resume=True)) == whole


def test_validation_that_is_training_data_is_refused(place: Path, tmp_path: Path) -> None:
    """Told by the files, none of which need be decoded for it."""
    (tmp_path / "train").symlink_to(place / "pictures" / "val")
    (tmp_path / "val").mkdir()
    for folder in (place / "pictures" / "val").iterdir():
        (tmp_path / "val" / folder.name).mkdir()
        for file in folder.iterdir():
            (tmp_path / "val" / folder.name / f"copy of {file.name}").write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="300 of 300 validation samples are training samples too"):
        search(place, tmp_path, cache=0)


def test_a_picture_that_breaks_later_is_told_in_one_line(place: Path) -> None:
    broken = place / "pictures" / "train" / "2" / "150.pgm"
    content = broken.read_bytes()
    broken.write_bytes(content[:-9])
    try:
        with pytest.raises(InputError, match=rf"^{broken}: cannot be read as an image: mend or remove it$") as caught:
            search(place, place / "pictures", cache=0)
        assert caught.value.exit_code == 2
    finally:
        broken.write_bytes(content)
