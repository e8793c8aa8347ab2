"""What is kept up to date while edges change is what is found anew: null propagation, cuts, cost and legality."""

from collections.abc import Iterable
from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from natonnx.architecture import (
    Architecture,
    ChannelCutRule,
    Cuts,
    Edited,
    FatalMaps,
    Join,
    Legality,
    State,
    Topology,
    Weight,
    cost,
    cuts,
    find_liveness,
    transition_mask,
    violation,
)
from tests.architecture import naive
from tests.architecture.examples import chain, residual_network
from tests.architecture.strategies import legal_architectures, property_test, seeded

_STEPS = 20
_SEEDS = st.integers(0, 2**32 - 1)


def _varied(beta: Architecture, chance: Random) -> Architecture:
    """Some weights are shared, cuts choose and repeat channels, edges are excluded."""
    names = {name: chance.choice([name, "shared0", "shared1"]) for name in _names(beta.topology)}
    names = names if chance.random() < 0.5 else {name: name for name in names}
    active, share = find_liveness(beta).active, chance.choice([0.0, 0.0, 0.2])

    def shared(weights: Iterable[Weight]) -> tuple[Weight, ...]:
        sizes = {"shared0": 40, "shared1": 24}
        return tuple(Weight(names[name], sizes.get(names[name], size)) for name, size in weights)

    def other(rule: ChannelCutRule) -> ChannelCutRule:
        rule = replace(rule, weights=frozenset(names.get(name, name) for name in rule.weights))
        if rule.out is None:
            return replace(rule, unit=chance.choice([1, 1, 2]))
        return replace(
            rule, select=chance.choice([None] * 6 + [(0, 1, 2, 3), (3, 1, 0, 2)]), tile=chance.choice([1, 1, 2])
        )

    maps = tuple(
        replace(fmap, weights=shared(fmap.weights), cut_rules=tuple(map(other, fmap.cut_rules)))
        for fmap in beta.topology.maps
    )
    edges = tuple(
        replace(
            edge,
            operation=edge.operation
            and replace(
                edge.operation,
                weights=shared(edge.operation.weights),
                cut_rules=tuple(map(other, edge.operation.cut_rules)),
            ),
            kept=bool(active[e]) and chance.random() < share,
        )
        for e, edge in enumerate(beta.topology.edges)
    )
    edges = tuple(replace(edge, fixed="it is excluded") if edge.kept else edge for edge in edges)
    return Architecture(Topology(maps, edges, beta.topology.outputs), beta.states)


def _names(topology: Topology) -> set[str]:
    owned = [fmap.weights for fmap in topology.maps]
    owned += [edge.operation.weights for edge in topology.edges if edge.operation]
    return {name for weights in owned for name, _ in weights}


def _any_change(architecture: Architecture, chance: Random) -> tuple[int, State]:
    """A change of an edge to whatever it can carry, legal or not."""
    e = chance.randrange(len(architecture.states))
    edge = architecture.topology.edges[e]
    carried = {State.O: edge.operation, State.S: edge.skip, State.N: edge}
    cheaper = [choice.state for choice in edge.cheaper]
    return e, chance.choice([*(state for state, content in carried.items() if content is not None), *cheaper])


def _legal_change(architecture: Architecture, mask: np.ndarray, chance: Random) -> tuple[int, State] | None:
    edges = architecture.topology.edges
    options = [(e, edges[e].choices[column].state) for e, column in np.argwhere(mask).tolist()]
    options = [(e, state) for e, state in options if state != architecture.states[e]]
    return chance.choice(options) if options else None


def _walk(beta: Architecture, seed: int, wild: float) -> None:
    """Change one edge after the other, and compare with what is found anew each time."""
    chance = seeded(seed)
    beta = _varied(beta, chance)
    origin, architecture = find_liveness(beta), beta
    if origin.broken or cuts(beta, origin).broken or not beta.states:
        return
    legality = Legality(beta, origin)
    for _ in range(_STEPS):
        mask = transition_mask(architecture, origin)
        np.testing.assert_array_equal(legality.mask(), mask)
        assert legality.architecture == architecture
        is_wild = chance.random() < wild
        change = _any_change(architecture, chance) if is_wild else _legal_change(architecture, mask, chance)
        if change is None:
            return
        legality.change(*change)
        architecture = naive.change(architecture, *change)


@settings(property_test, max_examples=80)
@given(legal_architectures(14, known=False), _SEEDS)
def test_the_mask_is_that_of_the_whole_after_every_legal_change(beta: Architecture, seed: int) -> None:
    _walk(beta, seed, 0.0)


@settings(property_test, max_examples=100)
@given(legal_architectures(14, known=False, concats=True), _SEEDS)
def test_the_mask_is_that_of_the_whole_where_concats_lose_members(beta: Architecture, seed: int) -> None:
    _walk(beta, seed, 0.0)


@settings(property_test, max_examples=50)
@given(legal_architectures(12, concats=True), _SEEDS)
def test_the_mask_is_that_of_the_whole_after_changes_that_break_it(beta: Architecture, seed: int) -> None:
    _walk(beta, seed, 0.4)


@settings(property_test, max_examples=80)
@given(legal_architectures(12, known=False, cheaper=True), _SEEDS)
def test_the_mask_is_that_of_the_whole_where_operations_may_become_cheaper(beta: Architecture, seed: int) -> None:
    _walk(beta, seed, 0.0)


@settings(property_test, max_examples=80)
@given(legal_architectures(12, known=False, concats=True, cheaper=True), _SEEDS)
def test_the_mask_is_that_of_the_whole_where_cheaper_operations_lose_channels(beta: Architecture, seed: int) -> None:
    _walk(beta, seed, 0.1)


def test_the_mask_of_a_long_network_is_that_of_the_whole() -> None:
    beta, chance = residual_network(40), seeded(3)
    origin, architecture, legality = find_liveness(beta), beta, Legality(beta)
    for _ in range(50):
        change = _legal_change(architecture, transition_mask(architecture, origin), chance)
        assert change is not None
        legality.change(*change)
        architecture = naive.change(architecture, *change)
        np.testing.assert_array_equal(legality.mask(), transition_mask(architecture, origin))


def test_of_nothing_there_is_no_mask() -> None:
    assert Legality(chain(0)).mask().shape == (0, 3)


@settings(property_test, max_examples=80)
@given(legal_architectures(12, known=False, concats=True, cheaper=True), _SEEDS)
def test_what_is_known_of_an_architecture_under_edits_is_found_anew(beta: Architecture, seed: int) -> None:
    chance = seeded(seed)
    beta = _varied(beta, chance)
    architecture, edited = beta, Edited(beta)
    for _ in range(_STEPS if beta.states else 0):
        liveness = find_liveness(architecture)
        lost = cuts(architecture, liveness)
        assert (edited.live, edited.needed) == (liveness.live.tolist(), liveness.needed.tolist())
        assert edited.active == liveness.active.tolist()
        assert edited.runs == (liveness.broken is None and lost.broken is None)
        if edited.runs:
            assert edited.cost == cost(architecture, liveness, lost)
            assert _told(edited) == _told(lost)
        change = _any_change(architecture, chance)
        changes = edited.change(*change)
        after = find_liveness(naive.change(architecture, *change))
        turned = np.flatnonzero((after.live != liveness.live) | (after.needed != liveness.needed))
        assert changes.maps == set(turned.tolist())
        assert changes.edges >= set(np.flatnonzero(after.active != liveness.active).tolist())
        architecture = naive.change(architecture, *change)


def _told(found: Cuts | Edited) -> list[dict[int, tuple[int, bytes]]]:
    return [{i: (cut.axis, cut.kept.tobytes()) for i, cut in lost.items()} for lost in (found.joins, found.values)]


@settings(property_test, max_examples=80)
@given(legal_architectures(10, known=False, concats=True, cheaper=True), _SEEDS)
def test_an_architecture_within_the_cost_is_legal(beta: Architecture, seed: int) -> None:
    chance = seeded(seed)
    beta = _varied(beta, chance)
    if not beta.states or violation(beta, beta):
        return
    edited, full = Edited(beta), cost(beta)
    for _ in range(_STEPS):
        e = chance.randrange(len(beta.states))
        options = [beta.states[e], *naive.transitions(beta.topology.edges[e], beta.states[e])]
        options = [state for state in options if state != State.S or beta.topology.edges[e].skip]
        if not beta.topology.edges[e].fixed:
            edited.change(e, chance.choice(options))
        assert edited.is_within(full) == (violation(edited.architecture, beta) is None)


@settings(property_test, max_examples=30)
@given(legal_architectures(10, concats=True), _SEEDS)
def test_the_death_of_a_fatal_map_breaks_it(beta: Architecture, seed: int) -> None:
    chance = seeded(seed)
    architecture, edited = beta, Edited(beta)
    fatal = FatalMaps(edited, {})
    for _ in range(_STEPS if beta.states else 0):
        for i, fmap in enumerate(beta.topology.maps):
            if edited.runs and edited.live[i] and fmap.join is not Join.OPAQUE:
                assert (i in fatal) == naive.broken(architecture, {fmap.name})
        change = _any_change(architecture, chance)
        fatal.update(edited.change(*change))
        architecture = naive.change(architecture, *change)
