"""Archives whose headers lie, that expand without measure, or are no archives."""

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from natonnx.data.npz import Archive, read_npy
from natonnx.errors import InputError


def npy(header: str, data: bytes = b"") -> bytes:
    """A ``.npy`` file with any header."""
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def save(path: Path, content: bytes, name: str = "x.npy") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return path


LYING = {
    "256 TiB": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (70368744177664,)}", bytes(64)),
    "overflow": npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({1 << 62}, {1 << 62})}}"),
    "negative": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4)}", bytes(64)),
    "large type": npy("{'descr': '<U1000000000', 'fortran_order': False, 'shape': ()}"),
    "short": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", bytes(15)),
    "no end": npy("{'descr': ('<f4'"),
    "lines": npy("{'descr': (\n\n"),
    "no dictionary": npy("[1, 2]"),
    "deep": npy("(" * 200),
    "code": npy("{'descr': __import__('os').system('touch pwned'), 'fortran_order': False, 'shape': ()}"),
    "other type": npy("{'descr': 'what', 'fortran_order': False, 'shape': ()}"),
    "version": b"\x93NUMPY\x09\x00" + bytes(100),
    "text": b"hello",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", LYING)
def test_a_lying_header_is_refused_in_one_line(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "data.npz", LYING[kind])
    with pytest.raises(InputError, match=r"^[^\n]*data\.npz: is damaged[^\n]*: save plain arrays with numpy\.savez$"):
        Archive(path)["x"]
    alone = tmp_path / "data.npy"
    alone.write_bytes(LYING[kind])
    with pytest.raises(InputError, match=r"^[^\n]*data\.npy: is damaged[^\n]*: save plain arrays with numpy\.save$"):
        read_npy(alone)
    assert not (tmp_path / "pwned").exists()


def test_python_objects_are_not_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], object), allow_pickle=True)
    with pytest.raises(InputError, match="holds Python objects"):
        Archive(save(tmp_path / "data.npz", buffer.getvalue()))["x"]


def test_an_array_that_expands_without_measure_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natonnx.data.npz._LARGE", 1 << 20)
    zeros, noise = np.zeros(1 << 21, np.uint8), np.random.default_rng(0).integers(0, 255, 1 << 21, np.uint8)
    np.savez_compressed(tmp_path / "data.npz", allow_pickle=False, x=zeros, y=noise)
    archive = Archive(tmp_path / "data.npz")
    with pytest.raises(InputError, match=r"'x' would expand from [\d,]+ to [\d,]+ bytes"):
        archive["x"]
    assert np.array_equal(archive["y"], noise)


@pytest.mark.parametrize("change", [lambda data: data[:-10], lambda data: data[:60] + b"\xff" * 20 + data[80:]])
def test_damage_is_told(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, allow_pickle=False, x=np.arange(1000))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=r"is damaged|is not a \.npz archive"):
        Archive(path)["x"]


def test_arrays_of_any_shape_and_order_are_read(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "a": np.arange(6).reshape(2, 3).T,
        "b": np.float64(3),
        "c": np.empty((0, 4)),
        "d": np.array(["x", "yz"]),
    }
    np.savez(tmp_path / "data.npz", allow_pickle=False, **arrays)
    archive = Archive(tmp_path / "data.npz")
    assert list(archive) == ["a", "b", "c", "d"]
    for name, value in arrays.items():
        assert np.array_equal(archive[name], value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.npz")
    with pytest.raises(InputError, match="is a device or pipe"):
        Archive(tmp_path / "data.npz")
