"""Which edges touch: the three relations, and means over them."""

import dgl
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from natonnx.architecture import Architecture
from natonnx.policy.graph import RELATIONS, Graph, aggregate, edge_graph
from tests.architecture.examples import chain, residual_network
from tests.architecture.strategies import architectures, property_test
from tests.policy.references import dense, mean_over, relations, seeded

either = st.one_of(architectures(), architectures(10, concats=True))


def _pairs(graph: Graph, relation: str) -> list[tuple[int, int]]:
    first, second = graph.edges(etype=relation)
    return list(zip(first.tolist(), second.tolist(), strict=True))


@property_test
@given(either)
def test_relations_are_those_of_the_definition_each_pair_once(architecture: Architecture) -> None:
    graph, expected = edge_graph(architecture.topology), relations(architecture.topology)
    assert graph.num_nodes() == len(architecture.states)
    assert set(graph.etypes) == set(RELATIONS) == expected.keys()
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
def test_aggregate_is_the_mean_over_the_neighbours(architecture: Architecture, relation: str) -> None:
    count = len(architecture.states)
    values = torch.randn(count, 5, generator=seeded(), dtype=torch.float64)
    expected = mean_over(dense(relations(architecture.topology)[relation], count), values.numpy())
    found = aggregate(edge_graph(architecture.topology), relation, values)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("relation", RELATIONS)
def test_architectures_of_a_batch_do_not_mix(relation: str) -> None:
    topologies = [one.topology for one in (residual_network(2), chain(0), chain(3), residual_network(1))]
    values = [torch.randn(len(one.edges), 4, generator=seeded(i)) for i, one in enumerate(topologies)]
    together = aggregate(dgl.batch([edge_graph(one) for one in topologies]), relation, torch.cat(values))
    alone = [aggregate(edge_graph(one), relation, value) for one, value in zip(topologies, values, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_aggregate_leaves_nothing_in_the_graph() -> None:
    graph = edge_graph(chain(3).topology)
    aggregate(graph, "feeds", torch.ones(3, 2))
    assert dict(graph.ndata) == {}


def test_gradients_go_to_the_neighbours() -> None:
    values = torch.ones(3, 1, requires_grad=True)
    torch.autograd.backward(aggregate(edge_graph(chain(3).topology), "feeds", values).sum())
    assert values.grad is not None
    assert values.grad.flatten().tolist() == [1, 1, 0]  # the last one feeds nobody
