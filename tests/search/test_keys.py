"""Architectures as text."""

from hypothesis import given

from natonnx.architecture import Architecture, State
from natonnx.search.keys import from_key, key, signature
from natonnx.search.price import Madds
from natonnx.search.propose.moves import Moves
from tests.architecture import naive
from tests.architecture.examples import residual_network, with_cheaper
from tests.architecture.strategies import Pair, legal_architectures, property_test, transformations


@property_test
@given(transformations(existing=False, cheaper=True))
def test_text_leads_back(pair: Pair) -> None:
    for architecture in pair:
        assert from_key(pair[0], key(architecture)) == architecture


def test_states_are_letters_and_names() -> None:
    beta = with_cheaper(residual_network(1))
    assert key(beta) == "OOS"
    alpha = beta.with_states((State("conv_1x1"), State.O, State.S))
    assert key(alpha) == signature(alpha) == "<conv_1x1>OS"
    assert signature(beta.with_states((State("conv_1x1"), State.N, State.S))) == "NNS"


@property_test
@given(legal_architectures(cheaper=True))
def test_a_signature_says_what_works(beta: Architecture) -> None:
    used = zip(beta.states, naive.active(beta), strict=True)
    assert from_key(beta, signature(beta)).states == tuple(state if works else State.N for state, works in used)


def test_moves_have_the_signatures_of_their_architectures() -> None:
    beta = with_cheaper(residual_network(3))
    moves = Moves(beta, Madds(beta))
    assert [moves.signature(i) for i in range(len(moves.all))] == [signature(move.architecture) for move in moves.all]
    assert {"conv_1x1", "avg_pool_3x3", "S", "N"} == {move.state for move in moves.all}
