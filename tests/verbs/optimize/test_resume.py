"""The file in which an interrupted search is kept."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from natonnx.errors import InputError, restoring
from natonnx.verbs.optimize.resume import Checkpoint, claimed, load_checkpoint, save_checkpoint
from natonnx.verbs.optimize.write import check_front


def test_checkpoints_refuse_other_searches_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_checkpoint(path, "one", {"epoch": 1})
    assert load_checkpoint(path, "one") == {"epoch": 1}
    with pytest.raises(InputError, match="belongs to another model, data set or settings"):
        load_checkpoint(path, "other")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="not a natonnx checkpoint, or damaged"):
        load_checkpoint(path, "one")
    with pytest.raises(InputError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none", "one")


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"natonnx checkpoint 6\nwhatever")
    with pytest.raises(InputError, match=r"written by another version of natonnx; start the search anew$"):
        load_checkpoint(path, "one")


@pytest.mark.parametrize("kind", ["flipped", "empty", "junk", "old", "folder", "nothing"])
def test_whatever_else_stands_in_its_place_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_checkpoint(path, "one", {"weights": torch.arange(100.0)})
    whole = path.read_bytes()
    middle = whole.index(np.arange(100, dtype=np.float32).tobytes()[40:80])
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    torch.save({"format": 6, "fingerprint": "one", "state": {}}, path)
    contents = {"flipped": flipped, "empty": b"", "junk": b"\0" * 1000, "old": path.read_bytes()}
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind != "nothing":
        path.write_bytes(contents[kind])
    wanted = "no such checkpoint" if kind == "nothing" else "not a natonnx checkpoint, or damaged"
    with pytest.raises(InputError, match=wanted):
        load_checkpoint(path, "one")


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_checkpoint(path, "one", {"epoch": 1})
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for position in generator.integers(0, len(whole), 200):
        flipped = bytes([whole[position] ^ 1 << int(generator.integers(8))])
        path.write_bytes(whole[:position] + flipped + whole[position + 1 :])
        with pytest.raises(InputError, match=r"not a natonnx checkpoint|another version"):
            load_checkpoint(path, "one")


@pytest.mark.parametrize("state", [{}, {"most": "many"}, {"most": [1]}, {"most": True}])
def test_a_state_without_what_a_search_needs_is_refused(state: dict[str, object], tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "state", "one", state)
    with pytest.raises(InputError, match="holds no state of a search"):
        Checkpoint(tmp_path / "state", "one").load()


def test_a_state_of_another_form_is_told_in_one_line() -> None:
    with pytest.raises(InputError, match=r"not one of this search \(KeyError: 'samples'\); start"), restoring():
        _ = dict[str, int]()["samples"]


def test_what_is_no_checkpoint_is_not_replaced_unless_forced(tmp_path: Path) -> None:
    output, place = tmp_path / "out.onnx", tmp_path / "out.onnx.resume"
    place.write_text("dear diary", encoding="utf-8")
    with pytest.raises(InputError, match=r"is no state of this version"), claimed(output, force=False):
        pass
    with claimed(output, force=True):
        pass
    assert place.read_text(encoding="utf-8") == "dear diary"
    save_checkpoint(place, "one", {})
    with claimed(output, force=False):
        pass
    place.unlink()
    os.mkfifo(place)
    with (
        pytest.raises(InputError, match=r"is no file, but a folder, link, device or pipe"),
        claimed(output, force=True),
    ):
        pass


def test_an_output_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    with claimed(output, force=False):
        with pytest.raises(InputError, match=r"another run of natonnx writes to it"), claimed(output, force=True):
            pass
        with claimed(tmp_path / "other.onnx", force=False):
            pass
    with claimed(output, force=False):
        pass
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_run_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".out.onnx.lock").touch()
    with claimed(tmp_path / "out.onnx", force=False):
        pass


def test_a_name_that_leaves_no_room_for_the_state_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="File name too long"), claimed(tmp_path / ("n" * 245), force=False):
        pass
    with pytest.raises(InputError, match="File name too long"):
        check_front(tmp_path / ("n" * 300), force=False)
