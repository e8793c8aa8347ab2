"""Arrays that would not fit into memory as a model's inputs stay where they are, and are the same data."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from natonnx.data import ArrayBatches, Batches, IndexedBatches, InputSpec, Parts, Signature, load
from natonnx.data.npz import Archive, read_npy
from natonnx.errors import InputError
from tests.data.conftest import FLOAT, INT, image_model, images, labels

MODEL = image_model(3, 6, 5)
X, Y = images(60, 6, 5, 3), labels(60)
SEVERAL = Signature(
    (InputSpec("ids", (None, 4), INT), InputSpec("state", (2, None, 3), FLOAT, batch_axis=1)), classes=3
)
IDS = np.arange(240).reshape(60, 4)
STATE = np.random.default_rng(0).normal(size=(2, 60, 3)).astype(np.float32)


def same(large: Parts, whole: Parts) -> None:
    assert [large.test is None, large.name] == [whole.test is None, whole.name]
    for name in ("train", "validation", "test"):
        ours, theirs = (getattr(parts, name) for parts in (large, whole))
        if ours is not None:
            assert isinstance(ours, IndexedBatches)
            assert isinstance(theirs, ArrayBatches)
            same_batches(ours, theirs)


def same_batches(ours: Batches, theirs: Batches) -> None:
    for one, other in zip(ours.batches(7), theirs.batches(7), strict=True):
        for name, value in other.inputs.items():
            np.testing.assert_array_equal(one.inputs[name], value)
            assert one.inputs[name].dtype == value.dtype
        np.testing.assert_array_equal(one.targets, other.targets)


def test_an_archive_stays_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    for arrays in (
        {"images": X, "labels": Y},
        {"images": np.asfortranarray(X), "labels": Y},
        {
            "x_train": X[:40],
            "y_train": Y[:40],
            "x_val": X[40:50],
            "y_val": Y[40:50],
            "x_test": X[50:],
            "y_test": Y[50:],
        },
        {"images": X.astype(np.float64), "labels": Y},
    ):
        np.savez(path, allow_pickle=False, **arrays)
        same(load(path, MODEL, cache=0), load(path, MODEL))
        np.savez_compressed(path, allow_pickle=False, **arrays)  # read, as it cannot be mapped
        same(load(path, MODEL, cache=0), load(path, MODEL))


def test_arrays_of_a_program_are_not_copied() -> None:
    same(load((X, Y), MODEL, cache=0), load((X, Y), MODEL))
    large = load({"ids": IDS, "state": STATE, "labels": Y}, SEVERAL, cache=0)
    same(large, load({"ids": IDS, "state": STATE, "labels": Y}, SEVERAL))


def test_folders_of_archives_and_of_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natonnx.data.array_files._MAPPED", 0)
    (tmp_path / "several").mkdir()
    (tmp_path / "plain").mkdir()
    for number, first in enumerate(range(0, 60, 25)):
        rows = slice(first, first + 25)
        np.savez(tmp_path / "several" / f"{number}.npz", ids=IDS[rows], state=STATE[:, rows], labels=Y[rows])
        np.save(tmp_path / "plain" / f"{number}.npy", X[rows])
    same(load(tmp_path / "several", SEVERAL, cache=0), load(tmp_path / "several", SEVERAL))
    same(load(tmp_path / "plain", MODEL, cache=0), load(tmp_path / "plain", MODEL))
    np.save(tmp_path / "plain" / "3.npy", X[:, :5])
    with pytest.raises(InputError, match=r"plain: its files differ in the shape of their samples, or in labels"):
        load(tmp_path / "plain", MODEL, cache=0)


def test_what_is_mapped_is_what_was_saved(tmp_path: Path) -> None:
    """numpy's own reader is the judge; a name and an extra field of any length stand before the array."""
    arrays: dict[str, Any] = {
        "a": X,
        "b" * 200: np.asfortranarray(STATE),
        "none": np.zeros((0, 3)),
        "one": np.float32(3),
    }
    np.savez(tmp_path / "set.npz", allow_pickle=False, **arrays)
    mapped = Archive(tmp_path / "set.npz", mapped=0)
    with np.load(tmp_path / "set.npz") as known:
        for name in arrays:
            np.testing.assert_array_equal(mapped[name], known[name])
            assert mapped[name].dtype == known[name].dtype
            assert not mapped[name].flags.writeable
    np.save(tmp_path / "x.npy", arrays["b" * 200])
    np.testing.assert_array_equal(read_npy(tmp_path / "x.npy", 0), STATE)


def test_a_cut_array_is_refused_before_it_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    with pytest.raises(InputError, match=r"x\.npy: is damaged, or truncated: [\d,]+ bytes of [\d,]+"):
        read_npy(tmp_path / "x.npy", 0)


@pytest.mark.parametrize("position", [0, 41])
def test_what_is_no_number_is_told_as_it_is_met(tmp_path: Path, position: int) -> None:
    bad = X.astype(np.float32)
    bad[position, 2, 2, 1] = np.nan
    np.savez(tmp_path / "set.npz", images=bad, labels=Y, allow_pickle=False)

    def read() -> None:
        parts = load(tmp_path / "set.npz", MODEL, cache=0)
        for part in (parts.train, parts.validation, parts.test):
            assert part is not None
            list(part.batches(8))

    with pytest.raises(InputError, match=r"set\.npz: images holds NaN, in sample .*: remove") as caught:
        read()
    assert f"in sample {position}" in str(caught.value)


def test_a_file_that_changes_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"

    def stamp(data: Any) -> bytes:
        part = load(data, MODEL, cache=0).train
        assert isinstance(part, IndexedBatches)
        return b"".join(part.stamp())

    np.savez(path, images=X, labels=Y, allow_pickle=False)
    first = stamp(path)
    assert stamp(path) == first
    np.savez(path, images=X[::-1], labels=Y, allow_pickle=False)
    assert stamp(path) != first
    assert stamp((X, Y)) == stamp((X.copy(), Y)) != stamp((X[::-1], Y))


def test_values_for_all_samples_and_masks_keep_their_meaning() -> None:
    model = Signature((InputSpec("x", (None, 3), np.dtype(FLOAT)), InputSpec("m", (4,), np.dtype(FLOAT), None)))
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    x[3, 1] = -np.inf
    mask: Any = {"x": x, "m": np.arange(4, dtype=np.float32)}
    ours, theirs = (load(mask, model, cache=cache, targets="none") for cache in (0, None))
    for one, other in zip(ours.train.batches(4), theirs.train.batches(4), strict=True):
        np.testing.assert_array_equal(one.inputs["x"], other.inputs["x"])
        np.testing.assert_array_equal(one.inputs["m"], other.inputs["m"])
