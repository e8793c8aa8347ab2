"""The paper's policy: against a dense reference, and that it sees the operations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from natonnx.architecture import Architecture, State
from natonnx.policy.encode import encode
from natonnx.policy.gcn import GCNPolicy
from natonnx.policy.graph import edge_graph
from tests.architecture.examples import chain, residual_network
from tests.architecture.strategies import architectures, property_test
from tests.policy.references import choices_of, gcn_logits
from tests.policy.test_encode import OPERATIONS, with_operation


def _scaled(seed: int = 0, *, layers: int = 2, directed: bool = False, loops: bool = True) -> GCNPolicy:
    """A policy whose head is not near zero, so that differences show."""
    policy = GCNPolicy(seed=seed, layers=layers, directed=directed, loops=loops)
    with torch.no_grad():
        policy.head.letters.weight.mul_(20)
        for name, bias in policy.named_parameters():
            if name.endswith("bias"):
                bias.copy_(torch.linspace(-0.5, 0.5, len(bias)))
    return policy


def _logits(policy: GCNPolicy, architecture: Architecture) -> np.ndarray:
    found: np.ndarray = policy.logits(architecture).detach().numpy()
    return found


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("loops", [False, True])
@settings(property_test, max_examples=30)
@given(architectures(known=False, cheaper=True).filter(lambda architecture: len(architecture.states) > 0))
def test_logits_equal_the_dense_formula(directed: bool, loops: bool, architecture: Architecture) -> None:
    policy = _scaled(directed=directed, loops=loops)
    np.testing.assert_allclose(_logits(policy, architecture), gcn_logits(policy, architecture), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_logits_equal_the_dense_formula_on_a_residual_network(layers: int) -> None:
    policy, beta = _scaled(1, layers=layers), residual_network(6)
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
    state = State.S if beta.states[edge] == State.N else State.N
    changed = beta.with_states((*beta.states[:edge], state, *beta.states[edge + 1 :]))
    assert np.abs(_logits(policy, changed)[edge] - _logits(policy, beta)[edge]).max() > 1e-5


# The released code's A: directed, without loops


def _seen_by(policy: GCNPolicy, length: int, edge: int) -> list[bool]:
    """Whose logits change as an operation of a chain becomes others."""
    beta, moved = chain(length), np.zeros(length)
    for operation in OPERATIONS.values():
        changed = encode(with_operation(beta, edge, operation))
        features = encode(beta)
        features[edge] = changed[edge]  # its own row alone: others' shares of the whole change too
        graph = edge_graph(beta.topology)
        choices = choices_of(beta.topology)
        both = [policy(torch.from_numpy(rows), choices, graph).detach().numpy() for rows in (features, encode(beta))]
        moved = np.maximum(moved, np.abs(both[0] - both[1]).max(1))
    return [bool(much > 1e-5) for much in moved]


@pytest.mark.parametrize("edge", range(5))
def test_without_loops_and_reverse_messages_no_operation_reaches_its_own_logits(edge: int) -> None:
    """Two layers lead exactly two edges downstream; with both stated deviations, up to two either way."""
    assert _seen_by(_scaled(directed=True, loops=False), 5, edge) == [e == edge + 2 for e in range(5)]
    assert _seen_by(_scaled(), 5, edge) == [abs(e - edge) <= 2 for e in range(5)]


@pytest.mark.parametrize("edge", range(5))
def test_either_deviation_alone_lets_an_operation_reach_its_own_logits(edge: int) -> None:
    assert _seen_by(_scaled(directed=True), 5, edge) == [0 <= e - edge <= 2 for e in range(5)]
    assert _seen_by(_scaled(loops=False), 5, edge) == [abs(e - edge) in (0, 2) for e in range(5)]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_each_layer_leads_one_edge_further(layers: int) -> None:
    assert _seen_by(_scaled(layers=layers), 9, 4) == [abs(e - 4) <= layers for e in range(9)]
