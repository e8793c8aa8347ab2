"""Our policy: against a dense reference, and that it tells upstream from downstream."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from numpy.typing import NDArray
from torch import Tensor, nn

from natonnx.architecture import Architecture, Edge, FeatureMap, Join, Skip, State, Topology
from natonnx.policy.base import Policy
from natonnx.policy.directed import DirectedGCNPolicy
from natonnx.policy.encode import FEATURES, encode
from natonnx.policy.gcn import GCNPolicy
from natonnx.policy.graph import edge_graph
from tests.architecture.examples import SHAPE, chain, conv, residual_network
from tests.architecture.strategies import architectures, property_test
from tests.policy.references import choices_of, directed_logits, seeded
from tests.policy.test_encode import OPERATIONS, with_operation


def _scaled(layers: int = 3, seed: int = 0) -> DirectedGCNPolicy:
    """A policy whose head is not near zero, and whose normalisations and biases are not as at the start."""
    policy = DirectedGCNPolicy(hidden=16, layers=layers, seed=seed)
    with torch.no_grad():
        policy.head.letters.weight.mul_(20)
        policy.head.cheaper.weight.mul_(20)
        for module in policy.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.copy_(torch.linspace(0.5, 1.5, len(module.weight)))
            if isinstance(module, nn.LayerNorm | nn.Linear):
                module.bias.copy_(torch.linspace(-0.5, 0.5, len(module.bias)))
    return policy


def _logits(policy: Policy, features: Tensor, topology: Topology) -> NDArray[np.float32]:
    found: NDArray[np.float32] = policy(features, choices_of(topology), edge_graph(topology)).detach().numpy()
    return found


@settings(property_test, max_examples=60)
@given(architectures(known=False) | architectures(known=False, cheaper=True))
def test_logits_equal_the_dense_formula(architecture: Architecture) -> None:
    policy = _scaled()
    expected = directed_logits(policy, encode(architecture).astype(np.float64), architecture.topology)
    np.testing.assert_allclose(policy.logits(architecture).detach(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("layers", [0, 1, 2, 5])
def test_logits_equal_the_dense_formula_at_any_depth(layers: int) -> None:
    policy, beta = _scaled(layers, seed=1), residual_network(5)
    expected = directed_logits(policy, encode(beta).astype(np.float64), beta.topology)
    np.testing.assert_allclose(policy.logits(beta).detach(), expected, rtol=1e-3, atol=1e-3)


# Upstream and downstream


def _ends_swapped() -> tuple[Topology, Tensor, Tensor]:
    """A chain of three edges, and their features before and after the outer two change places."""
    features = torch.randn(3, FEATURES, generator=seeded())
    return chain(3).topology, features, features[[2, 1, 0]]


def test_upstream_and_downstream_are_told_apart() -> None:
    topology, features, swapped = _ends_swapped()
    for layers in (1, 2, 3):
        policy = _scaled(layers)
        moved = np.abs(_logits(policy, features, topology)[1] - _logits(policy, swapped, topology)[1])
        assert moved.max() > 0.05


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_papers_policy_cannot_tell_them_apart(layers: int) -> None:
    """A + Aᵀ of a chain is the same read backwards: so are the logits, and those of the middle edge stay."""
    topology, features, swapped = _ends_swapped()
    policy = GCNPolicy(layers=layers)
    with torch.no_grad():
        policy.head.letters.weight.mul_(20)
    before, after = _logits(policy, features, topology), _logits(policy, swapped, topology)
    assert np.abs(before[0] - before[1]).max() > 0.05
    np.testing.assert_allclose(after, before[::-1], atol=1e-5)


def test_the_papers_policy_with_directed_messages_sees_upstream_only() -> None:
    topology, features, _ = _ends_swapped()
    policy = GCNPolicy(directed=True)
    for changed, seen in [(0, [True, True, True]), (1, [False, True, True]), (2, [False, False, True])]:
        other = features.clone()
        other[changed] += 1
        moved = np.abs(_logits(policy, other, topology) - _logits(policy, features, topology)).max(1)
        assert (moved > 0).tolist() == seen


# Who sees whom


def test_members_of_a_join_see_each_other() -> None:
    """Edges 0 and 1 enter one map, 2 and 3 another: as 1 and 2 change places, the mean of all edges stays."""
    maps = [FeatureMap("x", SHAPE, Join.INPUT), FeatureMap("y", SHAPE, Join.SUM), FeatureMap("z", SHAPE, Join.SUM)]
    edges = [Edge(f"conv{i}", "x", "yyzz"[i], conv(f"conv{i}"), Skip(4)) for i in range(4)]
    topology = Topology(tuple(maps), tuple(edges), ("y", "z"))
    features = torch.randn(4, FEATURES, generator=seeded())
    policy = _scaled(1)
    moved = np.abs(_logits(policy, features, topology) - _logits(policy, features[[0, 2, 1, 3]], topology)).max(1)
    assert moved[[0, 3]].min() > 0.05


@pytest.mark.parametrize("edge", [0, 9])
def test_every_edge_sees_every_operation_in_one_layer(edge: int) -> None:
    """Through the mean of the whole architecture, ten edges away too."""
    policy, beta = _scaled(1), chain(10)
    changed = with_operation(beta, edge, OPERATIONS["max pool"])
    moved = (policy.logits(changed) - policy.logits(beta)).detach().abs().amax(1)
    assert float(moved.min()) > 1e-4


@pytest.mark.parametrize("edge", range(7))
def test_an_edges_own_logits_depend_on_its_state(edge: int) -> None:
    policy, beta = DirectedGCNPolicy(), residual_network(2)
    state = State.S if beta.states[edge] == State.N else State.N
    changed = beta.with_states((*beta.states[:edge], state, *beta.states[edge + 1 :]))
    assert float((policy.logits(changed) - policy.logits(beta))[edge].detach().abs().max()) > 1e-5


def test_the_order_of_the_edges_does_not_matter() -> None:
    """Only what touches does: as edges are listed in another order, their logits follow them."""
    beta, order = residual_network(3), [5, 2, 9, 0, 10, 4, 1, 7, 3, 8, 6]
    edges = tuple(beta.topology.edges[e] for e in order)
    topology = Topology(beta.topology.maps, edges, beta.topology.outputs)
    policy, features = _scaled(), torch.from_numpy(encode(beta))
    before, after = _logits(policy, features, beta.topology), _logits(policy, features[order], topology)
    np.testing.assert_allclose(after, before[order], rtol=1e-4, atol=1e-5)
