"""REINFORCE: its baseline, and that it finds a hidden optimum."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from natonnx.architecture import Architecture, State
from natonnx.policy.base import Draw, draw, greedy
from natonnx.policy.gcn import GCNPolicy
from natonnx.policy.random_search import RandomPolicy
from natonnx.search.reinforce import Reinforce, leave_one_out
from tests.architecture import naive
from tests.architecture.examples import residual_network
from tests.architecture.strategies import property_test
from tests.policy.references import edit_count, seeded

rewards = st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=12)


@property_test
@given(rewards)
def test_each_advantage_is_the_reward_less_the_mean_of_the_others(values: list[float]) -> None:
    direct = []
    for i, value in enumerate(values):
        others = values[:i] + values[i + 1 :]
        direct.append(value - sum(others) / len(others))
    assert leave_one_out(torch.tensor(values)).tolist() == pytest.approx(direct, abs=1e-4)


@property_test
@given(rewards)
def test_advantages_sum_to_zero(values: list[float]) -> None:
    assert float(leave_one_out(torch.tensor(values)).sum()) == pytest.approx(0, abs=1e-4)


def test_a_single_reward_has_no_advantage() -> None:
    assert leave_one_out(torch.tensor([3.0])).tolist() == [0.0]


class _Coin(GCNPolicy):
    """One parameter: log π of two α's is log σ(±w)."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.w = nn.Parameter(torch.zeros(()))

    def draw(self) -> Draw:
        log_pi = nn.functional.logsigmoid(torch.stack([self.w, -self.w]))
        beta = residual_network(1)
        return Draw([beta, beta], log_pi, -(log_pi.exp() * log_pi).sum())


@pytest.mark.parametrize(("rewards", "sign"), [([1.0, 0.0], 1), ([0.0, 1.0], -1), ([-5.0, -4.0], -1)])
def test_a_step_makes_the_better_alpha_more_likely(rewards: list[float], sign: int) -> None:
    coin = _Coin()
    Reinforce(coin, 0.1).step(coin.draw(), rewards, 0.0)
    assert float(coin.w.detach()) * sign == pytest.approx(0.1, rel=1e-3)


def test_the_unit_of_the_reward_does_not_matter() -> None:
    small, large = _Coin(), _Coin()
    learners = Reinforce(small, 0.1), Reinforce(large, 0.1)
    for better in (0, 1, 0, 0):
        found = [float(i == better) for i in range(2)]
        learners[0].step(small.draw(), found, 0.0)
        learners[1].step(large.draw(), [1000 * value for value in found], 0.0)
    assert float(small.w.detach()) == pytest.approx(float(large.w.detach()), rel=1e-4)


def test_equal_rewards_move_nothing_but_entropy() -> None:
    coin = _Coin()
    Reinforce(coin, 0.1).step(coin.draw(), [2.0, 2.0], 0.0)
    assert float(coin.w.detach()) == 0


def test_entropy_is_ascended() -> None:
    coin = _Coin()
    with torch.no_grad():
        coin.w.fill_(2.0)
    Reinforce(coin, 0.1).step(coin.draw(), [0.0, 0.0], 1.0)
    assert float(coin.w.detach()) < 2.0


def _hidden(beta: Architecture, seed: int) -> Architecture:
    """A legal α three edits away from β, none of them where nothing flows."""
    return next(
        alpha
        for alpha in draw(RandomPolicy(most=4), beta, 300, seeded(seed)).architectures
        if edit_count(alpha, beta) == 3 and naive.active(alpha) == [state is not State.N for state in alpha.states]
    )


@pytest.mark.parametrize("seed", range(3))
def test_learning_finds_a_hidden_optimum(seed: int) -> None:
    """A bandit: the reward is less by one for every edge that differs from a hidden α.

    λ is large, since with a small one the policy settles on the first α that is better than β.
    """
    beta, generator = residual_network(2), seeded(seed)
    best = _hidden(beta, seed)
    policy = GCNPolicy(seed=seed)
    learner = Reinforce(policy, 0.003)
    for step in range(300):
        drawn = draw(policy, beta, 8, generator)
        learner.step(drawn, [-float(_distance(alpha, best)) for alpha in drawn.architectures], 0.3 * (1 - step / 300))
        if step % 20 == 19 and greedy(policy, beta, generator) == best:
            break
    assert greedy(policy, beta, generator) == best


def _distance(alpha: Architecture, best: Architecture) -> int:
    return sum(one is not other for one, other in zip(alpha.states, best.states, strict=True))


def test_what_is_learnt_on_one_network_is_not_confined_to_it() -> None:
    """Rewarded for turning every convolution into a skip on two blocks, the policy does so on three."""
    policy, generator = GCNPolicy(), seeded()
    learner = Reinforce(policy, 0.02)
    for _ in range(80):
        drawn = draw(policy, residual_network(2), 8, generator)
        learner.step(drawn, [-float(alpha.states.count(State.O)) for alpha in drawn.architectures], 0.0)
    kept = greedy(policy, residual_network(3), generator).states.count(State.O)
    assert kept < residual_network(3).states.count(State.O)


def test_a_step_changes_the_policy_of_another_draw() -> None:
    policy, beta = GCNPolicy(), residual_network(2)
    before: Tensor = policy.logits(beta).detach()
    Reinforce(policy, 0.01).step(draw(policy, beta, 4, seeded()), [0.0, 1.0, 2.0, 3.0], 0.003)
    assert not torch.equal(policy.logits(beta).detach(), before)
