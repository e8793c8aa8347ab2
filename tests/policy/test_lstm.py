"""The baseline without a graph: against torch's own layer run by hand, and that only the order matters."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from natonnx.policy.encode import FEATURES, encode
from natonnx.policy.graph import edge_graph
from natonnx.policy.lstm import LSTMPolicy
from tests.architecture.examples import chain, residual_network
from tests.policy.references import choices_of, seeded


def _scaled(layers: int = 1) -> LSTMPolicy:
    """A policy whose head is not near zero."""
    policy = LSTMPolicy(hidden=16, layers=layers)
    with torch.no_grad():
        policy.head.letters.weight.mul_(20)
    return policy


def _logits(policy: LSTMPolicy, features: Tensor) -> Tensor:
    topology = chain(len(features)).topology
    found: Tensor = policy(features, choices_of(topology), edge_graph(topology))
    return found.detach()


def _one_way(policy: LSTMPolicy, layer: int, suffix: str, sequence: Tensor) -> Tensor:
    """One direction of one layer, by an LSTM of its own: [edges, width] → [edges, hidden]."""
    lstm = nn.LSTM(sequence.shape[1], policy.lstm.hidden_size)
    names = [name.removesuffix("_l0") for name in lstm.state_dict()]
    lstm.load_state_dict({f"{name}_l0": policy.lstm.state_dict()[f"{name}_l{layer}{suffix}"] for name in names})
    found: Tensor = lstm(sequence[:, None])[0][:, 0]
    return found


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("blocks", [1, 4])
def test_logits_are_those_of_two_lstms_one_of_them_backwards(layers: int, blocks: int) -> None:
    policy, beta = _scaled(layers), residual_network(blocks)
    sequence = torch.from_numpy(encode(beta))
    for layer in range(layers):
        forwards = _one_way(policy, layer, "", sequence)
        backwards = _one_way(policy, layer, "_reverse", sequence.flip(0)).flip(0)
        sequence = torch.cat([forwards, backwards], 1)
    expected = sequence @ policy.head.letters.weight.T + policy.head.letters.bias
    torch.testing.assert_close(policy.logits(beta), expected, rtol=1e-4, atol=1e-5)


def test_order_matters() -> None:
    policy, features = _scaled(), torch.randn(6, FEATURES, generator=seeded())
    order = [0, 1, 3, 2, 4, 5]
    moved = (_logits(policy, features[order]) - _logits(policy, features)[order]).abs().amax(1)
    assert float(moved.min()) > 1e-4


def test_each_edge_sees_those_before_it_and_those_after_it() -> None:
    policy, features = _scaled(), torch.randn(6, FEATURES, generator=seeded())
    for changed in range(6):
        other = features.clone()
        other[changed] += 1
        assert float((_logits(policy, other) - _logits(policy, features)).abs().amax(1).min()) > 0


def test_what_touches_does_not_matter() -> None:
    policy, features = _scaled(), torch.randn(7, FEATURES, generator=seeded())
    one, other = (
        policy(features, choices_of(beta.topology), edge_graph(beta.topology))
        for beta in (chain(7), residual_network(2))
    )
    np.testing.assert_array_equal(one.detach(), other.detach())
