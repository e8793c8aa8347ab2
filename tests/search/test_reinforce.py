"""REINFORCE: its baselines, and that it finds a hidden optimum."""

import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from natonnx.architecture import Architecture, State
from natonnx.policy import make_policy
from natonnx.policy.base import Policy, draw, greedy
from natonnx.policy.gcn import GCNPolicy
from natonnx.policy.graph import Graph
from natonnx.policy.random_search import RandomPolicy
from natonnx.search.reinforce import Reinforce, leave_one_out
from tests.architecture import naive
from tests.architecture.examples import residual_network
from tests.architecture.strategies import property_test
from tests.policy.references import edit_count, seeded

rewards = st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=12)

# Leave one out


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


@property_test
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**31))
def test_the_others_are_those_of_the_same_beta(betas: int, alphas: int, seed: int) -> None:
    table = torch.randn(2, betas, alphas, generator=seeded(seed))
    expected = torch.stack([leave_one_out(row) for row in table.flatten(0, 1)])
    torch.testing.assert_close(leave_one_out(table).flatten(0, 1), expected)


# One step


class _Coins(Policy):
    """One parameter a β: π of its two α's is σ(±w)."""

    def __init__(self, betas: int = 1) -> None:
        super().__init__(1.0)
        self.w = nn.Parameter(torch.zeros(betas))

    def forward(self, features: Tensor, choices: Tensor, graph: Graph) -> Tensor:
        raise NotImplementedError

    def log_pi(self) -> Tensor:
        """Of both α's of each β [betas, 2]."""
        return nn.functional.logsigmoid(torch.stack([self.w, -self.w], 1))

    def entropy(self) -> Tensor:
        return -(self.log_pi().exp() * self.log_pi()).sum(1).mean()

    def values(self) -> list[float]:
        found: list[float] = self.w.tolist()
        return found


def _step(learner: Reinforce, coins: _Coins, rewards: list[list[float]], entropy_weight: float = 0.0) -> None:
    learner.step(coins.log_pi(), torch.tensor(rewards), coins.entropy(), entropy_weight)


@pytest.mark.parametrize(("rewards", "sign"), [([1.0, 0.0], 1), ([0.0, 1.0], -1), ([-5.0, -4.0], -1)])
def test_a_step_makes_the_better_alpha_more_likely(rewards: list[float], sign: int) -> None:
    coin = _Coins()
    _step(Reinforce(coin, 0.1), coin, [rewards])
    assert coin.values()[0] * sign == pytest.approx(0.1, rel=1e-3)


def test_each_beta_of_a_batch_goes_its_own_way() -> None:
    """Every reward of the first two is higher than those of the last two: only the other α of the same β counts."""
    coins = _Coins(5)
    _step(Reinforce(coins, 0.1), coins, [[9.0, 8.0], [8.0, 9.0], [5.0, 5.0], [1.0, 0.0], [0.0, 1.0]])
    assert [round(w, 3) for w in coins.values()] == [0.1, -0.1, 0.0, 0.1, -0.1]


def test_alphas_of_one_beta_need_no_axis_for_betas() -> None:
    one, other = _Coins(), _Coins()
    Reinforce(one, 0.1).step(one.log_pi()[0], torch.tensor([1.0, 3.0]), one.entropy(), 0.2)
    _step(Reinforce(other, 0.1), other, [[1.0, 3.0]], 0.2)
    assert one.values() == other.values()


@pytest.mark.parametrize("count", [1, 2])
def test_the_unit_of_the_reward_does_not_matter(count: int) -> None:
    small, large = _Coins(3), _Coins(3)
    learners = Reinforce(small, 0.1), Reinforce(large, 0.1)
    chance = seeded()
    for _ in range(6):
        found = torch.rand(3, count, generator=chance)
        for learner, coins, unit in zip(learners, (small, large), (1.0, 1000.0), strict=True):
            learner.step(coins.log_pi()[:, :count], unit * found, coins.entropy(), 0.0)
    assert small.values() == pytest.approx(large.values(), rel=1e-3)
    assert all(small.values())


def test_what_all_alphas_of_a_beta_have_in_common_does_not_matter() -> None:
    plain, shifted = _Coins(2), _Coins(2)
    learners = Reinforce(plain, 0.1), Reinforce(shifted, 0.1)
    for step in range(4):
        found = [[1.0, 0.5], [0.0, 0.25 * step]]
        _step(learners[0], plain, found)
        _step(learners[1], shifted, [[value + 8.0 * beta + step for value in row] for beta, row in enumerate(found)])
    assert shifted.values() == pytest.approx(plain.values(), rel=1e-5)


def test_equal_rewards_move_nothing_but_entropy() -> None:
    coins = _Coins(2)
    _step(Reinforce(coins, 0.1), coins, [[2.0, 2.0], [-1.0, -1.0]])
    assert coins.values() == [0.0, 0.0]


def test_entropy_is_ascended() -> None:
    coin = _Coins()
    with torch.no_grad():
        coin.w.fill_(2.0)
    _step(Reinforce(coin, 0.1), coin, [[0.0, 0.0]], 1.0)
    assert coin.values()[0] < 2.0


# One α a β: the running mean


def _alone(learner: Reinforce, coins: _Coins, rewards: list[float]) -> None:
    """Each β's first α alone."""
    learner.step(coins.log_pi()[:, :1], torch.tensor(rewards)[:, None], coins.entropy(), 0.0)


def test_alone_an_alpha_is_compared_with_those_of_other_betas() -> None:
    coins = _Coins(3)
    _alone(Reinforce(coins, 0.1), coins, [1.0, 2.0, 3.0])
    assert [round(w, 3) for w in coins.values()] == [-0.1, 0.0, 0.1]


def test_alone_the_first_alpha_moves_nothing() -> None:
    coin = _Coins()
    _alone(Reinforce(coin, 0.1), coin, [7.0])
    assert coin.values() == [0.0]


@pytest.mark.parametrize(("later", "sign"), [(8.0, 1), (6.0, -1)])
def test_alone_an_alpha_is_compared_with_those_before_it(later: float, sign: int) -> None:
    coin = _Coins()
    learner = Reinforce(coin, 0.1)
    for reward in (7.0, 7.0, later):
        _alone(learner, coin, [reward])
    assert coin.values()[0] * sign > 0


def test_the_baseline_comes_to_the_mean_reward() -> None:
    """And not to half of it, as where the advantage is fed back into it: an average reward is then no news."""
    learner, chance = Reinforce(_Coins(), 0.0), seeded()
    for _ in range(300):
        coins = _Coins()
        learner.policy = coins
        _alone(learner, coins, [5.0 + 0.1 * float(torch.randn((), generator=chance))])
    assert learner.mean == pytest.approx(5.0, abs=0.1)


def test_two_alphas_leave_the_running_mean_alone() -> None:
    coin = _Coins()
    learner = Reinforce(coin, 0.1)
    _step(learner, coin, [[1.0, 3.0]])
    assert learner.mean is None


@pytest.mark.parametrize("count", [1, 2])
def test_a_restored_learner_goes_on_as_if_nothing_had_been(count: int) -> None:
    """Through a file, as a checkpoint does."""
    chance = seeded()
    tables = torch.rand(8, 3, count, generator=chance)

    def go(learner: Reinforce, coins: _Coins, some: Tensor) -> None:
        for table in some:
            learner.step(coins.log_pi()[:, :count], table, coins.entropy(), 0.1)

    whole, first, second = _Coins(3), _Coins(3), _Coins(3)
    go(Reinforce(whole, 0.1), whole, tables)
    learner, file = Reinforce(first, 0.1), io.BytesIO()
    go(learner, first, tables[:4])
    torch.save([first.state_dict(), learner.state_dict()], file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    second.load_state_dict(weights)
    restored = Reinforce(second, 0.1)
    restored.load_state_dict(state)
    go(restored, second, tables[4:])
    assert second.values() == whole.values()


# Learning


def _hidden(beta: Architecture, seed: int) -> Architecture:
    """A legal α three edits away from β, none of them where nothing flows."""
    return next(
        alpha
        for alpha in draw(RandomPolicy(most=4), beta, 300, seeded(seed)).architectures
        if edit_count(alpha, beta) == 3 and naive.active(alpha) == [state != State.N for state in alpha.states]
    )


@pytest.mark.parametrize("learner", ["gcn-directed", "gcn", "lstm"])
@pytest.mark.parametrize("seed", range(2))
def test_learning_finds_a_hidden_optimum(learner: str, seed: int) -> None:
    """A bandit: the reward is less by one for every edge that differs from a hidden α.

    λ is large, since with a small one the policy settles on the first α that is better than β.
    """
    beta, generator = residual_network(2), seeded(seed)
    best = _hidden(beta, seed)
    policy = make_policy(learner, seed=seed)
    reinforce = Reinforce(policy, 0.003)
    for step in range(300):
        drawn = draw(policy, beta, 8, generator)
        found = torch.tensor([-float(_distance(alpha, best)) for alpha in drawn.architectures])
        reinforce.step(drawn.log_probabilities, found, drawn.entropy, 0.3 * (1 - step / 300))
        if step % 20 == 19 and greedy(policy, beta, generator) == best:
            break
    assert greedy(policy, beta, generator) == best


def _distance(alpha: Architecture, best: Architecture) -> int:
    return sum(one is not other for one, other in zip(alpha.states, best.states, strict=True))


@pytest.mark.parametrize("learner", ["gcn-directed", "gcn", "lstm"])
def test_what_is_learnt_on_one_network_is_not_confined_to_it(learner: str) -> None:
    """Rewarded for turning every convolution into a skip on two blocks, the policy does so on three."""
    policy, generator = make_policy(learner), seeded()
    reinforce = Reinforce(policy, 0.02)
    for _ in range(80):
        drawn = draw(policy, residual_network(2), 8, generator)
        found = torch.tensor([-float(alpha.states.count(State.O)) for alpha in drawn.architectures])
        reinforce.step(drawn.log_probabilities, found, drawn.entropy, 0.0)
    kept = greedy(policy, residual_network(3), generator).states.count(State.O)
    assert kept < residual_network(3).states.count(State.O)


def test_a_step_changes_the_policy_of_another_draw() -> None:
    policy, beta = GCNPolicy(), residual_network(2)
    before = policy.logits(beta).detach()
    drawn = draw(policy, beta, 4, seeded())
    Reinforce(policy, 0.01).step(drawn.log_probabilities, torch.tensor([0.0, 1.0, 2.0, 3.0]), drawn.entropy, 0.003)
    assert not torch.equal(policy.logits(beta).detach(), before)
