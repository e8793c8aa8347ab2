"""Policies in files: softened, and what one says of cheaper operations trained by itself."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from natonnx.policy import make_policy
from natonnx.policy.pretrained import load_policy, save_policy
from tests.tools.research.nasbench.cells import EVERY, accuracies
from tools.research.nasbench.saved import SOFTENED, hold, soften
from tools.research.nasbench.space import Space
from tools.research.nasbench.training import Recipe, train


@pytest.fixture(scope="module")
def cheaper() -> Space:
    return Space(EVERY, "nat++")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A policy that was saved."""
    save_policy(soften(_sure(3), "gcn-directed"), "gcn-directed", tmp_path / "theta", "a test")
    return str(tmp_path / "theta")


def _sure(seed: int) -> dict[str, Tensor]:
    """Weights of a policy with opinions."""
    weights = make_policy("gcn-directed", seed=seed).state_dict()
    return {name: 7 * value if name.startswith("head.") else value for name, value in weights.items()}


def _scores(weights: dict[str, Tensor], space: Space) -> Tensor:
    """Of the first cells [cells, edges, width]."""
    policy, cells = make_policy("gcn-directed"), torch.arange(200)
    policy.load_state_dict(weights)
    with torch.no_grad():
        found: Tensor = policy(
            space.features[cells].flatten(0, 1), space.choices[cells].flatten(0, 1), space.graph(200)
        )
    return found


def test_scores_are_softened(cheaper: Space) -> None:
    weights = _sure(1)
    torch.testing.assert_close(_scores(soften(weights, "gcn-directed"), cheaper), SOFTENED * _scores(weights, cheaper))


def test_what_is_held_starts_at_full_strength_and_knows_nothing_of_cheaper_operations(
    path: str, cheaper: Space
) -> None:
    policy = make_policy("gcn-directed", seed=5)
    hold(policy, "gcn-directed", path)
    found, sure, fresh = (_scores(w, cheaper) for w in (policy.state_dict(), _sure(3), _sure(5)))
    torch.testing.assert_close(found[:, :3], sure[:, :3])
    of_cheaper = make_policy("gcn-directed", seed=5).state_dict()["head.cheaper.weight"]
    assert torch.equal(policy.state_dict()["head.cheaper.weight"], of_cheaper)
    assert not torch.allclose(found, fresh)


def test_training_changes_what_is_said_of_cheaper_operations_alone(path: str, cheaper: Space) -> None:
    """Bit for bit, once it is saved again."""
    policy = make_policy("gcn-directed", seed=5)
    hold(policy, "gcn-directed", path)
    reward = accuracies(len(EVERY), 0).validation
    recipe = Recipe(steps=3, betas=16, learning_rate=0.1)
    train(policy, cheaper, reward, torch.arange(2000), recipe)
    before = make_policy("gcn-directed")
    load_policy(before, "gcn-directed", path)
    after = soften(policy.state_dict(), "gcn-directed", path)
    one, two = (_scores(w, cheaper) for w in (before.state_dict(), after))
    assert torch.equal(one[:, :3], two[:, :3])
    assert float((one[:, 3:] - two[:, 3:]).abs().max()) > 0.01
