"""Parameters and multiply-adds: what counts, what counts once, and that nothing makes them grow."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natonnx.architecture import Architecture, Cost, Operation, State, Weight, cost, legal_transitions, violation
from natonnx.architecture.liveness import find_liveness
from tests.architecture import naive
from tests.architecture.examples import chain, residual_network
from tests.architecture.strategies import (
    Pair,
    architectures,
    legal_architectures,
    property_test,
    seeded,
    transformations,
)


@property_test
@given(architectures(known=False, cheaper=True))
def test_cost_counts_what_is_used_and_nothing_else(architecture: Architecture) -> None:
    assert tuple(cost(architecture)) == tuple(naive.cost(architecture))


@property_test
@given(architectures())
def test_cost_is_the_same_with_and_without_a_given_flow(architecture: Architecture) -> None:
    assert cost(architecture, find_liveness(architecture)) == cost(architecture)


@property_test
@given(transformations(known=False))
def test_no_legal_alpha_costs_more(pair: Pair) -> None:
    beta, alpha = pair
    if violation(alpha, beta) is None:
        assert not naive.grows(naive.cost(beta), naive.cost(alpha))


@property_test
@given(legal_architectures(cheaper=True), st.integers(0, 2**32 - 1))
def test_no_sequence_of_legal_transitions_costs_more_at_any_step(beta: Architecture, seed: int) -> None:
    architecture, chance = beta, seeded(seed)
    for _ in range(8):
        moves = [
            (e, after)
            for e, verdict in enumerate(legal_transitions(architecture))
            for after, reason in verdict.items()
            if reason is None
        ]
        if not moves:
            return
        before = naive.cost(architecture)
        architecture = naive.change(architecture, *chance.choice(moves))
        assert not naive.grows(before, naive.cost(architecture))


def _with_operation(architecture: Architecture, edge: int, **changes: object) -> Architecture:
    topology, operation = architecture.topology, architecture.topology.edges[edge].operation
    assert operation is not None
    edges = list(topology.edges)
    edges[edge] = replace(edges[edge], operation=replace(operation, **changes))  # type: ignore[arg-type]
    return replace(architecture, topology=replace(topology, edges=tuple(edges)))


def test_costs_add_up() -> None:
    assert cost(chain(3)) == Cost(30, 300)


def test_a_shared_weight_counts_once_and_its_multiplications_twice() -> None:
    first = chain(2).topology.edges[0].operation
    assert first is not None
    assert cost(_with_operation(chain(2), 1, weights=first.weights)) == Cost(10, 200)


def test_a_shared_weight_stays_while_one_of_its_users_does() -> None:
    first = chain(2).topology.edges[0].operation
    assert first is not None
    beta = _with_operation(chain(2), 1, weights=first.weights)
    assert cost(beta.with_states((State.S, State.O))) == Cost(10, 100)


def test_a_tensor_that_one_operation_uses_twice_counts_once() -> None:
    assert Operation("Conv", weights=(Weight("w", 7), Weight("w", 7), Weight("v", 1))).params == 8


def test_weights_of_a_live_map_count() -> None:
    beta = chain(1)
    maps = tuple(replace(fmap, weights=(Weight("slope", 8),)) for fmap in beta.topology.maps)
    assert cost(replace(beta, topology=replace(beta.topology, maps=maps))) == Cost(10 + 8, 100)


@pytest.mark.parametrize("branch", [(State.N, State.O), (State.O, State.N)])
def test_operations_behind_or_before_null_cost_nothing(branch: tuple[State, State]) -> None:
    assert cost(residual_network(1).with_states((*branch, State.S))) == Cost(0, 0)


def test_a_skip_costs_nothing() -> None:
    assert cost(chain(2).with_states((State.S, State.S))) == Cost(0, 0)


def test_one_unknown_count_makes_the_sum_unknown() -> None:
    assert cost(_with_operation(chain(2), 0, madds=None)) == Cost(20, None)


def test_an_unknown_count_that_is_not_used_does_not_matter() -> None:
    assert cost(_with_operation(chain(2), 0, madds=None).with_states((State.S, State.O))) == Cost(10, 100)


@pytest.mark.parametrize(
    ("after", "before", "grows"),
    [
        (Cost(5, 50), Cost(5, 50), False),
        (Cost(6, 40), Cost(5, 50), True),
        (Cost(4, 51), Cost(5, 50), True),
        (Cost(4, 40), Cost(5, 50), False),
        (Cost(4, 40), Cost(5, None), False),
        (Cost(5, None), Cost(5, None), False),
        (Cost(6, None), Cost(5, None), True),
        (Cost(5, None), Cost(5, 50), True),
    ],
)
def test_exceeds(after: Cost, before: Cost, grows: bool) -> None:
    """What was unknown before cannot be seen to grow; what becomes unknown cannot be seen not to."""
    assert after.exceeds(before) is grows
