"""A small archive laid out like CIFAR-10's."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from natonnx.errors import InputError
from tools.benchmarks.bench_search.cifar import make_parts, read_archive, write_parts

CLASSES = ("airplane", "bird", "cat")


def write_archive(path: Path, train: int = 12, test: int = 4) -> Path:
    """Make pictures of one colour each: green is the class, red and blue the number."""
    with tarfile.open(path, "w:xz") as archive:
        readme = tarfile.TarInfo("cifar10_jpeg/README.md")
        archive.addfile(readme, io.BytesIO())
        for part, count in (("test", test), ("train", train)):
            for position, name in enumerate(CLASSES):
                for number in range(count):
                    buffer = io.BytesIO()
                    colour = (20 * number, 100 * position, 255 - 20 * number)
                    Image.new("RGB", (32, 32), colour).save(buffer, "JPEG", quality=95)
                    info = tarfile.TarInfo(f"cifar10_jpeg/{part}/{name}/{number:04}.jpg")
                    info.size = len(buffer.getvalue())
                    archive.addfile(info, io.BytesIO(buffer.getvalue()))
    return path


def test_parts_are_balanced_disjoint_and_labelled(tmp_path: Path) -> None:
    arrays = read_archive(write_archive(tmp_path / "data.tar.xz"))
    assert {name: array.shape for name, array in arrays.items() if name[0] == "x"} == {
        "x_train": (36, 32, 32, 3),
        "x_test": (12, 32, 32, 3),
    }
    parts = make_parts(arrays, 18, 9)
    for part, count in {"train": 6, "val": 3, "test": 4}.items():
        labels = parts[f"y_{part}"]
        assert np.bincount(labels).tolist() == [count] * 3
        np.testing.assert_allclose(parts[f"x_{part}"][:, 16, 16, 1], 100.0 * labels, atol=6)
        assert not np.array_equal(labels, np.sort(labels))
    seen = [{(image[16, 16, 0] // 10, label) for image, label in _pairs(parts, part)} for part in ("train", "val")]
    assert not seen[0] & seen[1]
    again = make_parts(arrays, 18, 9)
    assert all(np.array_equal(parts[name], again[name]) for name in parts)
    other = make_parts(arrays, 18, 9, seed=1)
    assert not np.array_equal(parts["x_train"], other["x_train"])


def _pairs(parts: dict[str, np.ndarray], part: str) -> list[tuple[np.ndarray, int]]:
    return list(zip(parts[f"x_{part}"].astype(int), parts[f"y_{part}"].tolist(), strict=True))


def test_the_archive_is_read_once(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "data.tar.xz")
    path = write_parts(archive, tmp_path / "cache" / "parts.npz", 18, 9)
    archive.unlink()
    assert write_parts(None, path) == path
    with np.load(path) as arrays:
        assert arrays["x_val"].shape == (9, 32, 32, 3)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--archive"):
        write_parts(None, tmp_path / "parts.npz")
    (tmp_path / "broken.tar.xz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"broken\.tar\.xz: cannot be read"):
        read_archive(tmp_path / "broken.tar.xz")
    with tarfile.open(tmp_path / "empty.tar.xz", "w:xz"):
        pass
    with pytest.raises(InputError, match="no pictures"):
        read_archive(tmp_path / "empty.tar.xz")
