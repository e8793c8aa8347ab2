"""The cost target: the multiplier in the logits and in the reward."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from natonnx.architecture import LETTERS, Architecture, State, cost
from natonnx.policy.base import Policy, draw
from natonnx.policy.gcn import GCNPolicy
from natonnx.policy.random_search import RandomPolicy
from natonnx.search.budget import EXPLORED, Budget
from natonnx.search.price import Madds
from tests.architecture import naive
from tests.architecture.examples import residual_network
from tests.architecture.strategies import property_test
from tests.policy.references import seeded

BETA = residual_network(10)


def _mean_share(budget: Budget, policy: Policy, count: int = 200) -> float:
    with torch.no_grad():
        alphas = draw(policy, BETA, count, seeded(9), tilt=budget.logits(BETA)).architectures
    return sum(map(budget.share, alphas)) / len(alphas)


def _without(*names: str) -> Architecture:
    """β with these convolutions made null."""
    return BETA.with_states(
        tuple(
            State.N if edge.name in names else state
            for edge, state in zip(BETA.topology.edges, BETA.states, strict=True)
        )
    )


# The hard constraint


def test_betas_share_is_all() -> None:
    assert Budget(Madds(BETA), 0.5).share(BETA) == 1


def test_a_share_counts_what_is_left() -> None:
    alpha = _without("b1", "b2", "b3")
    assert Budget(Madds(BETA), 0.5).share(alpha) == (naive.cost(alpha).madds or 0) / (naive.cost(BETA).madds or 0)


def test_shares_are_counted_on_the_reference() -> None:
    """The network that is searched may have other costs than the one in the file."""
    cheaper = residual_network(10)
    assert Budget(Madds(BETA), None).share(cheaper.with_states(_without("b1").states)) < 1


def test_the_constraint_is_exact() -> None:
    alpha = _without("b1", "b2")
    share = Budget(Madds(BETA), None).share(alpha)
    assert Budget(Madds(BETA), share).met_by(alpha)
    assert not Budget(Madds(BETA), float(np.nextafter(share, 0))).met_by(alpha)


def test_without_a_target_everything_meets_it() -> None:
    assert Budget(Madds(BETA), None).met_by(BETA)


@pytest.mark.parametrize(
    ("target", "done", "limit"),
    [(0.5, 0.0, 1.0), (0.5, 1.0, 0.485), (0.5, 0.5, 0.7425), (None, 0.0, 1.0), (None, 1.0, EXPLORED)],
)
def test_the_limit_moves_from_betas_cost_to_a_little_below_the_target(
    target: float | None, done: float, limit: float
) -> None:
    budget = Budget(Madds(BETA), target)
    budget.approach(done)
    assert budget.limit == pytest.approx(limit)


# In the logits


def test_no_tilt_no_logits() -> None:
    assert Budget(Madds(BETA), 0.5).logits(BETA) is None


def test_a_tilt_favours_each_transition_by_what_it_saves() -> None:
    budget = Budget(Madds(BETA), 0.5)
    budget.tilt = 2.0
    logits = budget.logits(BETA)
    assert logits is not None
    full = naive.cost(BETA).madds or 0
    saved = np.zeros((len(BETA.states), 3))
    for edge, before in enumerate(BETA.states):
        for after in naive.transitions(BETA.topology.edges[edge], before):
            if naive.single_is_legal(BETA, edge, after):
                saved[edge, LETTERS.index(after)] = full - (naive.cost(naive.change(BETA, edge, after)).madds or 0)
    np.testing.assert_allclose(logits, 2 * saved / saved.max(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("limit", [0.3, 0.5, 0.7])
def test_calibration_brings_fresh_draws_to_the_limit(limit: float, seed: int) -> None:
    budget, policy = Budget(Madds(BETA), limit), GCNPolicy(seed=seed)
    budget.limit = limit
    budget.calibrate(policy, BETA, seeded(seed))
    assert _mean_share(budget, policy) == pytest.approx(limit, abs=0.05)


def test_calibration_raises_the_cost_where_cost_buys_reward() -> None:
    """A policy that cuts too much is held up to the limit, once cost is known to pay."""
    budget, policy = Budget(Madds(BETA), 0.9), GCNPolicy(edits=14)
    budget.limit = 0.9
    budget.objective([0.5, 0.9], [0.5, 0.9])
    budget.calibrate(policy, BETA, seeded())
    assert budget.tilt < 0
    assert _mean_share(budget, policy) == pytest.approx(0.9, abs=0.05)


def test_calibration_lets_cheaper_alphas_be_where_cost_buys_nothing() -> None:
    budget, policy = Budget(Madds(BETA), 0.9), GCNPolicy(edits=14)
    budget.limit = 0.9
    budget.calibrate(policy, BETA, seeded())
    assert budget.tilt >= 0
    assert _mean_share(budget, policy) < 0.9


@pytest.mark.parametrize("limit", [0.3, 0.5])
def test_random_search_is_brought_to_the_limit_too(limit: float) -> None:
    """Less exactly: it draws the rate of edits anew for each α."""
    budget, policy = Budget(Madds(BETA), limit), RandomPolicy()
    budget.limit = limit
    budget.calibrate(policy, BETA, seeded())
    assert _mean_share(budget, policy) == pytest.approx(limit, abs=0.1)


@pytest.mark.parametrize(("costs", "tilt"), [([0.7, 0.9], 1.6), ([0.5, 0.5], 1.0), ([0.4], 0.8), ([], 1.0)])
def test_between_calibrations_the_tilt_follows_the_miss(costs: list[float], tilt: float) -> None:
    budget = Budget(Madds(BETA), 0.5)
    budget.limit, budget.tilt = 0.5, 1.0
    budget.adapt(costs)
    assert budget.tilt == pytest.approx(tilt)


@pytest.mark.parametrize(("start", "costs", "end"), [(8.0, [1.0], 8.0), (0.1, [0.0], 0.0)])
def test_the_tilt_stays_in_bounds(start: float, costs: list[float], end: float) -> None:
    budget = Budget(Madds(BETA), 0.5)
    budget.limit, budget.tilt = 0.5, start
    budget.adapt(costs)
    assert budget.tilt == end


# In the reward


@pytest.mark.parametrize("slope", [0.5, 3.0])
def test_the_objective_has_no_trend_in_cost(slope: float) -> None:
    """Where R = slope·c + noise, the multiplier is that slope, and what is left tells nothing of c."""
    budget, chance = Budget(Madds(BETA), 0.5), np.random.default_rng(0)
    objectives: list[float] = []
    spent: list[float] = []
    for group in range(400):
        costs = chance.uniform(0.2, 0.8, 8)
        rewards = slope * costs + 0.02 * chance.standard_normal(8)
        found = budget.objective(rewards.tolist(), costs.tolist())
        if group >= 50:
            objectives += (np.array(found) - np.mean(found)).tolist()
            spent += (costs - costs.mean()).tolist()
    assert budget.multiplier == pytest.approx(slope, rel=0.05)
    assert abs(float(np.corrcoef(objectives, spent)[0, 1])) < 0.1


@pytest.mark.parametrize("slope", [0.0, -2.0])
def test_where_cost_does_not_buy_reward_rewards_stay(slope: float) -> None:
    budget = Budget(Madds(BETA), 0.5)
    costs = [0.2, 0.4, 0.9]
    rewards = [slope * value for value in costs]
    assert budget.objective(rewards, costs) == pytest.approx(rewards)
    assert budget.multiplier == 0


def test_an_exact_trend_is_removed_at_once() -> None:
    found = Budget(Madds(BETA), 0.5).objective([1.4, 1.8, 2.2], [0.2, 0.4, 0.6])
    assert found == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)


def test_equal_costs_say_nothing() -> None:
    budget = Budget(Madds(BETA), 0.5)
    assert budget.objective([1.0, 2.0], [0.5, 0.5]) == [1.0, 2.0]
    assert budget.multiplier == 0


# Checkpoints


@property_test
@given(st.lists(st.floats(-10, 10), min_size=4, max_size=4))
def test_a_checkpoint_holds_everything(values: list[float]) -> None:
    budget = Budget(Madds(BETA), 0.5)
    budget.load_list(values)
    assert budget.to_list() == values


def test_a_restored_budget_goes_on_as_if_nothing_had_been() -> None:
    budget, restored = Budget(Madds(BETA), 0.5), Budget(Madds(BETA), 0.5)
    budget.approach(0.7)
    budget.objective([1.0, 2.0, 2.5], [0.3, 0.5, 0.6])
    budget.adapt([0.9, 0.8])
    restored.load_list(budget.to_list())
    assert restored.multiplier == budget.multiplier
    assert restored.objective([1.0, 0.0], [0.4, 0.2]) == budget.objective([1.0, 0.0], [0.4, 0.2])
    assert restored.limit == budget.limit
    assert torch.equal(_tilt(restored), _tilt(budget))


def _tilt(budget: Budget) -> torch.Tensor:
    logits = budget.logits(BETA)
    assert logits is not None
    return logits


def test_costs_stay_those_of_the_reference_architecture() -> None:
    assert cost(BETA).madds == sum(170 + 40 * block for block in range(1, 11))
