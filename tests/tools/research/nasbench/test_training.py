"""REINFORCE on a table: what it counts, and that it finds what there is to find."""

import pytest
import torch
from torch import Tensor

from natonnx.policy import LEARNERS, make_policy
from natonnx.policy.base import Policy
from tests.tools.research.nasbench.cells import OPS, working
from tools.research.nasbench import predictor
from tools.research.nasbench.measure import best_alphas, choose, measure, transform
from tools.research.nasbench.space import Space
from tools.research.nasbench.table import Accuracies, split
from tools.research.nasbench.training import Recipe, train

SMALL = Recipe(steps=3, betas=8, alphas=4)
FREE = Recipe(steps=3, betas=8, alphas=4, edit_price=0.0)
WORTH = {"none": 0.0, "skip_connect": 0.5, "nor_conv_1x1": 1.0, "nor_conv_3x3": 1.0, "avg_pool_3x3": -1.0}
"""Of an edge: convolutions are to be kept, pools and null edges to become skips."""


@pytest.fixture(scope="module")
def toy(space: Space) -> Accuracies:
    """A table whose accuracies are the sums of the edges' worth, as fractions."""
    worth = torch.tensor([WORTH[op] for op in OPS])
    values = 0.5 + worth[space.ops].sum(1) / 12
    return Accuracies(values, values)


def _captured(policy: Policy, space: Space, toy: Accuracies, betas: Tensor) -> float:
    """Zero-shot."""
    alphas = choose(transform(policy, space, betas, 0), toy).zero_shot
    return measure(space, betas, alphas, best_alphas(space, betas, toy), toy).captured


# What it does


@pytest.mark.parametrize("learner", [one for one in LEARNERS if one != "random"])
def test_the_seed_repeats_training(space: Space, toy: Accuracies, learner: str) -> None:
    def trained(seed: int) -> list[Tensor]:
        policy = make_policy(learner)
        train(policy, space, toy.validation, torch.arange(2000), SMALL, seed=seed)
        return list(policy.state_dict().values())

    one, two, other = trained(0), trained(0), trained(1)
    assert all(map(torch.equal, one, two))
    assert not all(map(torch.equal, one, other))


@pytest.mark.parametrize("learner", ["gcn-directed", "gcn-max"])
def test_look_ups_are_counted(space: Space, toy: Accuracies, learner: str) -> None:
    """One of each β and of each α; a policy that does not explore gets as many α's, of more β's."""
    watched: list[int] = []
    cells = working(space, 100)
    policy = make_policy(learner)
    found = train(policy, space, toy.validation, cells, SMALL, watch=watched.append)
    a_step = 32 + 32 if learner == "gcn-max" else 8 + 32
    assert watched == [a_step, 2 * a_step, 3 * a_step]
    assert found.queries == watched[-1]
    assert [queries for queries, _ in found.curve] == watched
    assert 0 < int(found.seen.sum()) <= found.queries
    assert not (found.seen & ~space.reachable(cells).any(0)).any()
    assert found.seconds > 0


def test_only_cells_that_may_be_drawn_are_betas(space: Space) -> None:
    """The others' accuracies are read where they are α's, and no others."""
    cells = working(space, 10)
    accuracy = torch.full((len(space.cells),), torch.nan)
    accuracy[space.reachable(cells).any(0)] = 0.5
    policy = make_policy("gcn")
    train(policy, space, accuracy, cells, SMALL)
    assert all(torch.isfinite(value).all() for value in policy.state_dict().values())


def test_random_search_asks_for_nothing(space: Space, toy: Accuracies) -> None:
    found = train(make_policy("random"), space, toy.validation, torch.arange(10), SMALL)
    assert (found.queries, int(found.seen.sum()), found.curve) == (0, 0, [])


def test_the_curve_is_the_mean_reward_in_points(space: Space) -> None:
    """All that costs nothing is worth all: so all that a step gains is counted by hand."""
    free = (space.own_costs.sum(1) == 0).float()
    costly = torch.nonzero((space.current == 0).all(1))[:, 0]
    found = train(make_policy("random"), space, free, costly, FREE)
    assert found.curve == []
    found = train(make_policy("gcn-max"), space, torch.ones_like(free), costly, FREE)
    assert [reward for _, reward in found.curve] == [0.0] * 3


# What it learns


@pytest.fixture(scope="module")
def held_out(space: Space) -> Tensor:
    """Some of those that are held out."""
    return split(len(space.cells)).held_out[:400]


@pytest.mark.parametrize(
    ("learner", "least"), [("gcn-directed", 0.95), ("lstm", 0.95), ("gcn", 0.8), ("gcn-max", 0.35)]
)
def test_on_a_toy_table_it_reaches_the_optimum(
    space: Space, toy: Accuracies, held_out: Tensor, learner: str, least: float
) -> None:
    """On cells that it never saw as β's. The paper's policies mix an edge with its neighbours, and so do not quite."""
    recipe = Recipe(steps=80, betas=64, alphas=4, learning_rate=0.003, entropy=0.1)
    policy = make_policy(learner)
    before = _captured(policy, space, toy, held_out)
    train(policy, space, toy.validation, split(len(space.cells)).training, recipe)
    after = _captured(policy, space, toy, held_out)
    assert after >= least > before
    assert after <= 1 + 1e-4


def test_random_search_does_not(space: Space, toy: Accuracies, held_out: Tensor) -> None:
    policy = make_policy("random")
    train(policy, space, toy.validation, held_out, SMALL)
    assert _captured(policy, space, toy, held_out) < 0.5


# Fewer look-ups


@pytest.mark.parametrize("queries", [500, 1000, 12_345, 100_000])
def test_a_recipe_keeps_within_look_ups(space: Space, toy: Accuracies, queries: int) -> None:
    recipe = Recipe(alphas=8).within(queries)
    assert recipe.betas >= 1
    assert recipe.steps >= 24
    assert 0.8 * queries < recipe.steps * recipe.betas * (1 + recipe.alphas) <= queries
    if queries < 10_000:
        found = train(make_policy("gcn"), space, toy.validation, torch.arange(5000), recipe)
        assert found.queries <= queries


def test_a_predicted_reward_asks_for_the_known_cells_alone(
    space: Space, toy: Accuracies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "_STEPS", 2)
    cells = working(space, 300)
    found = train(make_policy("gcn"), space, toy.validation, cells, Recipe(steps=2, betas=4, predicted_from=50))
    assert found.queries == int(found.seen.sum()) == 50
    assert set(torch.nonzero(found.seen)[:, 0].tolist()) <= set(cells.tolist())


def test_accuracies_are_predicted_from_those_of_some_cells(
    space: Space, toy: Accuracies, held_out: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of no others: they are not even there."""
    monkeypatch.setattr(predictor, "_STEPS", 120)
    known = split(len(space.cells)).training[:300]
    accuracy = torch.full_like(toy.validation, torch.nan)
    accuracy[known] = toy.validation[known]
    found = predictor.predicted_accuracies(space, accuracy, known, 0)
    assert found.shape == accuracy.shape
    both = torch.stack([found[held_out], toy.validation[held_out]])
    assert float(torch.corrcoef(both)[0, 1]) > 0.9
    assert float((both[0] - both[1]).abs().mean()) < 0.05
