"""What holds for every learner."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from natonnx.architecture import Architecture, violation
from natonnx.errors import InputError
from natonnx.policy import LEARNERS, make_policy
from natonnx.policy.base import Policy, draw, greedy, scores
from natonnx.policy.encode import encode
from natonnx.policy.graph import edge_graph, joined
from tests.architecture.examples import chain, residual_network, with_cheaper
from tests.architecture.strategies import architectures, property_test
from tests.policy.references import by_alpha, choices_of, enumerate_alphas, is_one_of, seeded

LEARNING = [learner for learner in LEARNERS if learner != "random"]
BETA = residual_network(2)


def bold(learner: str, seed: int = 0) -> Policy:
    """A policy with opinions: its head is not near zero."""
    policy = make_policy(learner, seed=seed)
    if policy.learns:
        with torch.no_grad():
            policy.get_submodule("head.letters").get_parameter("weight").mul_(20)
    return policy


def batch_logits(policy: Policy, betas: Sequence[Architecture]) -> Tensor:
    """Of several architectures at once, one after the other."""
    features = torch.cat([torch.from_numpy(encode(beta)) for beta in betas])
    choices = torch.cat([choices_of(beta.topology) for beta in betas])
    found: Tensor = policy(features, choices, joined([edge_graph(beta.topology) for beta in betas]))
    return found.detach()


def test_the_default_learner_is_ours() -> None:
    assert LEARNERS[0] == "gcn-directed"


@pytest.mark.parametrize("learner", LEARNERS)
def test_logits_have_a_row_an_edge_and_a_column_a_state(learner: str) -> None:
    policy = make_policy(learner, edits=2.0, seed=1)
    assert policy.logits(BETA).shape == (7, 3)
    assert policy.logits(with_cheaper(BETA)).shape == (7, 5)
    assert policy.learns is (learner != "random")
    assert policy.explores is (learner != "gcn-max")


@pytest.mark.parametrize("learner", LEARNERS)
def test_one_policy_serves_architectures_of_any_size(learner: str) -> None:
    policy = make_policy(learner)
    assert [policy.logits(residual_network(n)).shape for n in (1, 4, 1)] == [(3, 3), (15, 3), (3, 3)]
    assert policy.logits(chain(0)).shape == (0, 3)


@pytest.mark.parametrize("learner", LEARNERS)
@settings(property_test, max_examples=40)
@given(st.data())
def test_a_batch_gives_the_logits_of_each_alone(learner: str, data: st.DataObject) -> None:
    some = st.one_of(architectures(known=False), architectures(9, concats=True)).filter(lambda one: one.states != ())
    betas = data.draw(st.lists(some, min_size=1, max_size=4))
    policy = bold(learner)
    alone = torch.cat([policy.logits(beta).detach() for beta in betas])
    torch.testing.assert_close(batch_logits(policy, betas), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_batch_may_hold_an_architecture_without_edges(learner: str) -> None:
    policy = bold(learner)
    found = batch_logits(policy, [chain(2), chain(0), BETA])
    torch.testing.assert_close(found, torch.cat([policy.logits(chain(2)), policy.logits(BETA)]).detach())


@pytest.mark.parametrize("learner", LEARNERS)
def test_going_back_to_an_earlier_topology_gives_the_earlier_logits(learner: str) -> None:
    policy = bold(learner)
    first = policy.logits(BETA)
    policy.logits(residual_network(3))
    assert torch.equal(policy.logits(BETA), first)


@pytest.mark.parametrize("learner", LEARNING)
def test_every_parameter_gets_a_gradient(learner: str) -> None:
    policy = bold(learner)
    torch.autograd.backward(policy.logits(with_cheaper(residual_network(3))).square().sum())
    for name, parameter in policy.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert float(parameter.grad.abs().sum()) > 0, name


@pytest.mark.parametrize("learner", LEARNING)
@pytest.mark.parametrize(("seeds", "same"), [((0, 0), True), ((0, 1), False)])
def test_initial_weights_follow_the_seed(learner: str, seeds: Sequence[int], same: bool) -> None:
    one, other = (make_policy(learner, seed=seed) for seed in seeds)
    assert torch.equal(one.logits(BETA), other.logits(BETA)) is same


@pytest.mark.parametrize("learner", LEARNERS)
def test_making_a_policy_leaves_the_global_generator_alone(learner: str) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    make_policy(learner, seed=7)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("learner", LEARNERS)
def test_untrained_logits_are_small_beside_the_prior(learner: str) -> None:
    assert float(make_policy(learner).logits(residual_network(5)).detach().abs().max()) < 0.5


@pytest.mark.parametrize("learner", LEARNING)
def test_weights_go_over_to_a_policy_of_another_seed(learner: str) -> None:
    one, other = make_policy(learner, seed=0), make_policy(learner, seed=1)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.logits(BETA), other.logits(BETA))


@pytest.mark.parametrize("learner", LEARNING)
def test_width_and_depth_can_be_chosen(learner: str) -> None:
    def size(**options: int) -> int:
        policy = make_policy(learner, **options)
        assert policy.logits(BETA).shape == (7, 3)
        return sum(parameter.numel() for parameter in policy.parameters())

    assert size(hidden=8, layers=1) < size(hidden=8, layers=3) < size(hidden=32, layers=3)


@pytest.mark.parametrize("learner", LEARNERS)
def test_draws_are_legal_with_exact_probabilities(learner: str) -> None:
    """Random search has no one distribution: it draws the rate of edits anew for each α."""
    policy = bold(learner)
    drawn = draw(policy, BETA, 30, seeded())
    assert len(drawn.architectures) == (30 if policy.explores else 1)
    assert all(violation(alpha, BETA) is None for alpha in drawn.architectures)
    if policy.learns:
        one = draw(policy, BETA, 30, seeded(1))
        ways = by_alpha(enumerate_alphas(BETA, scores(policy, BETA, seeded()).detach().double().numpy()), BETA)
        assert is_one_of(one.log_probabilities.tolist(), [ways[alpha.states] for alpha in one.architectures])


@pytest.mark.parametrize("learner", LEARNERS)
def test_draws_among_cheaper_operations_are_legal_with_exact_probabilities(learner: str) -> None:
    policy, beta = bold(learner), with_cheaper(residual_network(1))
    drawn = draw(policy, beta, 40, seeded())
    assert all(violation(alpha, beta) is None for alpha in drawn.architectures)
    if policy.explores:
        assert {"conv_1x1", "avg_pool_3x3"} <= {state for alpha in drawn.architectures for state in alpha.states}
    if policy.learns:
        ways = by_alpha(enumerate_alphas(beta, scores(policy, beta, seeded()).detach().double().numpy()), beta)
        assert is_one_of(drawn.log_probabilities.tolist(), [ways[alpha.states] for alpha in drawn.architectures])


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_model_without_edges_has_one_alpha(learner: str) -> None:
    policy, beta = make_policy(learner), chain(0)
    drawn = draw(policy, beta, 2, seeded())
    assert drawn.architectures == [beta] * (2 if policy.explores else 1)
    assert set(drawn.log_probabilities.tolist()) == {0.0}
    assert greedy(policy, beta, seeded()) == beta


def test_an_unknown_learner_is_refused() -> None:
    known = ", ".join(LEARNERS)
    with pytest.raises(
        InputError, match=rf"^unknown learner 'lstmm': choose one of {known}.*, or package.module:name of your own$"
    ):
        make_policy("lstmm")
