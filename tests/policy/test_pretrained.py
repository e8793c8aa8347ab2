"""Where θ starts."""

import json
import struct
from pathlib import Path

import pytest
import torch

from natonnx.errors import InputError
from natonnx.policy import make_policy
from natonnx.policy.encode import FEATURES
from natonnx.policy.pretrained import load_policy, save_policy
from tests.architecture.examples import residual_network, with_cheaper

BETA = residual_network(3)


def test_from_scratch_a_policy_stays_as_it_is() -> None:
    policy = make_policy("gcn")
    before = policy.logits(BETA)
    load_policy(policy, "gcn", "scratch")
    assert torch.equal(policy.logits(BETA), before)


@pytest.mark.parametrize("learner", ["gcn-directed", "gcn", "gcn-max", "lstm"])
def test_a_saved_policy_comes_back(learner: str, tmp_path: Path) -> None:
    saved, loaded = make_policy(learner, seed=1), make_policy(learner, seed=2)
    save_policy(saved.state_dict(), learner, tmp_path / "theta", "a test")
    load_policy(loaded, learner, str(tmp_path / "theta"))
    assert torch.equal(loaded.logits(BETA), saved.logits(BETA))
    assert not torch.equal(make_policy(learner, seed=2).logits(BETA), saved.logits(BETA))


def test_the_shipped_policy_has_opinions() -> None:
    policy = make_policy("gcn-directed")
    before = policy.logits(BETA).detach().abs().max()
    load_policy(policy, "gcn-directed", "pretrained")
    assert float(policy.logits(BETA).detach().abs().max()) > 5 * float(before)


def test_the_shipped_policy_tells_cheaper_operations_from_staying() -> None:
    """And of O, S and N it says the same with and without them."""
    policy = make_policy("gcn-directed")
    load_policy(policy, "gcn-directed", "pretrained")
    found, without = policy.logits(with_cheaper(BETA)).detach(), policy.logits(BETA).detach()
    carries = [edge.operation is not None for edge in BETA.topology.edges]
    assert torch.equal(found[:, :3], without)
    assert float((found[carries, 3:] - found[carries, :1]).abs().min()) > 0.1


def test_the_shipped_policy_fits_the_package() -> None:
    """A file that can be read without running anything, small, made for today's features."""
    path = Path(__file__).parents[2] / "natonnx/policy/weights/gcn-directed.safetensors"
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    assert metadata["features"] == str(FEATURES)
    assert "NAS-Bench-201" in metadata["note"]
    assert len(content) < 500_000


@pytest.mark.parametrize("learner", ["gcn", "gcn-max", "lstm", "random"])
def test_what_is_not_shipped_is_refused(learner: str) -> None:
    with pytest.raises(InputError, match=f"^--policy pretrained: none is shipped for '{learner}'; choose scratch or "):
        load_policy(make_policy(learner), learner, "pretrained")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing: cannot be read \(.*\); give a file that natonnx saved$"):
        load_policy(make_policy("gcn"), "gcn", str(tmp_path / "missing"))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    save_policy(make_policy("gcn").state_dict(), "gcn", tmp_path / "theta", "a test")
    (tmp_path / "theta").write_bytes((tmp_path / "theta").read_bytes()[:200])
    with pytest.raises(InputError, match=r"theta: cannot be read \(.*\); give a file that natonnx saved$"):
        load_policy(make_policy("gcn"), "gcn", str(tmp_path / "theta"))


def test_a_file_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(3)}, tmp_path / "theta")
    with pytest.raises(InputError, match=r"theta: no policy of this version of natonnx; give a file"):
        load_policy(make_policy("gcn"), "gcn", str(tmp_path / "theta"))


def test_another_learners_file_is_refused(tmp_path: Path) -> None:
    save_policy(make_policy("lstm").state_dict(), "lstm", tmp_path / "theta", "a test")
    with pytest.raises(InputError, match=r"theta: is of the learner 'lstm', not 'gcn'; give one"):
        load_policy(make_policy("gcn"), "gcn", str(tmp_path / "theta"))


def test_a_file_of_another_width_is_refused(tmp_path: Path) -> None:
    save_policy(make_policy("gcn", hidden=8).state_dict(), "gcn", tmp_path / "theta", "a test")
    with pytest.raises(InputError, match=r"theta: its weights have other names or shapes than the learner's"):
        load_policy(make_policy("gcn"), "gcn", str(tmp_path / "theta"))
