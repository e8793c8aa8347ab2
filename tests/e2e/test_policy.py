"""`natonnx optimize` with a learner of one's own, and θ as a file."""

import json
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch

import natonnx
from natonnx import InputError, Settings
from natonnx.policy import make_policy
from natonnx.policy.pretrained import load_policy
from tests.cli import tiny

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
(EXAMPLE,) = re.findall(r"```python\n(.*?class ByItself.*?)```", PAGE, re.DOTALL)
OWN = f"""{EXAMPLE}

class Broken(ByItself):
    def forward(self, features, choices, graph):
        return features
"""
MINE = "own:ByItself"
COMMAND = ["optimize", "model.onnx", "--data", "data.npz", "--lookups", "12", "--no-training", "--threads", "1"]
COMMAND += ["--target-madds", "0.55", "--max-drop", "100", "-o", "out.onnx"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return tiny.fill(tmp_path)


def test_a_learner_of_ones_own_searches_and_its_weights_go_on(folder: Path) -> None:
    """What --save-policy wrote is what --policy begins with, and is not what the learner began with."""
    made = tiny.natonnx(*COMMAND, "--learner", MINE, "--save-policy", "theta.safetensors", "--json", cwd=folder)
    assert made.code == 0, made.stderr
    assert json.loads(made.stdout)["learner"] == MINE
    learned = safetensors.torch.load_file(folder / "theta.safetensors")
    torch.manual_seed(0)
    assert set(learned) == {f"head.{part}.{kind}" for part in ("letters", "cheaper") for kind in ("weight", "bias")}
    assert float(learned["head.letters.bias"].abs().max()) > 0  # it begins at 0
    again = tiny.natonnx(*COMMAND, "--learner", MINE, "--policy", "theta.safetensors", "--force", cwd=folder)
    assert again.code == 0, again.stderr
    other = tiny.natonnx(*COMMAND, "--policy", "theta.safetensors", "--force", cwd=folder)
    assert other.code == 2
    assert "is of the learner 'own:ByItself', not 'gcn-directed'" in other.stderr


def test_a_policy_of_ours_is_saved_as_the_search_left_it(folder: Path) -> None:
    settings = Settings(lookups=12, training=False, target_madds=0.55, max_drop=100)
    data = tiny.arrays()
    path = folder / "theta.safetensors"
    natonnx.optimize(folder / "model.onnx", data, settings=settings, save_policy=path, threads=1)
    policy, fresh = make_policy("gcn-directed"), make_policy("gcn-directed")
    load_policy(policy, "gcn-directed", str(path))
    before, after = fresh.state_dict(), policy.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_algorithm_1_saves_its_policy_too(folder: Path) -> None:
    settings = Settings(algorithm="paper", learner="gcn", epochs=1, finetune_epochs=0, evaluated=2, finalists=1)
    path = folder / "theta.safetensors"
    natonnx.optimize(folder / "model.onnx", tiny.arrays(), settings=settings, save_policy=path, threads=1, force=True)
    policy = make_policy("gcn")
    load_policy(policy, "gcn", str(path))
    before = make_policy("gcn").state_dict()
    assert any(not torch.equal(before[name], value) for name, value in policy.state_dict().items())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--learner", "greedy"), "--save-policy theta: the learner greedy learns nothing; leave it out"),
        (("--learner", "random"), "--save-policy theta: the learner random learns nothing; leave it out"),
        (("--learner", "own:Broken"), "own:Broken: forward gave a tensor"),
        (("--learner", "own:Nobody"), "--learner own:Nobody: cannot be imported"),
        (("--learner", "nobody"), "unknown learner 'nobody': choose one of gcn-directed"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(folder: Path, options: tuple[str, ...], told: str) -> None:
    found = tiny.natonnx(*COMMAND, *options, "--save-policy", "theta", cwd=folder)
    assert found.code == 2
    assert told in found.stderr
    assert not (folder / "theta").exists()


def test_a_file_that_is_no_policy_is_kept(folder: Path) -> None:
    (folder / "theta").write_text("a letter")
    with pytest.raises(InputError, match="theta: exists and natonnx did not write it; choose another --save-policy"):
        natonnx.optimize(
            folder / "model.onnx", tiny.arrays(), settings=Settings(lookups=2), save_policy=folder / "theta"
        )
    assert (folder / "theta").read_text() == "a letter"
