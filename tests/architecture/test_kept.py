"""An excluded edge goes on carrying what it carries, whatever changes around it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natonnx.architecture import Architecture, State, legal_transitions, violation
from tests.architecture import naive
from tests.architecture.strategies import legal_architectures, property_test, seeded

FIXED = "--exclude keeps it"


def keeping(beta: Architecture, seed: int) -> tuple[Architecture, set[int]]:
    """The architecture with a few of its active edges excluded."""
    active = [e for e, flag in enumerate(naive.active(beta)) if flag]
    kept = set(seeded(seed).sample(active, min(len(active), 1 + seed % 3)))
    edges = [replace(edge, kept=True, fixed=FIXED) if e in kept else edge for e, edge in enumerate(beta.topology.edges)]
    return replace(beta, topology=replace(beta.topology, edges=tuple(edges))), kept


@pytest.mark.parametrize("concats", [False, True])
def test_what_would_leave_it_idle_is_refused_and_nothing_else(*, concats: bool) -> None:
    @property_test
    @given(legal_architectures(concats=concats), st.integers(0, 999))
    def check(beta: Architecture, seed: int) -> None:
        guarded, kept = keeping(beta, seed)
        for e, (free, bound) in enumerate(zip(legal_transitions(beta), legal_transitions(guarded), strict=True)):
            for after, reason in free.items():
                carrying = naive.active(naive.change(beta, e, after)) if reason is None else []
                legal = reason is None and e not in kept and all(carrying[own] for own in kept)
                assert (bound[after] is None) is legal

    check()


@property_test
@given(legal_architectures(), st.integers(0, 999), st.integers(0, 999))
def test_a_whole_architecture_is_held_to_it(beta: Architecture, seed: int, choice: int) -> None:
    guarded, kept = keeping(beta, seed)
    chance = seeded(choice)
    states = [chance.choice([s, State.N]) if e not in kept and s != State.N else s for e, s in enumerate(beta.states)]
    alpha = tuple(states)
    free = violation(beta.with_states(alpha), beta)
    carrying = naive.active(beta.with_states(alpha))
    bound = violation(guarded.with_states(alpha), guarded)
    assert (bound is None) is (free is None and all(carrying[e] for e in kept))
