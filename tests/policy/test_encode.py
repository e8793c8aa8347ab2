"""What a policy sees."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from natonnx.architecture import Architecture, FeatureMap, Operation, State, Weight
from natonnx.policy.encode import CHOICE, FEATURES, encode, encode_choices
from tests.architecture.examples import chain, residual_network, with_cheaper
from tests.architecture.strategies import architectures, property_test

OPERATIONS = {
    "conv": Operation("Conv", (3, 3), (1, 1), 1, (Weight("w", 100),), 5000),
    "wider kernel": Operation("Conv", (5, 5), (1, 1), 1, (Weight("w", 100),), 5000),
    "pointwise": Operation("Conv", (1, 1), (1, 1), 1, (Weight("w", 100),), 5000),
    "depthwise": Operation("Conv", (3, 3), (1, 1), 8, (Weight("w", 100),), 5000),
    "strided": Operation("Conv", (3, 3), (2, 2), 1, (Weight("w", 100),), 5000),
    "more weights": Operation("Conv", (3, 3), (1, 1), 1, (Weight("w", 200),), 5000),
    "more madds": Operation("Conv", (3, 3), (1, 1), 1, (Weight("w", 100),), 9000),
    "transposed": Operation("ConvTranspose", (3, 3), (1, 1), 1, (Weight("w", 100),), 5000),
    "dense": Operation("Gemm", (), (), 1, (Weight("w", 100),), 5000),
    "max pool": Operation("MaxPool", (3, 3), (1, 1)),
    "average pool": Operation("AveragePool", (3, 3), (1, 1)),
    "exotic": Operation("Einsum", (), (), 1, (Weight("w", 100),), 5000),
}


def with_operation(architecture: Architecture, edge: int, operation: Operation) -> Architecture:
    edges = list(architecture.topology.edges)
    edges[edge] = replace(edges[edge], operation=operation)
    return replace(architecture, topology=replace(architecture.topology, edges=tuple(edges)))


def with_maps(architecture: Architecture, **changes: Any) -> Architecture:
    maps: tuple[FeatureMap, ...] = tuple(replace(fmap, **changes) for fmap in architecture.topology.maps)
    return replace(architecture, topology=replace(architecture.topology, maps=maps))


@property_test
@given(architectures(known=False))
def test_one_row_of_finite_features_an_edge(architecture: Architecture) -> None:
    features = encode(architecture)
    assert features.shape == (len(architecture.states), FEATURES)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


@property_test
@given(architectures())
def test_features_are_of_the_order_of_one(architecture: Architecture) -> None:
    assert np.abs(encode(architecture)).max(initial=0) <= 4


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(OPERATIONS, 2)))
@pytest.mark.parametrize("edge", [0, 1, 3, 4])
def test_an_operations_row_tells_it_from_any_other(one: str, other: str, edge: int) -> None:
    beta = residual_network(2)
    rows = [encode(with_operation(beta, edge, OPERATIONS[name]))[edge] for name in (one, other)]
    assert np.abs(rows[0] - rows[1]).max() > 1e-3


@pytest.mark.parametrize("edge", range(7))
def test_a_states_row_tells_it_from_any_other(edge: int) -> None:
    beta = residual_network(2)
    rows = set()
    for state in (State.S, State.N):
        states = (*beta.states[:edge], state, *beta.states[edge + 1 :])
        rows.add(encode(beta.with_states(states))[edge].tobytes())
    assert len(rows) == 2


def test_edges_of_one_network_have_rows_of_their_own() -> None:
    assert len({row.tobytes() for row in encode(residual_network(3))}) == 11


def test_unknown_and_symbolic_shapes_are_no_obstacle() -> None:
    beta = with_operation(chain(2), 0, replace(OPERATIONS["depthwise"], madds=None))
    for shape in [(), ("n", None, None, None), ("n", "c", "h", "w"), ("n", 8)]:
        assert np.isfinite(encode(with_maps(beta, shape=shape))).all()


def test_the_encoding_of_a_topology_without_edges_is_empty() -> None:
    assert encode(chain(0)).shape == (0, FEATURES)


# Choices


def test_what_carries_a_cheaper_operation_looks_like_an_edge_that_has_it() -> None:
    """But for what it may become, and for the costs' shares of the whole."""
    beta = with_cheaper(chain(2))
    states = State("conv_1x1"), State.O
    small = beta.topology.edges[0].operations[states[0]]
    found, expected = encode(beta.with_states(states)), encode(with_operation(chain(2), 0, small))
    np.testing.assert_array_equal(found, expected)


def test_choices_are_told_by_letter_or_by_what_they_are_beside_the_edges_own() -> None:
    beta = with_cheaper(chain(2))
    choices = encode_choices(beta.topology)
    assert choices.shape == (2, 5, CHOICE)
    for row in choices:
        np.testing.assert_array_equal(row[:3, :3], np.eye(3))
        assert not row[:3, 3:].any()
        assert not row[3:, :3].any()
        assert row[3:, 3].tolist() == [1, 1]
    small, pool = choices[0, 3, -3:].tolist(), choices[0, 4, -3:].tolist()
    assert small == pytest.approx([-np.log2(9) / 4, np.log10(5 / 11) / 6, np.log10(41 / 101) / 8])
    assert pool == pytest.approx([0, -np.log10(11) / 6, -np.log10(101) / 8])
    assert not np.array_equal(choices[0, 3, 4:-3], choices[0, 4, 4:-3])
    assert encode_choices(chain(0).topology).shape == (0, 3, CHOICE)


def test_an_edge_with_fewer_choices_has_none_in_their_place() -> None:
    beta = with_cheaper(residual_network(2))
    (skip, *_) = [e for e, edge in enumerate(beta.topology.edges) if edge.operation is None]
    assert not encode_choices(beta.topology)[skip, 3:].any()
