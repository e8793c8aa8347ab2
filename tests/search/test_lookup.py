"""Look-ups: counted, remembered, never more than there may be."""

import math

import pytest

from natonnx.architecture import Architecture, State
from natonnx.search.lookup import Lookups
from natonnx.search.price import Madds
from tests.architecture.examples import chain, residual_network

BETA = residual_network(3)


def _alpha(**states: str) -> Architecture:
    changed = [State(states.get(edge.name, old)) for edge, old in zip(BETA.topology.edges, BETA.states, strict=True)]
    return BETA.with_states(tuple(changed))


class _Counting:
    def __init__(self, value: float = 0.5) -> None:
        self.value = value
        self.seen: list[Architecture] = []

    def __call__(self, alpha: Architecture) -> float:
        self.seen.append(alpha)
        return self.value


def test_what_computes_the_same_is_looked_up_once() -> None:
    score = _Counting()
    lookups = Lookups(BETA, Madds(BETA), score, 5)
    once, again = _alpha(b1="N"), _alpha(a1="S", b1="N")
    assert not lookups.knows(once)
    assert lookups.score(again) == lookups.score(once) == 0.5
    assert lookups.knows(once)
    assert score.seen == [again]
    assert lookups.used == 1
    assert lookups.left == 4


def test_a_score_sees_no_idle_edits() -> None:
    """Null has removed a1's branch, so that what b1 becomes is nothing to anybody."""
    beta, score = residual_network(2).with_states(tuple(map(State, "NOSOOSN"))), _Counting()
    lookups = Lookups(beta, Madds(beta), score, 5)
    lookups.score(beta.with_states(tuple(map(State, "NSSSOSN"))))
    assert ["".join(alpha.states) for alpha in score.seen] == ["NOSSOSN"]
    assert [entry.architecture for entry in lookups.within(1.0)] == score.seen


def test_beta_itself_does_not_count() -> None:
    lookups = Lookups(BETA, Madds(BETA), _Counting(), 1)
    lookups.score(BETA)
    assert (lookups.used, lookups.left) == (0, 1)
    assert lookups.within(1.0) == []


def test_there_are_no_more_than_there_may_be_but_betas_own() -> None:
    lookups = Lookups(BETA, Madds(BETA), _Counting(), 1)
    lookups.score(_alpha(b1="N"))
    with pytest.raises(RuntimeError, match="no look-up is left"):
        lookups.score(_alpha(b2="N"))
    assert lookups.score(_alpha(b1="N")) == lookups.score(BETA) == 0.5


def test_time_may_run_out_between_the_question_and_the_look_up() -> None:
    """Whoever asked in time gets the score: a clock that strikes meanwhile is no error."""
    times = iter([False, True])
    lookups = Lookups(BETA, Madds(BETA), _Counting(), 3, lambda: next(times, True))
    assert lookups.left
    assert lookups.score(_alpha(b1="N")) == 0.5
    assert not lookups.left


def test_what_is_not_a_number_is_hopeless() -> None:
    assert Lookups(BETA, Madds(BETA), _Counting(math.nan), 3).score(BETA) == -math.inf


def test_the_best_within_a_target_come_first_and_cheap_ones_of_equals() -> None:
    values = {"b1": 0.2, "b2": 0.9, "b3": 0.9}
    alphas = {name: _alpha(**{name: "N"}) for name in values}
    lookups = Lookups(BETA, Madds(BETA), lambda alpha: next(values[n] for n, a in alphas.items() if a == alpha), 9)
    for alpha in alphas.values():
        lookups.score(alpha)
    found = lookups.within(1.0)
    assert [entry.architecture for entry in found] == [alphas["b3"], alphas["b2"], alphas["b1"]]
    assert found[0].share < found[1].share
    assert [entry.architecture for entry in lookups.within(found[1].share)] == [alphas["b3"], alphas["b2"]]


@pytest.mark.parametrize(
    ("spent", "expected"), [((3, 3, 4), (4, 7, 10)), ((0, 0, 0), (4, 5, 10)), ((4, 3, 3), (4, 7, 10))]
)
def test_targets_share_what_is_left(spent: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """What one target leaves goes to those after it."""
    beta = chain(12)
    lookups = Lookups(beta, Madds(beta), _Counting(), 10)
    edges = iter(range(12))
    untils = []
    for (_, until), count in zip(lookups.divide([0.8, 0.6, 0.4]), spent, strict=True):
        untils.append(until)
        for edge in [next(edges) for _ in range(count)]:
            states = [State.O] * 12
            states[edge] = State.S
            lookups.score(beta.with_states(tuple(states)))
    assert untils == list(expected) if sum(spent) else [4, 5, 10]


def test_shares_of_a_network_that_costs_nothing_are_zero() -> None:
    beta = residual_network(2)
    free = beta.with_states(
        tuple(State.S if edge.operation else s for edge, s in zip(beta.topology.edges, beta.states, strict=True))
    )
    assert Lookups(free, Madds(free), _Counting(), 3).share(free) == 0
