"""The file in which an interrupted search is kept."""

from pathlib import Path

import pytest
import torch

from natonnx.errors import InputError
from natonnx.verbs.optimize.resume import load_checkpoint, save_checkpoint


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
    torch.save({"format": 1, "fingerprint": "one", "state": {"reinforce": [{}, None]}}, path)
    with pytest.raises(InputError, match=r"written by another version of natonnx; start the search anew$"):
        load_checkpoint(path, "one")
