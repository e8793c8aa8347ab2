"""An architecture that changes step by step is judged and priced as the whole of it would be."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natonnx.architecture import LETTERS, Architecture, State, violation
from natonnx.search.measured_price import Measure, MeasuredPrice
from natonnx.search.price import Estimate, Madds, Params, Price, Together, share
from natonnx.search.variant import Variant
from tests.architecture import naive
from tests.architecture.strategies import legal_architectures, property_test, seeded


class _ByEdges:
    """Says that a network costs as much as it has edges that are not null."""

    def predict(self, alpha: Architecture) -> float:
        return sum(state != State.N for state in alpha.states) / len(alpha.states)

    def learn(self, alpha: Architecture, found: Estimate) -> None:
        raise AssertionError(f"{alpha} was not measured, and so not {found}")


def _price(name: str, beta: Architecture) -> Price:
    match name:
        case "madds":
            return Madds(beta)
        case "params":
            return Params(beta)
        case "together":
            return Together((Madds(beta), Params(beta)), (0.7, 0.5))
    return MeasuredPrice(beta, Measure("latency_ms", "latency", 3.0, _never), _ByEdges())


def _never(alphas: Sequence[Architecture]) -> Sequence[Estimate]:
    raise AssertionError(f"{alphas} are not to be measured")


@pytest.mark.parametrize("name", ["madds", "params", "together", "measured"])
@settings(property_test, max_examples=40)
@given(legal_architectures(10, concats=True), st.integers(0, 2**32 - 1))
def test_it_is_judged_and_priced_as_the_whole(name: str, beta: Architecture, seed: int) -> None:
    chance, price = seeded(seed), _price(name, beta)
    variant, alpha = Variant(beta, price), beta
    for _ in range(20 if beta.states else 0):
        e = chance.randrange(len(beta.states))
        options = [beta.states[e], *naive.transitions(beta.topology.edges[e], beta.states[e])]
        options = [state for state in options if state != State.S or beta.topology.edges[e].skip]
        state = chance.choice(options)
        changed = naive.change(alpha, e, state)
        is_legal = variant.attempt(e, state)
        assert is_legal == (violation(changed, beta) is None)
        if is_legal and chance.random() < 0.3:
            variant.undo(e, alpha.states[e])
        elif is_legal:
            alpha = changed
        assert variant.architecture == alpha
        assert variant.share() == share(price, alpha)


@settings(property_test, max_examples=40)
@given(legal_architectures(8, concats=True))
def test_what_transitions_save_is_what_each_saves_alone(beta: Architecture) -> None:
    price = Madds(beta)
    for e, row in enumerate(price.savings(beta).tolist()):
        for state, saved in zip(LETTERS, row, strict=True):
            alpha = naive.change(beta, e, state) if saved else beta
            assert saved == price.cost(beta) - price.cost(alpha)
