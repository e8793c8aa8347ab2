"""Samples that are read by position are the same as those in memory, and take no more memory than is given."""

import resource
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from natonnx.data import ArrayBatches, Batches, IndexedBatches, LoadOptions, Parts, Preprocessing, load, put_aside
from natonnx.data.picture_reader import PictureReader
from natonnx.errors import InputError
from natonnx.memory import usable_memory
from tests.data.conftest import image_model

CLASSES, EACH, SIZE = 3, 20, (6, 5)
HOW = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
MODEL = image_model(3, *SIZE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "owl"):
        (folder / name).mkdir()
        for index in range(EACH):
            picture = Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
            picture.save(folder / name / f"{index:02}{'.jpg' if index % 2 else '.png'}")
    return folder


@pytest.fixture(scope="module")
def decoded(folder: Path) -> Any:
    """What Pillow and numpy alone make of the folder."""
    paths = sorted(folder.rglob("*.*"))
    return np.stack([np.asarray(Image.open(path)) for path in paths]), np.arange(len(paths)) // EACH


def read(data: Any, **options: Any) -> Parts:
    return load(data, MODEL, preprocessing=HOW, seed=2, **options)


def splits(parts: Parts) -> list[Batches]:
    assert parts.test is not None
    return [parts.train, parts.validation, parts.test]


def same(one: Batches, other: Batches, *, shuffled: bool = False, **options: Any) -> None:
    passes = [
        list(split.batches(7, torch.Generator().manual_seed(5) if shuffled else None, **options))
        for split in (one, other)
    ]
    assert len(passes[0]) == len(passes[1])
    for ours, theirs in zip(*passes, strict=True):
        assert ours.size == theirs.size
        np.testing.assert_array_equal(ours.inputs["x"], theirs.inputs["x"])
        np.testing.assert_array_equal(ours.targets, theirs.targets)


@pytest.mark.parametrize("cache", [0, "2kB", 0.5])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_is_the_same_data_as_its_pictures_in_memory(
    folder: Path, decoded: Any, cache: Any, workers: int
) -> None:
    by_index, in_memory = read(folder, workers=workers, cache=cache), read(decoded)
    is_kept = cache == 0.5
    for ours, theirs in zip(splits(by_index), splits(in_memory), strict=True):
        assert isinstance(ours, ArrayBatches if is_kept else IndexedBatches)
        for _ in range(2):  # what was read once may be kept
            same(ours, theirs)
            same(ours, theirs, shuffled=True)
        same(ours, theirs, start=1)
        same(ours, theirs, share=(1, 2))
        np.testing.assert_array_equal(ours.all_targets(), theirs.all_targets())
        for draw in (None, torch.Generator().manual_seed(1)):
            again = None if draw is None else torch.Generator().manual_seed(1)
            same(ours.subset(9, draw), theirs.sample(9, again))


def test_a_split_is_that_of_numpy_alone(folder: Path, decoded: Any) -> None:
    """A batch, normalised by hand, of the samples that the positions name."""
    parts = read(folder, cache=0)
    assert isinstance(parts.train, IndexedBatches)
    pictures, labels = decoded
    (batch,) = parts.train.batches(1000)
    chosen = pictures[parts.train.index].astype(np.float32) * np.float32(1 / 255)
    expected = (chosen - np.array(HOW.mean, np.float32)) / np.array(HOW.std, np.float32)
    np.testing.assert_array_equal(batch.inputs["x"], expected.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(batch.targets, labels[parts.train.index])
    assert np.bincount(batch.targets).tolist() == [12] * 3  # type: ignore[arg-type]


def test_no_more_is_kept_than_memory_is_given_for(folder: Path) -> None:
    one = 3 * SIZE[0] * SIZE[1]
    parts = read(folder, cache=f"{40 * one}B")
    assert isinstance(parts.train, IndexedBatches)
    reader = parts.train.reader
    assert isinstance(reader, PictureReader)
    assert reader.kept_bytes == 40 * one
    assert parts.notes[-1].startswith("40 of 60 samples stay in memory, in 0 MiB, and the others are read in each pass")
    decoded: list[str] = []
    reads = reader.files.read
    reader.files.read = lambda position: (decoded.append(reader.files.name(position)), reads(position))[1]  # type: ignore[method-assign, func-returns-value]
    for _ in range(2):
        for split in splits(parts):
            list(split.batches(8))
    assert len(decoded) == 60 + 20  # the second pass decodes those alone that are not kept
    decoded.clear()
    list(parts.train.batches(8))
    assert not decoded  # training samples come first


def test_divisions_read_no_picture(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = read(folder, cache=0)
    monkeypatch.setattr("natonnx.data.picture_reader.decode", None)
    aside = put_aside(Parts("x", parts.train, parts.validation, None), 3)
    assert (aside.validation.samples, aside.test and aside.test.samples) == (6, 6)
    subset = parts.train.subset(5)
    assert (subset.samples, subset.all_targets().tolist()) == (5, [0] * 5)  # type: ignore[union-attr]
    assert list(parts.train.batches(8, start=9)) == []


def test_many_pictures_are_not_read_before_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("natonnx.data.picture_sets.AT_ONCE", 50)
    broken = folder / "dog" / "07.jpg"
    content = broken.read_bytes()
    for module in ("picture_sets", "indexing"):
        monkeypatch.setattr(f"natonnx.data.{module}._LOOKED_AT", 4)
    broken.write_bytes(b"no picture")
    try:
        with caplog.at_level("INFO", "natonnx.data"):
            parts = load(folder, image_model(3, 8, 8))
        assert caplog.messages[0] == f"data {folder}: 60 pictures, read as they are needed"
        assert parts.notes[0] == "4 pictures of 6×5 resized to 8×8 (bilinear), of 4 looked at of 60"
        with pytest.raises(InputError, match=r"07\.jpg: cannot be read as an image: mend or remove it"):
            sum(batch.size for split in splits(parts) for batch in split.batches(8))
    finally:
        broken.write_bytes(content)


def test_pictures_of_other_sizes_are_told_as_they_are_met(tmp_path: Path) -> None:
    for index in range(8):
        Image.new("RGB", (6, 4 + (index == 5))).save(tmp_path / f"{index}.png")
    with pytest.raises(InputError, match=r"images run from 4×6 to 5×6 and the model takes any size: say one"):
        load(tmp_path, image_model(3, None, None), cache=0)


def test_a_pass_that_is_given_up_ends_its_threads(folder: Path) -> None:
    opened = read(folder, cache=0, workers=3).train.batches(2)
    next(opened)
    own = [thread for thread in threading.enumerate() if thread.name.startswith("natonnx-pictures")]
    assert own
    opened.close()  # type: ignore[attr-defined]
    for thread in own:
        thread.join(10)
    assert not any(thread.is_alive() for thread in own)


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        (0, 0),
        ("0", 0),
        (0.5, 500),
        ("25%", 250),
        (1, 1000),
        ("4KiB", 4096),
        ("1.5 kB", 1500),
        (2000, 2000),
        (None, 250),
    ],
)
def test_amounts_of_memory(cache: Any, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natonnx.data.load_options.usable_memory", lambda: 1000)
    assert LoadOptions(cache=cache).cache_bytes == expected


@pytest.mark.parametrize(
    "given",
    [{"cache": -1}, {"cache": "much"}, {"cache": "150%"}, {"cache": "nan"}, {"workers": -1}, {"memory": "1 ton"}],
)
def test_bad_options_are_refused(given: Any) -> None:
    with pytest.raises(InputError, match=r"^(cache|workers|memory) "):
        LoadOptions(**given)


@pytest.mark.parametrize(
    ("memory", "spare", "cached"),
    [(None, None, 250), ("1512MiB", 1000 << 20, 250 << 20), ("20%", 0, 0), ("50%", 436 << 20, 109 << 20), ("1B", 0, 0)],
)
def test_shares_are_of_the_limit_less_what_libraries_take(
    memory: Any, spare: int | None, cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is free, or taken, at the moment."""
    monkeypatch.setattr("natonnx.data.load_options.usable_memory", lambda: 1396 << 20)
    monkeypatch.setattr("natonnx.data.load_options.resident_memory", lambda: 500 << 20)
    options = LoadOptions(memory=memory)
    monkeypatch.setattr("natonnx.data.load_options.usable_memory", lambda: 1000)
    monkeypatch.setattr("natonnx.data.load_options.resident_memory", lambda: 7)
    assert (options.spare_bytes, options.cache_bytes) == (spare, cached)
    assert replace(options, cache=4000).cache_bytes == (4000 if spare is None else min(4000, spare))


def test_memory_is_what_a_limit_leaves() -> None:
    """The limit on the address space is told from what the process has, by the system's own figures."""
    free = usable_memory()
    assert 0 < free <= 1 << 50
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (300 << 20), hard))
    try:
        assert 250 << 20 < usable_memory() <= 300 << 20
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
