"""The critic against the textbook's formulas, and what it makes of odd scores."""

import math

import numpy as np
import pytest
from hypothesis import given

from natonnx.architecture import Architecture
from natonnx.search.lookup import Lookups
from natonnx.search.price import Madds
from natonnx.search.propose.critic import Critic, likeness
from natonnx.search.propose.moves import Moves
from tests.architecture.examples import chain, residual_network
from tests.architecture.strategies import legal_architectures, property_test, seeded
from tests.search.propose.scores import Score, additive

BETA = chain(8)
MOVES = Moves(BETA, Madds(BETA))


def _sets(count: int, seed: int) -> list[tuple[int, ...]]:
    chance = seeded(seed)
    return [tuple(sorted(chance.sample(range(8), chance.randint(2, 6)))) for _ in range(count)]


def _alpha(held: tuple[int, ...]) -> Architecture:
    alpha = MOVES.compose(held)
    assert alpha is not None
    return alpha


def _critic(score: Score, sets: list[tuple[int, ...]], singles: bool = True) -> Critic:
    lookups = Lookups(BETA, Madds(BETA), score, 1000)
    lookups.score(BETA)
    for held in [(i,) for i in range(8) if singles] + sets:
        lookups.score(_alpha(held))
    return Critic(MOVES, lookups)


def _rows(sets: list[tuple[int, ...]]) -> np.ndarray:
    return np.array([[i in held for i in range(8)] for held in sets])


def test_predictions_are_the_textbooks() -> None:
    """Rasmussen and Williams, equations 2.23 and 2.24, with every element of the kernel written out."""
    score, sets, asked = additive(BETA, 1, convex=0.1), list(dict.fromkeys(_sets(6, 0))), _sets(9, 5)
    critic = _critic(score, sets)
    known = [(), *((i,) for i in range(8)), *sets]
    lost = np.array([-score(_alpha(held)) if held else 0.0 for held in known])
    unit = float(np.median(lost[lost > 0]))
    weights = lost[1:9] / unit  # each single transition was looked up, none lost next to nothing
    alike = 0.7 * likeness(MOVES) + 0.3 * np.eye(8)

    def kernel(a: tuple[int, ...], b: tuple[int, ...]) -> float:
        total, both = weights.sum(), weights[list(a)].sum() * weights[list(b)].sum()
        single = sum(weights[i] * alike[i, j] * weights[j] for i in a for j in b)
        apart = sum(weights[i] for i in set(a) ^ set(b))
        near = math.exp(-apart / (critic.kernel.length * total))
        linear = critic.kernel.linear * (both + both**2 / total**2 + single)
        return float(linear + critic.kernel.residual * total**2 * near)

    gram = np.array([[kernel(a, b) for b in known] for a in known]) + 1e-6 * weights.sum() ** 2 * np.eye(len(known))
    cross = np.array([[kernel(a, b) for b in known] for a in asked])
    mean = cross @ np.linalg.inv(gram) @ -lost
    variance = np.array([kernel(a, a) for a in asked]) - np.diag(cross @ np.linalg.inv(gram) @ cross.T)
    expected, deviation = critic.predict(_rows(asked))
    assert expected == pytest.approx(mean, rel=1e-4, abs=1e-4)
    assert deviation == pytest.approx(unit * np.sqrt(np.maximum(variance, 0)), rel=1e-2, abs=1e-3)


def test_it_knows_what_was_looked_up() -> None:
    score, sets = additive(BETA, 2, convex=0.3), _sets(10, 1)
    expected, deviation = _critic(score, sets).predict(_rows(sets))
    assert expected == pytest.approx([score(_alpha(held)) for held in sets], abs=0.02)
    assert (deviation < 0.1).all()


def test_single_transitions_tell_of_sets_where_losses_add_up() -> None:
    score, asked = additive(BETA, 3), _sets(40, 2)
    expected, _ = _critic(score, []).predict(_rows(asked))
    true = np.array([score(_alpha(held)) for held in asked])
    assert np.corrcoef(expected, true)[0, 1] > 0.98


def test_sets_alone_tell_of_single_transitions() -> None:
    score = additive(BETA, 4)
    losses = _critic(score, _sets(40, 3), singles=False).losses()
    true = np.array([-score(_alpha((i,))) for i in range(8)])
    assert np.corrcoef(losses, true)[0, 1] > 0.95


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_unit_of_scores_does_not_matter(scale: float) -> None:
    score, asked = additive(BETA, 5, convex=0.2), _rows(_sets(20, 4))
    expected, deviation = _critic(score, _sets(5, 9)).predict(asked)
    scaled, spread = _critic(lambda alpha: scale * score(alpha) + 3 * scale, _sets(5, 9)).predict(asked)
    assert scaled / scale - 3 == pytest.approx(expected, abs=1e-6)
    assert spread / scale == pytest.approx(deviation, abs=1e-4)


@pytest.mark.parametrize("worst", [-1e6, -1e300, -math.inf, math.nan])
def test_hopeless_ones_are_known_to_be_bad_and_spoil_nothing(worst: float) -> None:
    """Every set with transition 0 is hopeless."""
    plain, asked = additive(BETA, 6), _sets(30, 7)
    critic = _critic(lambda alpha: worst if alpha.states[0] != BETA.states[0] else plain(alpha), _sets(20, 8))
    expected, deviation = critic.predict(_rows(asked))
    assert np.isfinite(expected).all()
    assert np.isfinite(deviation).all()
    with_it = [e for e, held in zip(expected, asked, strict=True) if 0 in held]
    without = [e for e, held in zip(expected, asked, strict=True) if 0 not in held]
    assert max(with_it) < min(without)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e9])
def test_equal_scores_are_expected_everywhere(value: float) -> None:
    expected, _ = _critic(lambda _: value, _sets(5, 1)).predict(_rows(_sets(9, 2)))
    assert expected == pytest.approx([value] * 9)


def test_losses_are_none_of_them_gains() -> None:
    assert (_critic(lambda alpha: -additive(BETA, 1)(alpha), _sets(5, 1)).losses() >= 0).all()


@given(legal_architectures(concats=True))
@property_test
def test_likeness_is_a_covariance(beta: Architecture) -> None:
    found = likeness(Moves(beta, Madds(beta)))
    assert found == pytest.approx(found.T)
    assert np.diag(found) == pytest.approx(np.ones(len(found)))
    assert not len(found) or np.linalg.eigvalsh(found).min() > -1e-8


def test_like_transitions_are_those_of_like_operations_and_places() -> None:
    beta = residual_network(6)
    moves = Moves(beta, Madds(beta))
    alike = likeness(moves)
    named = {(beta.topology.edges[move.edge].name, str(move.state)): i for i, move in enumerate(moves.all)}
    assert alike[named["a3", "S"], named["a4", "S"]] > alike[named["a3", "S"], named["out0->out1", "N"]]
