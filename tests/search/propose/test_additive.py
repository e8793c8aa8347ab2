"""What is made where no look-up met a target."""

import pytest
import torch

from natonnx.architecture import Architecture
from natonnx.search.lookup import Lookups
from natonnx.search.price import Madds
from natonnx.search.propose.additive import compose_singles
from natonnx.search.propose.moves import Moves
from tests.architecture.examples import chain
from tests.search.propose.scores import additive


def _looked_at_singles(beta: Architecture, seed: int, count: int) -> Lookups:
    lookups = Lookups(beta, Madds(beta), additive(beta, seed), 100)
    lookups.score(beta)
    for move in Moves(beta, Madds(beta)).all[:count]:
        lookups.score(move.architecture)
    return lookups


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_best_where_all_cost_the_same_and_losses_add_up(seed: int) -> None:
    beta = chain(10)
    score = additive(beta, seed)
    lookups = _looked_at_singles(beta, seed, 10)
    found = compose_singles(lookups, Moves(beta, Madds(beta)), 0.7, torch.Generator())
    assert found is not None
    losses = sorted(score(beta) - score(move.architecture) for move in Moves(beta, Madds(beta)).all)
    assert score(beta) - score(found) == pytest.approx(sum(losses[:3]))
    assert lookups.used == 10


def test_what_is_not_known_comes_last() -> None:
    beta = chain(10)
    found = compose_singles(_looked_at_singles(beta, 0, 4), Moves(beta, Madds(beta)), 0.6, torch.Generator())
    assert found is not None
    changed = [i for i, states in enumerate(zip(found.states, beta.states, strict=True)) if states[0] is not states[1]]
    assert changed == [move.edge for move in Moves(beta, Madds(beta)).all[:4]]


def test_without_any_look_up_some_alpha_is_made_if_there_is_one() -> None:
    beta = chain(10)
    lookups = Lookups(beta, Madds(beta), additive(beta, 0), 0)
    found = compose_singles(lookups, Moves(beta, Madds(beta)), 0.5, torch.Generator())
    assert found is not None
    assert lookups.share(found) <= 0.5
    assert compose_singles(lookups, Moves(beta, Madds(beta)), -1.0, torch.Generator()) is None
