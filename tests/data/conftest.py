"""Small data sets in every form."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from natonnx.data import ArrayBatches, Batches, Data, InputSpec, Parts, Preprocessing, Signature, load

Array = npt.NDArray[Any]

FUNCTIONS = """
import numpy as np
from natonnx.data import Dataset, Split
def arrays():
    return {"images": np.zeros((50, 4, 4), np.uint8), "labels": np.arange(50) % 3, "note": "other keys are left alone"}
def ready(classes=3, **changed):
    def split(n):
        return Split(np.zeros((n, 1, 4, 4), np.float32), np.arange(n) % 3)
    parts = {"train": split(9), "validation": split(3), "test": None, **changed}
    return Dataset("mine", classes=classes, **parts)
def short():
    return ready(train=Split(np.zeros((9, 1, 4, 4), np.float32), np.arange(8) % 3))
def double():
    return ready(train=Split(np.zeros((9, 1, 4, 4)), np.arange(9)))
def shape():
    return ready(validation=Split(np.zeros((9, 4, 4), np.float32), np.arange(9) % 3))
def label():
    return ready(test=Split(np.zeros((9, 1, 4, 4), np.float32), np.arange(9)))
def nan():
    return ready(test=Split(np.full((3, 1, 4, 4), np.nan, np.float32), np.arange(3)))
def none():
    return ready(validation=None)
def cut():
    return ready(augment="cutout")
def wide():
    return ready(classes=4)
def fails():
    raise RuntimeError("two\\nlines")
def number():
    return 3
def itself():
    return "mydata:itself"
def path():
    return "set.npz"
def batches():
    for start in range(0, 50, 10):
        yield np.zeros((10, 4, 4), np.uint8), np.arange(start, start + 10) % 3
def parts():
    return {"train": batches, "val": batches}
def late():
    yield np.zeros((10, 4, 4), np.uint8)
    raise KeyError("two\\nlines")
def objects():
    return {"images": np.array([None]), "labels": np.array([0])}
value = 3
"""


FLOAT, INT, BYTE = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.uint8)


def image_model(*shape: int | None, classes: int | None = 3, dtype: npt.DTypeLike = FLOAT) -> Signature:
    """A model of one input `x`; the shape is a sample's."""
    return Signature((InputSpec("x", (None, *shape), np.dtype(dtype)),), classes)


def read(data: Data, *shape: int | None, classes: int | None = 3, seed: int = 0, **options: Any) -> "Loaded":
    """Load data for an image model, in memory."""
    return Loaded(load(data, image_model(*shape, classes=classes), seed=seed, preprocessing=Preprocessing(**options)))


class Split:
    """The samples of one part, for a model of one input."""

    def __init__(self, part: Batches) -> None:
        held = part if isinstance(part, ArrayBatches) else part.sample(10**9)
        (self.inputs,) = held.inputs.values()
        self.labels: Any = held.targets

    def __len__(self) -> int:
        return len(self.inputs)


class Loaded:
    """The parts of a data set, for a model of one input."""

    def __init__(self, parts: Parts) -> None:
        self.name, self.notes = parts.name, parts.notes
        self.train, self.validation = Split(parts.train), Split(parts.validation)
        self.test = None if parts.test is None else Split(parts.test)


def images(count: int, *shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def labels(count: int, classes: int = 3) -> Array:
    return np.arange(count) % classes


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    """Writes an archive and returns its path as a spec."""

    def write(**arrays: Array) -> str:
        np.savez(tmp_path / "set.npz", **arrays)  # type: ignore[arg-type]
        return str(tmp_path / "set.npz")

    return write


@pytest.fixture
def classes_folder() -> Callable[..., Path]:
    """Writes grey images into class folders; every image is filled with a value of its class."""

    def write(
        folder: Path, names: tuple[str, ...] = ("cat", "dog", "owl"), count: int = 10, size: tuple[int, int] = (6, 5)
    ) -> Path:
        for value, name in enumerate(names):
            (folder / name).mkdir(parents=True)
            for index in range(count):
                Image.fromarray(np.full(size, 10 * value, np.uint8)).save(folder / name / f"{index:02}.png")
        return folder

    return write


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a fresh module ``mydata`` into the current directory."""
    (tmp_path / "mydata.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mydata", raising=False)
