"""What the user's own objective or reward raises is one line on the command line."""

from pathlib import Path

import pytest

from natonnx.cli import main
from tests.cli import tiny

CODE = """
class Broken:
    def score(self, outputs, targets):
        raise KeyError("mine")
class BrokenLoss:
    def score(self, outputs, targets):
        return [0.0] * len(targets)
    def loss(self, outputs, targets):
        raise ValueError("mine")
class Unmade(Broken):
    def __init__(self, size):
        pass
def reward(model):
    raise ZeroDivisionError("mine")
"""


@pytest.mark.parametrize(
    ("option", "name", "says"),
    [
        ("--objective", "Broken", "own_code.Broken.score: failed with KeyError: 'mine'"),
        ("--objective", "BrokenLoss", "own_code.BrokenLoss.loss: failed with ValueError: mine"),
        ("--objective", "Unmade", "calling it without arguments failed (TypeError"),
        ("--reward", "reward", "own_code.reward: failed with ZeroDivisionError: mine"),
    ],
)
def test_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    name: str,
    says: str,
) -> None:
    tiny.fill(tmp_path)
    (tmp_path / "own_code.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["optimize", "model.onnx", "--data", "data.npz", option, f"own_code:{name}", "--lookups", "3", "-q"])
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "model.nat.onnx").exists()
