"""Files are written whole or not at all."""

import os
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from natonnx.errors import InputError
from natonnx.files import check_regular, check_writable, read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable


def test_bytes_are_written(tmp_path: Path) -> None:
    write_bytes(tmp_path / "out", b"new")
    assert (tmp_path / "out").read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_old_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old and longer")
    write_bytes(tmp_path / "out", b"new")
    assert (tmp_path / "out").read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    (tmp_path / "out").write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(InputError, match=r"out: cannot be written \(No space left on device\); name another file$"):
        write_bytes(tmp_path / "out", b"new")
    assert (tmp_path / "out").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_interruption_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").write_bytes(b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "out", b"new")
    assert (tmp_path / "out").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_interruption_as_a_file_is_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal may come between the making of a file and the next line of Python."""
    make = os.open

    def interrupt(*arguments: Any) -> int:
        os.close(make(*arguments))
        raise KeyboardInterrupt

    writes: tuple[Callable[[Path], None], ...] = (partial(write_bytes, data=b"new"), check_writable)
    for write in writes:
        monkeypatch.setattr(os, "open", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "out")
        monkeypatch.undo()
        assert list(tmp_path.iterdir()) == []


def test_writing_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written \(No such file or directory\); name another file$"):
        write_bytes(tmp_path / "none" / "out", b"new")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_bytes(tmp_path / "out", b"new")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == mode


def test_writable_path_passes_and_nothing_is_left(tmp_path: Path) -> None:
    check_writable(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_folder_is_not_writable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written, it is a folder; name a file"):
        check_writable(tmp_path)


def test_path_in_a_missing_folder_is_not_writable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none is not a folder; create it first"):
        check_writable(tmp_path / "none" / "out")


def test_path_below_a_file_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file is not a folder; create it first"):
        check_writable(tmp_path / "file" / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"cannot be written \(Permission denied\)"):
        check_writable(tmp_path / "out")


def test_overlong_name_is_not_writable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written \(File name too long\)"):
        check_writable(tmp_path / ("n" * 300))


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o444])
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    (tmp_path / "out").write_bytes(b"old")
    (tmp_path / "out").chmod(mode)
    write_bytes(tmp_path / "out", b"new")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == mode


def test_a_pipe_or_device_is_not_writable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(InputError, match="is a device or pipe, which writing would replace; name another file"):
            check_writable(path)


def test_a_name_with_a_zero_byte_is_told(tmp_path: Path) -> None:
    for action in (check_writable, check_regular, read_bytes):
        with pytest.raises(InputError, match=r"zero byte|null byte"):
            action(tmp_path / "a\0b")


def test_a_pipe_that_nothing_writes_to_is_empty_and_a_device_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_bytes(tmp_path / "pipe") == b""
    with pytest.raises(InputError, match="is a device"):
        read_bytes(Path("/dev/zero"))
    with pytest.raises(InputError, match="is a device or pipe, not a regular file"):
        check_regular(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path)


def test_what_a_pipe_gives_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"[]")
    os.close(writing)
    try:
        assert read_bytes(Path(f"/dev/fd/{reading}")) == b"[]"
    finally:
        os.close(reading)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natonnx.files._MOST", 10)
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(InputError, match="give a smaller file"):
        read_bytes(tmp_path / "large")
