"""The paper's Maximum-GCN: α is the most probable one, in training too."""

from collections.abc import Callable

import pytest
import torch

from natonnx.architecture import LETTERS, Architecture, State, transition_mask
from natonnx.policy.base import draw, greedy, keep_prior, scores
from natonnx.policy.gcn import GCNPolicy, MaximumGCNPolicy
from natonnx.policy.random_search import RandomPolicy
from natonnx.search.reinforce import Reinforce
from tests.architecture import naive
from tests.architecture.examples import residual_network
from tests.policy.references import by_alpha, draw_order, enumerate_alphas, is_one_of, seeded

BETA = residual_network(2)


def _some_betas(count: int) -> list[Architecture]:
    """β, and random legal neighbours of it."""
    return [BETA, *draw(RandomPolicy(), BETA, count - 1, seeded(1)).architectures]


def _argmax(beta: Architecture, table: torch.Tensor) -> tuple[State, ...]:
    """Edge by edge the state of the highest logit among those that are legal by then."""
    alpha = beta
    for edge in draw_order(beta):
        options = naive.walk_options(alpha, edge, beta)
        best = max(options, key=lambda state: float(table[edge, LETTERS.index(state)]))
        alpha = naive.change(alpha, edge, best)
    return naive.without_idle_edits(alpha, beta).states


@pytest.mark.parametrize("seed", range(3))
def test_its_one_alpha_is_the_argmax(seed: int) -> None:
    policy = MaximumGCNPolicy(seed=seed)
    for beta in _some_betas(8):
        table = scores(policy, beta, seeded()).detach()
        drawn = draw(policy, beta, 10, seeded())
        assert [alpha.states for alpha in drawn.architectures] == [_argmax(beta, table)]
        assert drawn.architectures == [greedy(policy, beta, seeded())]
        ways = by_alpha(enumerate_alphas(beta, table.double().numpy()), beta)
        assert is_one_of(drawn.log_probabilities.tolist(), [ways[drawn.architectures[0].states]])


def test_nothing_is_left_to_chance() -> None:
    policy, generator = MaximumGCNPolicy(), seeded(3)
    before = generator.get_state()
    draw(policy, BETA, 4, generator)
    assert torch.equal(generator.get_state(), before)


def test_a_condition_that_its_alpha_does_not_meet_leaves_none() -> None:
    drawn = draw(MaximumGCNPolicy(), BETA, 4, seeded(), accept=lambda _: False)
    assert drawn.architectures == []
    assert drawn.log_probabilities.shape == (0,)


def test_it_is_not_held_at_beta_by_a_prior() -> None:
    mask, current = torch.from_numpy(transition_mask(BETA)), torch.zeros(7, dtype=torch.long)
    assert not MaximumGCNPolicy().prior(mask, current, seeded()).any()
    assert torch.equal(GCNPolicy().prior(mask, current, seeded()), keep_prior(mask, current, 3.0))
    assert any(greedy(MaximumGCNPolicy(seed=seed), BETA, seeded()) != BETA for seed in range(3))


def _train(
    policy: MaximumGCNPolicy, betas: list[Architecture], reward: Callable[[Architecture], float], entropy: float
) -> None:
    learner, generator = Reinforce(policy, 0.01), seeded()
    for _ in range(30):
        drawn = [draw(policy, beta, 8, generator) for beta in betas]
        learner.step(
            torch.stack([one.log_probabilities for one in drawn]),
            torch.tensor([[reward(alpha) for alpha in one.architectures] for one in drawn]),
            torch.stack([one.entropy for one in drawn]).mean(),
            entropy,
        )


def _skipped(alpha: Architecture) -> float:
    """The fewer convolutions the better."""
    return -float(alpha.states.count(State.O))


@pytest.mark.parametrize("seed", range(2))
def test_it_learns_from_other_betas_by_the_running_mean(seed: int) -> None:
    """α's that are better than those of other β's, and of earlier steps, become more probable."""
    policy, betas = MaximumGCNPolicy(seed=seed), _some_betas(16)

    def mean() -> float:
        return sum(_skipped(greedy(policy, beta, seeded())) for beta in betas) / len(betas)

    before = mean()
    _train(policy, betas, _skipped, 0.03)
    assert mean() > before + 0.5


def test_on_one_beta_it_never_learns() -> None:
    """It sees one α and its reward: nothing is ever better than expected."""
    policy = MaximumGCNPolicy()
    before = policy.logits(BETA).detach()
    _train(policy, [BETA], _skipped, 0.0)
    torch.testing.assert_close(policy.logits(BETA).detach(), before)
