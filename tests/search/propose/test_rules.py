"""What every proposer keeps to, on any graph and whatever scores it gets."""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from natonnx.architecture import Architecture, State, violation
from natonnx.policy import PROPOSERS
from natonnx.search.keys import signature
from natonnx.search.lookup import Lookups
from natonnx.search.price import Madds, Params, Price
from natonnx.search.propose import make_proposer
from natonnx.search.propose.moves import Moves
from tests.architecture.examples import chain, residual_network
from tests.architecture.strategies import legal_architectures, property_test
from tests.search.propose.scores import Score, additive, all_alphas, arbitrary

KINDS = ("any", "equal", "tiny", "huge", "hopeless", "bad", "undefined")


def _searched(
    method: str,
    beta: Architecture,
    score: Score,
    limit: int,
    targets: list[float],
    seed: int = 0,
    price: Price | None = None,
) -> tuple[Lookups, list[Architecture]]:
    """Look-ups after a proposer has worked, and what the score was asked for, in order."""
    asked: list[Architecture] = []

    def counted(alpha: Architecture) -> float:
        asked.append(alpha)
        return score(alpha)

    lookups = Lookups(beta, price or Madds(beta), counted, limit)
    make_proposer(method, seed=seed).propose(lookups, targets, torch.Generator().manual_seed(seed))
    return lookups, asked


def _check(method: str, beta: Architecture, score: Score, limit: int, targets: list[float], seed: int) -> None:
    lookups, asked = _searched(method, beta, score, limit, targets, seed)
    texts = [signature(alpha) for alpha in asked]
    assert len(set(texts)) == len(texts), "looked up twice"
    assert lookups.used == len([text for text in texts if text != signature(beta)]) <= limit
    singles = {signature(move.architecture) for move in Moves(beta, lookups.price).all}
    for alpha, text in zip(asked, texts, strict=True):
        assert violation(alpha, beta) is None
        free = method in ("greedy", "beam") or text in singles or text == signature(beta)
        assert free or lookups.share(alpha) <= max(targets)
    for target in targets:
        within = lookups.within(target)
        values = [entry.score for entry in lookups.entries.values() if entry.share <= target]
        assert not within or within[0].score == max(e.score for e in within) <= max(values)
    _, repeated = _searched(method, beta, score, limit, targets, seed)
    assert [alpha.states for alpha in repeated] == [alpha.states for alpha in asked]


@pytest.mark.parametrize("method", ["greedy", "beam", "evolution", "random"])
@given(
    beta=st.one_of(legal_architectures(), legal_architectures(12, concats=True)),
    kind=st.sampled_from(KINDS),
    limit=st.integers(0, 15),
    targets=st.sampled_from([[0.9], [0.5], [0.8, 0.6, 0.3], [0.0], [1.0]]),
    seed=st.integers(0, 99),
)
@settings(property_test, max_examples=60)
def test_baselines_keep_the_rules(
    method: str, beta: Architecture, kind: str, limit: int, targets: list[float], seed: int
) -> None:
    _check(method, beta, arbitrary(seed, kind), limit, targets, seed)


@pytest.mark.parametrize("method", ["gcn-directed", "gcn-max"])
@given(
    beta=st.one_of(legal_architectures(), legal_architectures(12, concats=True)),
    kind=st.sampled_from(KINDS),
    limit=st.integers(0, 12),
    targets=st.sampled_from([[0.9], [0.5], [0.8, 0.6, 0.3], [0.0], [1.0]]),
    seed=st.integers(0, 99),
)
@settings(property_test, max_examples=30)
def test_policies_keep_the_rules(
    method: str, beta: Architecture, kind: str, limit: int, targets: list[float], seed: int
) -> None:
    _check(method, beta, arbitrary(seed, kind), limit, targets, seed)


@pytest.mark.parametrize("method", PROPOSERS)
@pytest.mark.parametrize("kind", KINDS)
def test_they_keep_the_rules_on_a_residual_network(method: str, kind: str) -> None:
    _check(method, residual_network(4), arbitrary(1, kind), 16, [0.7, 0.4], 0)


@pytest.mark.parametrize("method", PROPOSERS)
@pytest.mark.parametrize("length", [1, 2])
def test_they_end_where_everything_is_known(method: str, length: int) -> None:
    lookups, _ = _searched(method, chain(length), additive(chain(length), 0), 1000, [0.5])
    assert length <= lookups.used <= 2**length - 1


@pytest.mark.parametrize("method", PROPOSERS)
def test_they_end_where_nothing_can_change(method: str) -> None:
    beta = chain(3).with_states((State.S,) * 3)
    assert _searched(method, beta, additive(beta, 0), 10, [0.5])[0].used == 0


@pytest.mark.parametrize("method", PROPOSERS)
def test_they_end_where_no_target_can_be_met(method: str) -> None:
    beta = residual_network(3)
    lookups, _ = _searched(method, beta, additive(beta, 0), 10_000, [-0.1])
    assert lookups.within(-0.1) == []


@pytest.mark.parametrize("method", PROPOSERS)
def test_they_stop_when_told_to(method: str) -> None:
    beta, asked = residual_network(6), []

    def score(alpha: Architecture) -> float:
        asked.append(alpha)
        return additive(beta, 0)(alpha)

    lookups = Lookups(beta, Madds(beta), score, 500, lambda: len(asked) >= 7)
    make_proposer(method).propose(lookups, [0.8, 0.5], torch.Generator().manual_seed(0))
    assert len(asked) == 7


@pytest.mark.parametrize("method", PROPOSERS)
def test_the_price_is_the_callers(method: str) -> None:
    beta = residual_network(4)
    lookups, _ = _searched(method, beta, additive(beta, 0), 60, [0.6], price=Params(beta))
    assert lookups.within(0.6)
    assert lookups.within(0.6)[0].share == Params(beta).cost(lookups.within(0.6)[0].architecture) / Params(beta).full


@pytest.mark.parametrize("method", [name for name in PROPOSERS if name not in ("greedy", "random")])
def test_they_find_the_best_of_a_small_space(method: str) -> None:
    """Among 2¹⁰ α's, most of which meet the target; the best one is known by trying all."""
    lookups, _ = _searched(method, chain(10), _small_score(), 120, [0.5])
    assert lookups.within(0.5)[0].score == pytest.approx(_best_of_the_small_space())


def _small_score() -> Score:
    return additive(chain(10), 3, convex=0.2)


@functools.cache
def _best_of_the_small_space() -> float:
    beta, score = chain(10), _small_score()
    price = Madds(beta)
    return max((score(alpha) for alpha in all_alphas(beta) if price.cost(alpha) <= 500), default=-math.inf)
