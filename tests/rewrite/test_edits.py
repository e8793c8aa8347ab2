"""Edit lists as JSON, provenance, and writing a file whole."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from natonnx.architecture import Edit, State
from natonnx.errors import InputError
from natonnx.files import check_writable, write_bytes
from natonnx.rewrite import add_provenance, parse_edits
from natonnx.rewrite.edits import edits_to_data
from natonnx.rewrite.provenance import KEY
from tests.rewrite.helpers import copy, shipped_model

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

EDITS = (Edit("a", State.O, State.S), Edit("b->c", State.N, State.S), Edit("ü", State.S, State.N))
ITEM = {"edge": "a", "from": "O", "to": "S"}


def test_edits_round_trip() -> None:
    assert parse_edits(json.dumps(edits_to_data(EDITS)), "here") == EDITS


def test_empty_list_is_legal() -> None:
    assert parse_edits("[]", "here") == ()


def test_report_of_optimize_is_accepted() -> None:
    report = {"status": "improved", "edits": edits_to_data(EDITS), "seed": 0}
    assert parse_edits(json.dumps(report), "here") == EDITS


def test_other_keys_are_ignored() -> None:
    assert parse_edits(json.dumps([ITEM | {"why": "test"}]), "here") == EDITS[:1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"not JSON \(line 1: Expecting value\); write .*"),
        ("[\n{]", r"not JSON \(line 2: .*\); write .*"),
        ("{}", r"an edit list is a JSON list of .*, not an object"),
        ('"O"', r"an edit list is .*, not a string"),
        ("null", r"an edit list is .*, not null"),
        ("7", r"an edit list is .*, not a number"),
        ('{"edits": null}', r"an edit list is .*, not null"),
        ("[[]]", r"edit 1: should be .*, not a list"),
        ('["a"]', r"edit 1: should be .*, not a string"),
        ("[{}]", r"edit 1: has no edge, from, to; write .*"),
        (json.dumps([ITEM, {"edge": "a", "from": "O"}]), r"edit 2: has no to; write .*"),
        (json.dumps([ITEM | {"to": "X"}]), r"edit 1: 'to' should be O, S or N, not 'X'"),
        (json.dumps([ITEM | {"from": "o"}]), r"edit 1: 'from' should be O, S or N, not 'o'"),
        (json.dumps([ITEM | {"from": ["O"]}]), r"edit 1: 'from' should be O, S or N, not \['O'\]"),
        (json.dumps([ITEM | {"to": None}]), r"edit 1: 'to' should be O, S or N, not None"),
    ],
)
def test_bad_edits_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^here: {message}$"):
        parse_edits(text, "here")


# Provenance


def provenance(model: onnx.ModelProto) -> list[object]:
    (value,) = [prop.value for prop in model.metadata_props if prop.key == KEY]
    entries: list[object] = json.loads(value)
    return entries


ENTRY = {"version": "1", "source_sha256": "f00", "edits": [ITEM]}


def test_provenance_is_added_beside_the_files_metadata() -> None:
    model = copy(shipped_model("vgg"))
    add_provenance(model, version="1", source_sha256="f00", edits=EDITS[:1])
    assert provenance(model) == [ENTRY]
    assert list(model.metadata_props)[:-1] == list(shipped_model("vgg").metadata_props)


def test_provenance_of_a_second_run_follows_the_first() -> None:
    model = copy(shipped_model("vgg"))
    add_provenance(model, version="1", source_sha256="f00", edits=EDITS[:1])
    add_provenance(model, version="2", source_sha256="f01", edits=())
    assert provenance(model) == [ENTRY, {"version": "2", "source_sha256": "f01", "edits": []}]


@pytest.mark.parametrize(("old", "kept"), [("by hand", "by hand"), ('{"a": 1}', {"a": 1}), ("[1, 2]", None)])
def test_foreign_provenance_is_kept(old: str, kept: object) -> None:
    model = copy(shipped_model("vgg"))
    model.metadata_props.add(key=KEY, value=old)
    add_provenance(model, version="1", source_sha256="f00", edits=EDITS[:1])
    assert provenance(model) == [*([1, 2] if kept is None else [kept]), ENTRY]


# Writing


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
