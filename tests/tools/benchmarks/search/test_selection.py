"""Greedy removal against one that looks at everything at every step; random draws; removal by the graph alone."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from natonnx.architecture import Architecture, State, cost, find_liveness, legal_transitions, violation
from natonnx.search import Price
from natonnx.search.price import Madds
from natonnx.supernet import Supernet
from natonnx.verbs.optimize.prepare import Prepared
from tools.benchmarks.bench_search import removal
from tools.benchmarks.bench_search.selection import greedy, legal_savers, random_alphas, with_change


@pytest.fixture
def beta(prepared: Prepared) -> Architecture:
    return prepared.problem.network.architecture


@pytest.fixture
def price(prepared: Prepared) -> Price:
    return prepared.problem.prices[0]


def additive(beta: Architecture, seed: int) -> Callable[[Architecture], float]:
    """Score an architecture by what its edges lose, each by itself."""
    losses = np.random.default_rng(seed).uniform(0.1, 1, len(beta.states))

    def score(alpha: Architecture) -> float:
        return -sum(
            float(losses[i]) for i, (a, b) in enumerate(zip(alpha.states, beta.states, strict=True)) if a is not b
        )

    return score


def plain_greedy(beta: Architecture, target: float, score: Callable[[Architecture], float]) -> tuple[Architecture, int]:
    """Score every legal transition at every step."""
    full, alpha, looked = cost(beta).madds or 0, beta, 0
    while (cost(alpha).madds or 0) > target * full:
        ways = []
        for (edge, current), verdict in zip(enumerate(beta.states), legal_transitions(beta), strict=True):
            for state, why in verdict.items():
                states = list(alpha.states)
                states[edge] = state
                changed = alpha.with_states(tuple(states))
                saved = (cost(alpha).madds or 0) - (cost(changed).madds or 0)
                if why is None and state != current and violation(changed, beta) is None and saved > 0:
                    looked += 1
                    ways.append(((score(alpha) - score(changed)) / saved, edge, state, changed))
        alpha = min(ways, key=lambda way: way[:3])[3]
    return alpha, looked


@pytest.mark.parametrize("seed", range(4))
def test_lazy_greedy_is_greedy(seed: int, beta: Architecture, price: Price) -> None:
    score = additive(beta, seed)
    asked: list[Architecture] = []

    def counted(alpha: Architecture) -> float:
        asked.append(alpha)
        return score(alpha)

    expected, looked = plain_greedy(beta, 0.5, score)
    assert greedy(beta, price, 0.5, counted).states == expected.states
    assert len(asked) <= looked + 1


def test_savers_are_legal_and_cheaper(beta: Architecture) -> None:
    price = Madds(beta)
    savers = legal_savers(beta, price)
    for edge, state in savers:
        assert legal_transitions(beta)[edge][state] is None
        changed = with_change(beta, (edge, state), beta)
        assert changed is not None
        assert price.cost(changed) < price.full
    assert len(savers) == len(set(savers)) > 8


def test_random_draws_are_legal_near_the_target_and_differ(beta: Architecture, price: Price) -> None:
    drawn = list(itertools.islice(random_alphas(beta, price, 0.6, 0), 20))
    again = list(itertools.islice(random_alphas(beta, price, 0.6, 0), 20))
    assert [alpha.states for alpha in drawn] == [alpha.states for alpha in again]
    assert len({alpha.states for alpha in drawn}) > 10
    for alpha in drawn:
        assert violation(alpha, beta) is None
        assert 0.48 <= price.cost(alpha) / price.full <= 0.6


def test_nothing_is_drawn_where_nothing_is_cheap_enough(
    beta: Architecture, price: Price, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.benchmarks.bench_search.selection._TRIES", 20)
    assert not list(random_alphas(beta, price, 1e-6, 0))


def test_blocks_are_residual_branches(beta: Architecture, price: Price) -> None:
    found = [find_liveness(_changed(beta, change)).active for change in removal.blocks(beta, price)]
    before = find_liveness(beta).active
    lost = [
        {
            edge.name.split("/conv")[0]
            for edge, a, b in zip(beta.topology.edges, before, after, strict=True)
            if a and not b
        }
        for after in found
    ]
    assert lost == [{f"/{block}/first", f"/{block}/second"} for block in (2, 3, 4, 5)]


def test_last_blocks_go_first(beta: Architecture, price: Price) -> None:
    blocks = removal.blocks(beta, price)
    one = 1 - (1 - price.cost(_changed(beta, blocks[-1])) / price.full) / 2
    alpha = removal.last(beta, price, one)
    assert alpha.states == _changed(beta, blocks[-1]).states


def test_uniform_spreads(beta: Architecture, price: Price) -> None:
    blocks = removal.blocks(beta, price)
    single = removal.uniform(beta, price, 0.99)
    assert single.states == _changed(beta, blocks[len(blocks) // 2]).states
    half = removal.uniform(beta, price, 0.6)
    edges = [i for i, (a, b) in enumerate(zip(half.states, beta.states, strict=True)) if a is not b]
    assert price.cost(half) <= 0.6 * price.full
    names = [beta.topology.edges[edge].name for edge in edges]
    assert [name.split("/")[1] for name in names] == ["3", "5"]


def test_smallest_weights_go_first(beta: Architecture, price: Price, prepared: Prepared) -> None:
    supernet = Supernet(prepared.problem.network)
    chosen = removal.blocks(beta, price)[1]
    operation = beta.topology.edges[chosen[0]].operation
    assert operation is not None
    weights = supernet.weights()
    names = [weight.name for weight in operation.weights if weights[weight.name].ndim > 1]
    supernet.load_weights({name: 1e-6 * weights[name] for name in names})
    alpha = removal.magnitude(beta, price, 0.99, supernet)
    assert alpha.states[chosen[0]] is not beta.states[chosen[0]]


def _changed(beta: Architecture, change: tuple[int, State]) -> Architecture:
    changed = with_change(beta, change, beta)
    assert changed is not None
    return changed
