"""Transitions of β, and which of them an α holds."""

from itertools import combinations

import numpy as np
from hypothesis import given

from natonnx.architecture import Architecture, State, cost, violation
from natonnx.search.keys import signature
from natonnx.search.price import Madds
from natonnx.search.propose.moves import Moves
from tests.architecture import naive
from tests.architecture.examples import chain, residual_network
from tests.architecture.strategies import legal_architectures, property_test


@given(legal_architectures(concats=True))
@property_test
def test_there_is_one_for_each_thing_that_a_legal_transition_computes(beta: Architecture) -> None:
    moves = Moves(beta, Madds(beta))
    computed = set()
    for edge in range(len(beta.states)):
        for state in naive.TRANSITIONS[beta.states[edge]]:
            if state is State.S and beta.topology.edges[edge].skip is None:
                continue
            alpha = beta.with_states((*beta.states[:edge], state, *beta.states[edge + 1 :]))
            if violation(alpha, beta) is None:
                computed.add(signature(alpha))
    texts = [signature(move.architecture) for move in moves.all]
    assert len(set(texts)) == len(texts)
    assert set(texts) <= computed - {signature(beta)}


@given(legal_architectures())
@property_test
def test_each_saves_what_it_saves(beta: Architecture) -> None:
    full = cost(beta).madds or 0
    for move in Moves(beta, Madds(beta)).all:
        assert move.saved == ((full - (cost(move.architecture).madds or 0)) / full if full else 0)


def test_a_single_transition_holds_itself() -> None:
    moves = Moves(residual_network(4), Madds(residual_network(4)))
    held = moves.within([move.architecture for move in moves.all])
    assert np.array_equal(held, np.eye(len(moves.all), dtype=bool))


def test_beta_holds_none() -> None:
    assert not Moves(chain(4), Madds(chain(4))).within([chain(4)]).any()


def test_what_goes_together_is_held_together() -> None:
    beta = chain(5)
    moves = Moves(beta, Madds(beta))
    for chosen in combinations(range(5), 2):
        alpha = moves.compose(chosen)
        assert alpha is not None
        assert np.flatnonzero(moves.within([alpha])[0]).tolist() == list(chosen)


def test_a_transition_within_another_one_does_not_count_beside_it() -> None:
    """a1 to S is part of the block's removal: composed, they compute what the removal does."""
    beta = residual_network(3)
    moves = Moves(beta, Madds(beta))
    named = {(beta.topology.edges[move.edge].name, move.state.value): i for i, move in enumerate(moves.all)}
    part, whole = named["a1", "S"], named.get(("b1", "N"), named.get(("a1", "N"), -1))
    both = moves.compose([part, whole])
    assert both is not None
    assert signature(both) == signature(moves.all[whole].architecture)
    assert np.flatnonzero(moves.within([both])[0]).tolist() == [whole]


def test_idle_ones_change_nothing() -> None:
    beta = residual_network(3)
    moves = Moves(beta, Madds(beta))
    for held in combinations(range(len(moves.all)), 2):
        alpha = moves.compose(held)
        if alpha is None:
            continue
        for i in np.flatnonzero(moves.idle(held)).tolist():
            if moves.all[i].edge in {moves.all[j].edge for j in held}:
                continue
            more = moves.compose((*held, i))
            assert more is None or signature(more) == signature(alpha)
