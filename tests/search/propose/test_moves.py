"""Transitions of β, and which of them an α holds."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from natonnx.architecture import Architecture, State, cost, violation
from natonnx.search.keys import signature
from natonnx.search.price import Madds
from natonnx.search.propose.moves import Moves
from tests.architecture import naive
from tests.architecture.examples import chain, residual_network
from tests.architecture.strategies import legal_architectures, property_test, seeded


@given(legal_architectures(concats=True) | legal_architectures(cheaper=True))
@property_test
def test_there_is_one_for_each_thing_that_a_legal_transition_computes(beta: Architecture) -> None:
    moves = Moves(beta, Madds(beta))
    computed = set()
    for edge in range(len(beta.states)):
        for state in naive.transitions(beta.topology.edges[edge], beta.states[edge]):
            if state == State.S and beta.topology.edges[edge].skip is None:
                continue
            alpha = beta.with_states((*beta.states[:edge], state, *beta.states[edge + 1 :]))
            if violation(alpha, beta) is None:
                computed.add(signature(alpha))
    texts = [signature(move.architecture) for move in moves.all]
    assert len(set(texts)) == len(texts)
    assert set(texts) <= computed - {signature(beta)}


@given(legal_architectures(cheaper=True))
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
    named = {(beta.topology.edges[move.edge].name, str(move.state)): i for i, move in enumerate(moves.all)}
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


def _changes(beta: Architecture, alpha: Architecture) -> set[tuple[int, str]]:
    """Edges that compute something else, and what."""
    pairs = zip(signature(beta), signature(alpha), strict=True)
    return {(e, now) for e, (own, now) in enumerate(pairs) if own != now}


@settings(property_test, max_examples=60)
@given(legal_architectures(10, concats=True), st.integers(0, 2**32 - 1))
def test_what_is_held_and_what_is_idle_is_told_by_sets_of_changes(beta: Architecture, seed: int) -> None:
    chance, moves = seeded(seed), Moves(beta, Madds(beta))
    each = [_changes(beta, move.architecture) for move in moves.all]
    assert [moves.signature(i) for i in range(len(each))] == [signature(move.architecture) for move in moves.all]
    for _ in range(4):
        chosen = chance.sample(range(len(each)), min(len(each), chance.randint(0, 4)))
        idle = [i in chosen or any(each[i] < each[j] for j in chosen) for i in range(len(each))]
        assert moves.idle(chosen).tolist() == idle
        states = list(beta.states)
        for i in chosen:
            states[moves.all[i].edge] = moves.all[i].state
        alpha = beta.with_states(tuple(states))
        assert moves.compose(chosen) == (alpha if violation(alpha, beta) is None else None)
        held = [one <= _changes(beta, alpha) for one in each]
        inside = [any(held[j] and each[i] < each[j] for j in range(len(each))) for i in range(len(each))]
        expected = [is_held and not within for is_held, within in zip(held, inside, strict=True)]
        assert moves.within([alpha, beta]).tolist() == [expected, [False] * len(each)]
