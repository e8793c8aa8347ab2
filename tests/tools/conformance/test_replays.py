"""The command that holds written α's to the source replayed by values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from click.testing import CliRunner

from natonnx.rewrite import replay
from natonnx.rewrite.lost import Lost
from tests.rewrite.test_replay import dense
from tools.conformance.replays import main, tally

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_equal_alphas_are_counted(tmp_path: Path) -> None:
    onnx.save(dense(), tmp_path / "model.onnx")
    found = tally(tmp_path / "model.onnx", singles=4, draws=2)
    assert (found.equal, found.wrong, found.unable.total()) == (6, [], 0)
    result = CliRunner().invoke(main, [str(tmp_path / "model.onnx"), "--singles", "4", "--draws", "2"])
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "6 α's equal, 0 not compared, 0 wrong; 0 models refused"


def test_a_difference_is_told_with_its_edits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(dense(), tmp_path / "model.onnx")
    monkeypatch.setattr(replay, "Lost", lambda axis, entries: Lost(axis, np.roll(entries, 1)))
    result = CliRunner().invoke(main, [str(tmp_path / "model.onnx"), "--draws", "0"])
    assert result.exit_code == 1
    assert "after A O->N" in result.output


def test_a_refused_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"none")
    result = CliRunner().invoke(main, [str(tmp_path / "model.onnx")])
    assert "model.onnx: not an ONNX model, or truncated" in result.output
    assert "1 models refused" in result.output
