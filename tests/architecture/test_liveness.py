"""Null propagation against the rules repeated until nothing changes."""

import numpy as np
import pytest
from hypothesis import given

from natonnx.architecture import Architecture, Edge, FeatureMap, Join, Skip, State, Topology, find_liveness
from natonnx.architecture.concat_legality import ConcatLegality
from natonnx.architecture.fatal import fatal_maps
from tests.architecture import naive
from tests.architecture.examples import SHAPE, chain, conv, residual_network
from tests.architecture.strategies import architectures, legal_architectures, property_test


def _fatal(architecture: Architecture) -> np.ndarray:
    state = find_liveness(architecture)
    verdicts = ConcatLegality(architecture, state).verdicts
    return np.array([reason is not None for reason in fatal_maps(architecture, state, verdicts)])


def _named(architecture: Architecture, flags: np.ndarray) -> set[str]:
    return {fmap.name for fmap, flag in zip(architecture.topology.maps, flags, strict=True) if flag}


@property_test
@given(architectures())
def test_live_maps_are_those_that_input_reaches(architecture: Architecture) -> None:
    assert _named(architecture, find_liveness(architecture).live) == naive.live(architecture)


@property_test
@given(architectures())
def test_needed_maps_are_those_that_reach_an_output(architecture: Architecture) -> None:
    assert _named(architecture, find_liveness(architecture).needed) == naive.needed(architecture)


@property_test
@given(architectures())
def test_active_edges_carry_something_that_is_used(architecture: Architecture) -> None:
    assert find_liveness(architecture).active.tolist() == naive.active(architecture)


@property_test
@given(architectures())
def test_broken_exactly_when_an_output_or_a_needed_fixed_node_starves(architecture: Architecture) -> None:
    assert (find_liveness(architecture).broken is not None) == naive.broken(architecture)


@property_test
@given(architectures())
def test_why_it_is_broken_is_one_line(architecture: Architecture) -> None:
    reason = find_liveness(architecture).broken
    assert reason is None or (reason.strip() == reason != "" and "\n" not in reason)


@property_test
@given(legal_architectures())
def test_fatal_maps_are_those_whose_death_alone_breaks_it(architecture: Architecture) -> None:
    """Of the maps that edges feed: a fixed node has no death of its own, it dies with an input."""
    fatal = _fatal(architecture)
    fed = [(i, fmap.name) for i, fmap in enumerate(architecture.topology.maps) if fmap.join is not Join.OPAQUE]
    assert {name for i, name in fed if fatal[i]} == {
        name for _, name in fed if name in naive.live(architecture) and naive.broken(architecture, {name})
    }


def test_every_map_of_a_chain_is_fatal() -> None:
    beta = chain(4)
    assert _fatal(beta).all()


def test_a_branch_beside_a_skip_is_not_fatal() -> None:
    beta = residual_network(2)
    fatal = _fatal(beta)
    assert _named(beta, fatal) == {"out0", "out1", "out2"}


def test_a_dead_output_is_named() -> None:
    dead = chain(2).with_states((State.N, State.O))
    assert find_liveness(dead).broken == "the model's output 'map2' would no longer depend on its input"


def _product(states: tuple[State, ...]) -> Architecture:
    """x -a-> left, x -b-> right; product reads both; y = product + x."""
    maps = (
        FeatureMap("x", SHAPE, Join.INPUT),
        FeatureMap("left", SHAPE, Join.SINGLE),
        FeatureMap("right", SHAPE, Join.SINGLE),
        FeatureMap("product", SHAPE, Join.OPAQUE, ("left", "right")),
        FeatureMap("y", SHAPE, Join.SUM),
    )
    edges = (
        Edge("a", "x", "left", conv("a"), Skip(4)),
        Edge("b", "x", "right", conv("b"), Skip(4)),
        Edge("product->y", "product", "y", None, Skip(4)),
        Edge("x->y", "x", "y", None, Skip(4)),
    )
    return Architecture(Topology(maps, edges, ("y",)), states)


def test_a_fixed_node_dies_with_any_of_its_inputs() -> None:
    state = find_liveness(_product((State.N, State.O, State.S, State.S)))
    assert state.live.tolist() == [True, False, True, False, True]


def test_a_starving_fixed_node_that_is_needed_is_named() -> None:
    state = find_liveness(_product((State.N, State.O, State.S, State.S)))
    assert state.broken == "the fixed node that makes 'product' would lose an input"


def test_a_starving_fixed_node_that_nobody_reads_breaks_nothing() -> None:
    state = find_liveness(_product((State.N, State.O, State.N, State.S)))
    assert state.broken is None
    assert state.active.tolist() == [False, False, False, True]


def test_the_inputs_of_a_needed_fixed_node_are_fatal() -> None:
    beta = _product((State.O, State.O, State.S, State.S))
    assert _named(beta, _fatal(beta)) >= {"x", "left", "right", "y"}


@pytest.mark.parametrize("states", [(), (State.O,)])
def test_flags_have_one_entry_a_map_and_an_edge(states: tuple[State, ...]) -> None:
    state = find_liveness(chain(len(states)))
    assert (len(state.live), len(state.needed), len(state.active)) == (len(states) + 1, len(states) + 1, len(states))
