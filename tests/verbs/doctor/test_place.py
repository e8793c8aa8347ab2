"""Threads, memory and room for files."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from natonnx.contract.doctor import Finding, HostRow
from natonnx.verbs.doctor.place import find_place, host

GIB = 2**30


def judged(**changes: Any) -> dict[str, Finding]:
    row: HostRow = {**host(), "usable_memory_bytes": GIB, "omp_num_threads": None, "processor_limit": None}
    row.update(changes)  # type: ignore[typeddict-item]
    return {each["name"]: each for each in find_place(row)}


@pytest.mark.parametrize(
    ("given", "limit", "mark", "remedy"),
    [
        (None, None, "ok", None),
        ("8", None, "ok", None),
        ("4,2", None, "ok", None),
        ("16", None, "ok", "OMP_NUM_THREADS=8 keeps threads from waiting for each other"),
        (None, 2.4, "ok", "OMP_NUM_THREADS=2 keeps threads from waiting for each other"),
        (None, 0.2, "ok", "OMP_NUM_THREADS=1 keeps threads from waiting for each other"),
        ("2", 2.4, "ok", None),
        ("0", None, "broken", "set OMP_NUM_THREADS to a whole number, or not at all"),
        ("", None, "broken", "set OMP_NUM_THREADS to a whole number, or not at all"),
    ],
)
def test_threads(given: str | None, limit: float | None, mark: str, remedy: str | None) -> None:
    row = judged(usable_processors=8, processors=16, omp_num_threads=given, processor_limit=limit)["threads"]
    assert (row["mark"], row["remedy"], row["needed"]) == (mark, remedy, False)
    assert row["detail"].startswith("8 of 16 processors")


def test_memory() -> None:
    row = judged(usable_memory_bytes=100 << 20, memory_bytes=8 * GIB, memory_limit_bytes=GIB)["memory"]
    assert (row["mark"], row["needed"]) == ("broken", True)
    assert row["detail"] == "100 MiB may still be taken of 8.0 GiB, the control group allows 1.0 GiB"
    assert judged()["memory"]["mark"] == "ok"


def test_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged()["temporary files"]["mark"] == "ok"
    assert judged(temporary_bytes=1000)["temporary files"]["mark"] == "broken"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    row = judged()["temporary files"]
    assert (row["mark"], row["needed"]) == ("broken", True)
    assert row["remedy"] == "set TMPDIR to a folder that has room"


def test_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    assert judged()["this folder"]["mark"] == "ok"
    (tmp_path / "gone").rmdir()
    row = judged()["this folder"]
    assert (row["mark"], row["needed"], row["detail"]) == ("broken", False, "there is no folder that can be used")
    assert host()["folder_bytes"] is None
