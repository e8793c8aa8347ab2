"""The paper's policy: against a dense reference, and that it sees the operations."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from natonnx.architecture import Architecture, State
from natonnx.policy import make_policy
from natonnx.policy.gcn import GCNPolicy
from tests.architecture.examples import chain, residual_network
from tests.architecture.strategies import architectures, property_test
from tests.policy.references import gcn_logits, readers
from tests.policy.test_encode import OPERATIONS, with_operation


def _scaled(seed: int = 0) -> GCNPolicy:
    """A policy whose head is not near zero, so that differences show."""
    policy = GCNPolicy(seed=seed)
    with torch.no_grad():
        policy.head.weight.mul_(20)
        for bias in (policy.first.bias, policy.second.bias, policy.head.bias):
            bias.copy_(torch.linspace(-0.5, 0.5, len(bias)))
    return policy


def _logits(policy: GCNPolicy, architecture: Architecture) -> np.ndarray:
    found: np.ndarray = policy.logits(architecture).detach().numpy()
    return found


@settings(property_test, max_examples=50)
@given(architectures(known=False).filter(lambda architecture: len(architecture.states) > 0))
def test_logits_equal_the_dense_formula(architecture: Architecture) -> None:
    policy = _scaled()
    np.testing.assert_allclose(_logits(policy, architecture), gcn_logits(policy, architecture), rtol=1e-3, atol=1e-4)


def test_logits_equal_the_dense_formula_on_a_residual_network() -> None:
    policy, beta = _scaled(1), residual_network(6)
    np.testing.assert_allclose(_logits(policy, beta), gcn_logits(policy, beta), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", list(OPERATIONS))
@pytest.mark.parametrize("edge", [0, 1, 3, 4, 7, 8])
def test_an_operations_own_logits_depend_on_it(name: str, edge: int) -> None:
    """In the authors' code they do not: no self-loops, so that no operation reaches its own logits."""
    policy, beta = GCNPolicy(), residual_network(3)
    changed = with_operation(beta, edge, OPERATIONS[name])
    assert np.abs(_logits(policy, changed)[edge] - _logits(policy, beta)[edge]).max() > 1e-5


def test_logits_depend_on_the_operations_that_read_and_are_read() -> None:
    policy, beta = _scaled(), chain(3)
    changed = with_operation(beta, 1, OPERATIONS["max pool"])
    moved = np.abs(_logits(policy, changed) - _logits(policy, beta)).max(1)
    assert (moved > 1e-3).all()


@pytest.mark.parametrize("edge", range(7))
def test_an_edges_own_logits_depend_on_its_state(edge: int) -> None:
    policy, beta = GCNPolicy(), residual_network(2)
    state = State.S if beta.states[edge] is State.N else State.N
    changed = beta.with_states((*beta.states[:edge], state, *beta.states[edge + 1 :]))
    assert np.abs(_logits(policy, changed)[edge] - _logits(policy, beta)[edge]).max() > 1e-5


def test_without_self_loops_and_reverse_messages_an_operation_would_not_reach_its_own_logits() -> None:
    """Why A is not the released code's: with it, the first row of a chain sees no operation at all."""
    beta = chain(4)
    mixing = np.zeros((4, 4))
    for e, f in readers(beta.topology):
        mixing[f, e] = 1
    reach = mixing @ mixing
    assert not reach.diagonal().any()
    assert not reach[0].any()


def test_one_policy_serves_architectures_of_any_size() -> None:
    policy = GCNPolicy()
    assert [policy.logits(residual_network(n)).shape for n in (1, 4, 1)] == [(3, 3), (15, 3), (3, 3)]


def test_going_back_to_an_earlier_topology_gives_the_earlier_logits() -> None:
    policy = GCNPolicy()
    first = _logits(policy, residual_network(2))
    policy.logits(residual_network(3))
    np.testing.assert_array_equal(_logits(policy, residual_network(2)), first)


@pytest.mark.parametrize(("seeds", "same"), [((0, 0), True), ((0, 1), False)])
def test_initial_weights_follow_the_seed(seeds: Sequence[int], same: bool) -> None:
    one, other = (make_policy("gcn", seed=seed).state_dict() for seed in seeds)
    assert all(torch.equal(one[name], other[name]) for name in one if "weight" in name) is same


def test_making_a_policy_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    GCNPolicy(seed=7)
    assert torch.equal(torch.get_rng_state(), before)


def test_untrained_logits_are_small_beside_the_prior() -> None:
    assert float(GCNPolicy().logits(residual_network(5)).detach().abs().max()) < 0.5


def test_every_parameter_gets_a_gradient() -> None:
    policy = _scaled()
    torch.autograd.backward(policy.logits(residual_network(2)).square().sum())
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in policy.parameters())
