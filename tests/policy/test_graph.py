"""Which edges touch: the three relations, and means over them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from natonnx.architecture import Architecture
from natonnx.policy.graph import RELATIONS, Graph, edge_graph, joined
from tests.architecture.examples import chain, residual_network
from tests.architecture.strategies import architectures, property_test
from tests.policy.backends import BACKENDS, summed_by
from tests.policy.references import dense, mean_over, relations, seeded

either = st.one_of(architectures(), architectures(10, concats=True))


def _pairs(graph: Graph, relation: str) -> list[tuple[int, int]]:
    links = graph.links[relation]
    return list(zip(links.sources.tolist(), links.targets.tolist(), strict=True))


@property_test
@given(either)
def test_relations_are_those_of_the_definition_each_pair_once(architecture: Architecture) -> None:
    graph, expected = edge_graph(architecture.topology), relations(architecture.topology)
    assert graph.nodes == len(architecture.states)
    assert graph.sizes.tolist() == [graph.nodes]
    assert set(graph.links) == set(RELATIONS) == expected.keys()
    for relation in RELATIONS:
        assert sorted(_pairs(graph, relation)) == sorted(expected[relation])


def test_relations_of_a_residual_block_are_as_drawn() -> None:
    """out0 -a-> mid1 -b-> out1 with a skip around it."""
    a, b, skip = range(3)
    graph = edge_graph(residual_network(1).topology)
    assert _pairs(graph, "feeds") == [(a, b)]
    assert _pairs(graph, "reads") == [(b, a)]
    assert sorted(_pairs(graph, "joins")) == [(b, skip), (skip, b)]


def test_states_do_not_matter() -> None:
    """Null edges count, as in the paper."""
    beta = residual_network(2)
    graph = edge_graph(beta.topology)
    assert _pairs(graph, "feeds") == sorted(relations(beta.topology)["feeds"], key=lambda pair: (pair[1], pair[0]))
    assert any(beta.states[e] == "N" for pair in _pairs(graph, "joins") for e in pair)


def test_the_same_topology_gives_the_same_graph() -> None:
    assert edge_graph(residual_network(2).topology) is edge_graph(residual_network(2).topology)


@property_test
@given(either, st.sampled_from(RELATIONS))
def test_means_are_over_the_neighbours(architecture: Architecture, relation: str) -> None:
    count = len(architecture.states)
    values = torch.randn(count, 5, generator=seeded(), dtype=torch.float64)
    expected = mean_over(dense(relations(architecture.topology)[relation], count), values.numpy())
    found = edge_graph(architecture.topology).links[relation].mean(values)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("relation", RELATIONS)
def test_architectures_of_a_batch_do_not_mix(relation: str) -> None:
    topologies = [one.topology for one in (residual_network(2), chain(0), chain(3), residual_network(1))]
    values = [torch.randn(len(one.edges), 4, generator=seeded(i)) for i, one in enumerate(topologies)]
    together = joined([edge_graph(one) for one in topologies]).links[relation].mean(torch.cat(values))
    alone = [edge_graph(one).links[relation].mean(value) for one, value in zip(topologies, values, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_joined_graphs_can_be_joined_again() -> None:
    parts = [edge_graph(one.topology) for one in (residual_network(2), chain(0), chain(3))]
    once, twice = joined(parts), joined([joined(parts[:2]), parts[2]])
    assert once.sizes.tolist() == twice.sizes.tolist() == [7, 0, 3]
    assert [_pairs(once, name) for name in RELATIONS] == [_pairs(twice, name) for name in RELATIONS]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_mean_of_each_architecture_goes_back_to_its_edges(backend: str) -> None:
    graph = joined([edge_graph(one.topology) for one in (chain(2), chain(0), chain(3))])
    values = torch.tensor([[1.0], [2], [3], [4], [8]], requires_grad=True)
    with summed_by(backend):
        means = graph.mean(values)
        spread = graph.spread(means)
        torch.autograd.backward(spread[1])
    assert means.flatten().tolist() == [1.5, 0, 5]
    assert spread.flatten().tolist() == [1.5, 1.5, 5, 5, 5]
    assert values.grad is not None
    assert values.grad.flatten().tolist() == [0.5, 0.5, 0, 0, 0]


def test_gradients_go_to_the_neighbours() -> None:
    values = torch.ones(3, 1, requires_grad=True)
    torch.autograd.backward(edge_graph(chain(3).topology).links["feeds"].mean(values).sum())
    assert values.grad is not None
    assert values.grad.flatten().tolist() == [1, 1, 0]  # the last one feeds nobody
