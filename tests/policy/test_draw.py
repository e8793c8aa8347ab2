"""Drawing α's: legal as a whole, with exact probabilities."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from natonnx.architecture import (
    LETTERS,
    Architecture,
    Edge,
    FeatureMap,
    Join,
    Operation,
    Skip,
    State,
    Topology,
    cost,
    find_liveness,
    transition_mask,
    violation,
)
from natonnx.policy.base import draw, entropy, greedy, keep_prior, log_probability, scores
from natonnx.policy.gcn import GCNPolicy
from natonnx.policy.random_search import RandomPolicy
from tests.architecture import naive
from tests.architecture.examples import SHAPE, chain, conv, residual_network, with_cheaper
from tests.architecture.strategies import legal_architectures, property_test
from tests.policy.references import by_alpha, draw_order, edit_count, enumerate_alphas, is_one_of, seeded
from tools.research.cells import nasbench201_cell


def _bold(edits: float = 3.0) -> GCNPolicy:
    """A policy with opinions."""
    policy = GCNPolicy(edits=edits)
    with torch.no_grad():
        policy.head.letters.weight.mul_(20)
    return policy


def _dead_branch() -> Architecture:
    """Null has removed a1's branch, b1 included; out0->out2 could be added."""
    return residual_network(2).with_states(tuple(map(State, "NOSOOSN")))


# The prior


def _columns(beta: Architecture) -> Tensor:
    return torch.tensor([LETTERS.index(state) for state in beta.states])


@pytest.mark.parametrize("edits", [0.5, 1.0, 3.0, 7.0])
@pytest.mark.parametrize("beta", [residual_network(5), chain(20)], ids=["residual", "chain"])
def test_the_prior_changes_as_many_edges_as_asked_on_average(beta: Architecture, edits: float) -> None:
    mask, current = torch.from_numpy(transition_mask(beta)), _columns(beta)
    prior = keep_prior(mask, current, edits)
    kept = torch.softmax(prior.double().masked_fill(~mask, -math.inf), 1).gather(1, current[:, None])
    assert float((1 - kept).sum()) == pytest.approx(edits, rel=1e-5)


def test_the_prior_changes_each_edge_at_most_every_other_time() -> None:
    beta = chain(4)
    mask, current = torch.from_numpy(transition_mask(beta)), _columns(beta)
    kept = torch.softmax(keep_prior(mask, current, 100.0).masked_fill(~mask, -math.inf), 1).gather(1, current[:, None])
    assert kept.flatten().tolist() == pytest.approx([0.5] * 4)


def test_the_prior_of_an_edge_without_a_choice_is_finite() -> None:
    assert torch.isfinite(keep_prior(torch.tensor([[True, False, False]]), torch.tensor([0]), 3.0)).all()


def test_the_prior_of_many_architectures_is_that_of_each() -> None:
    betas = [chain(4), chain(4).with_states((State.S,) * 4), chain(4).with_states(tuple(map(State, "OSOS")))]
    masks = torch.stack([torch.from_numpy(transition_mask(beta)) for beta in betas])
    current, edits = torch.stack([_columns(beta) for beta in betas]), torch.tensor([0.5, 1.0, 1.5])
    alone = [keep_prior(*one) for one in zip(masks, current, edits.tolist(), strict=True)]
    torch.testing.assert_close(keep_prior(masks, current, edits), torch.stack(alone))
    torch.testing.assert_close(keep_prior(masks[None], current[None], 1.0)[0, 1], keep_prior(masks[1], current[1], 1.0))
    assert RandomPolicy().prior(masks, current, seeded()).shape == masks.shape


@pytest.mark.parametrize("tilted", [False, True])
def test_scores_are_logits_plus_prior_plus_tilt(tilted: bool) -> None:
    policy, beta = _bold(), residual_network(2)
    tilt = torch.arange(21.0).reshape(7, 3) if tilted else None
    prior = keep_prior(torch.from_numpy(transition_mask(beta)), _columns(beta), 3.0)
    expected = policy.logits(beta) + prior + (0 if tilt is None else tilt)
    assert torch.equal(scores(policy, beta, seeded(), tilt), expected)


# Legality


@settings(property_test, max_examples=60)
@given(legal_architectures().filter(lambda beta: len(beta.states) > 0))
def test_every_alpha_is_legal_as_a_whole(beta: Architecture) -> None:
    for alpha in draw(RandomPolicy(), beta, 8, seeded()).architectures:
        assert naive.illegal(alpha, beta) is None
        assert violation(alpha, beta) is None


def test_an_alpha_of_a_bold_policy_is_legal_too() -> None:
    beta = residual_network(6)
    assert all(violation(alpha, beta) is None for alpha in draw(_bold(10), beta, 50, seeded()).architectures)


def test_a_draw_revives_nothing_that_null_had_removed_from_beta() -> None:
    beta = _dead_branch()
    alphas = draw(RandomPolicy(), beta, 100, seeded()).architectures
    assert {(alpha.state("a1"), alpha.state("b1")) for alpha in alphas} == {(State.N, State.O), (State.S, State.S)}
    assert all(not cost(alpha).exceeds(cost(beta)) for alpha in alphas)


def test_a_draw_may_replace_all_inputs_of_a_map() -> None:
    """mid1 is left without a1 first and gets out0->mid1 then: null moves from one edge to the other."""
    beta = _replaceable()
    reached = {alpha.states for alpha in draw(RandomPolicy(), beta, 200, seeded()).architectures}
    assert (State.N, State.S, State.O, State.S) in reached


def _idle_pool() -> Architecture:
    """x -a-> y; what pool makes of x is not read, but could be."""
    maps = (FeatureMap("x", SHAPE, Join.INPUT), FeatureMap("mid", SHAPE, Join.SINGLE), FeatureMap("y", SHAPE, Join.SUM))
    edges = (
        Edge("a", "x", "y", conv("a"), Skip(4)),
        Edge("pool", "x", "mid", Operation("MaxPool", (3, 3), (1, 1)), Skip(4)),
        Edge("mid->y", "mid", "y", None, Skip(4)),
    )
    return Architecture(Topology(maps, edges, ("y",)), (State.O, State.O, State.N))


def test_what_a_draw_revives_may_change_in_turn() -> None:
    """The shortcut costs nothing, for what it brings back is free; without it the pool carries nothing, and stays."""
    beta = _idle_pool()
    alphas = draw(RandomPolicy(), beta, 200, seeded()).architectures
    reached = {(alpha.state("mid->y"), alpha.state("pool")) for alpha in alphas}
    assert reached == {(State.N, State.O), (State.S, State.O), (State.S, State.S)}
    assert [violation(alpha, beta) for alpha in alphas] == [None] * 200


_CELL_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


@settings(property_test, max_examples=60)
@given(st.lists(st.sampled_from(_CELL_OPS), min_size=6, max_size=6))
def test_every_alpha_of_a_cell_is_legal_as_a_whole(ops: list[str]) -> None:
    """Cells have pools, which cost nothing: so shortcuts bring much back."""
    a, b, c, d, e, f = ops
    beta = nasbench201_cell(f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|")
    if naive.runs(beta):
        for alpha in draw(RandomPolicy(), beta, 8, seeded()).architectures:
            assert naive.illegal(alpha, beta) is None
            assert violation(alpha, beta) is None


def _replaceable() -> Architecture:
    """x -a-> mid -b-> y with a skip x -> y, and a shortcut x -> mid that could be."""
    maps = (FeatureMap("x", SHAPE, Join.INPUT), FeatureMap("mid", SHAPE, Join.SUM), FeatureMap("y", SHAPE, Join.SUM))
    edges = (
        Edge("a", "x", "mid", conv("a"), Skip(4)),
        Edge("x->mid", "x", "mid", None, Skip(4)),
        Edge("b", "mid", "y", conv("b"), Skip(4)),
        Edge("x->y", "x", "y", None, Skip(4)),
    )
    return Architecture(Topology(maps, edges, ("y",)), (State.O, State.N, State.O, State.S))


# Probabilities

TINY = {
    "chain": chain(3),
    "residual": residual_network(2),
    "replaceable": _replaceable(),
    "dead branch": _dead_branch(),
    "idle pool": _idle_pool(),
}


def _enumerate(policy: GCNPolicy, beta: Architecture, tilt: Tensor | None = None) -> dict[tuple[State, ...], float]:
    logits = scores(policy, beta, seeded(), tilt).detach().double().numpy()
    return enumerate_alphas(beta, logits)


@pytest.mark.parametrize("beta", list(TINY.values()), ids=list(TINY))
@pytest.mark.parametrize("tilted", [False, True])
def test_log_probabilities_are_exact(beta: Architecture, tilted: bool) -> None:
    """Those of all α's that edge-by-edge choices can reach sum to one, and each drawn α has its own."""
    tilt = torch.linspace(-1, 1, 3 * len(beta.states)).reshape(-1, 3) if tilted else None
    table = _enumerate(_bold(), beta, tilt)
    assert math.fsum(map(math.exp, table.values())) == pytest.approx(1, abs=1e-9)
    drawn = draw(_bold(), beta, 60, seeded(), tilt=tilt)
    ways = by_alpha(table, beta)
    assert is_one_of(drawn.log_probabilities.tolist(), [ways[alpha.states] for alpha in drawn.architectures])


@pytest.mark.parametrize("name", ["replaceable", "residual"])
def test_alphas_come_as_often_as_their_probabilities_say(name: str) -> None:
    """Pearson's χ² of 4,000 draws; rare α's are pooled."""
    beta, policy, count = TINY[name], _bold(), 4000
    table = by_alpha(_enumerate(policy, beta), beta)
    with torch.no_grad():
        seen = Counter(alpha.states for alpha in draw(policy, beta, count, seeded(1)).architectures)
    assert seen.keys() <= table.keys()
    expected = {states: count * math.fsum(map(math.exp, ways)) for states, ways in table.items()}
    common = [states for states, often in expected.items() if often >= 5]
    cells = [(seen[states], expected[states]) for states in common]
    cells.append((count - sum(s for s, _ in cells), count - sum(e for _, e in cells)))
    chi_square = sum((s - e) ** 2 / max(e, 1) for s, e in cells)
    freedom = len(cells) - 1
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom)


def test_entropy_is_that_of_the_edges_at_beta() -> None:
    policy, beta = _bold(), residual_network(2)
    logits = scores(policy, beta, seeded()).detach().double().numpy()
    expected = 0.0
    for edge, row in enumerate(logits):
        options = [LETTERS.index(state) for state in naive.walk_options(beta, edge, beta)]
        chances = np.exp(row[options]) / np.exp(row[options]).sum()
        expected -= float((chances * np.log(chances)).sum())
    assert float(draw(policy, beta, 1, seeded()).entropy.detach()) == pytest.approx(expected, rel=1e-4)


def test_gradients_of_log_probabilities_reach_every_parameter() -> None:
    policy = _bold()
    torch.autograd.backward(draw(policy, with_cheaper(residual_network(3)), 4, seeded()).log_probabilities.sum())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in policy.parameters())
    assert all(float(p.grad.abs().sum()) > 0 for p in policy.parameters() if p.grad is not None)


def test_gradients_of_the_entropy_are_finite() -> None:
    policy = _bold()
    torch.autograd.backward(draw(policy, with_cheaper(residual_network(3)), 1, seeded()).entropy)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in policy.parameters())


@pytest.mark.parametrize("policy", [_bold(), RandomPolicy()], ids=["gcn", "random"])
def test_a_seed_repeats_a_draw(policy: GCNPolicy | RandomPolicy) -> None:
    one, two, other = (draw(policy, residual_network(4), 20, seeded(seed)).architectures for seed in (5, 5, 6))
    assert one == two != other


# A further condition


@pytest.mark.parametrize("policy", [_bold(), RandomPolicy()], ids=["gcn", "random"])
def test_only_accepted_alphas_come_back(policy: GCNPolicy | RandomPolicy) -> None:
    beta = residual_network(4)
    drawn = draw(policy, beta, 10, seeded(), accept=lambda alpha: edit_count(alpha, beta) == 2)
    assert [edit_count(alpha, beta) for alpha in drawn.architectures] == [2] * 10
    assert drawn.log_probabilities.shape == (10,)


def test_fewer_come_back_if_all_are_refused() -> None:
    drawn = draw(_bold(), residual_network(1), 2, seeded(), accept=lambda _: False)
    assert drawn.architectures == []
    assert drawn.log_probabilities.shape == (0,)


# Greedy


@settings(property_test, max_examples=50)
@given(legal_architectures().filter(lambda beta: len(beta.states) > 0))
def test_greedy_is_legal(beta: Architecture) -> None:
    policy = _bold()
    tilt = torch.tensor([-3.0, 0.0, 3.0]).repeat(len(beta.states), 1)
    assert violation(greedy(policy, beta, seeded(), tilt), beta) is None


def test_greedy_repeats_without_a_seed() -> None:
    policy, beta = _bold(), residual_network(4)
    assert greedy(policy, beta, seeded(1)) == greedy(policy, beta, seeded(2))


def test_greedy_is_the_mode_where_edges_are_independent() -> None:
    """Each edge feeds an output of its own, so that it can become a skip whatever the others do."""
    maps = [FeatureMap("x", SHAPE, Join.INPUT)] + [FeatureMap(f"y{i}", SHAPE, Join.SINGLE) for i in range(6)]
    edges = [Edge(f"conv{i}", "x", f"y{i}", conv(f"conv{i}"), Skip(4)) for i in range(6)]
    beta = Architecture(Topology(tuple(maps), tuple(edges), tuple(fmap.name for fmap in maps[1:])), (State.O,) * 6)
    policy = _bold()
    tilt = torch.tensor([[0.0, 3.0 * (i % 2), 9.0] for i in range(6)])
    table = _enumerate(policy, beta, tilt)
    assert len(table) == 2**6
    found = greedy(policy, beta, seeded(), tilt)
    assert found.states == max(table, key=table.__getitem__)
    assert {State.O, State.S} == set(found.states)


def test_an_untrained_policy_greedily_keeps_beta() -> None:
    assert greedy(GCNPolicy(), residual_network(5), seeded()) == residual_network(5)


@pytest.mark.parametrize("far", [200.0, 3000.0])
def test_the_logit_of_an_illegal_state_does_not_matter(far: float) -> None:
    """It is never trained, and may drift so far that all legal ones vanish beside it in float32."""
    policy, beta = _bold(), residual_network(2)
    tilt = torch.zeros(7, 3)
    illegal = ~torch.from_numpy(transition_mask(beta))
    tilt[illegal] = far
    assert greedy(policy, beta, seeded(), tilt) == greedy(policy, beta, seeded())
    plain, tilted = (draw(policy, beta, 50, seeded(), tilt=t).architectures for t in (None, tilt))
    assert tilted == plain


# Random search


def test_random_search_makes_few_edits_and_many() -> None:
    beta = residual_network(8)
    counts = [edit_count(alpha, beta) for alpha in draw(RandomPolicy(), beta, 300, seeded()).architectures]
    assert sum(count <= 2 for count in counts) > 30
    assert sum(count >= 8 for count in counts) > 30


def test_random_search_keeps_to_the_most_that_is_asked() -> None:
    beta = residual_network(20)
    counts = [edit_count(alpha, beta) for alpha in draw(RandomPolicy(most=2), beta, 300, seeded()).architectures]
    assert 0.7 < sum(counts) / len(counts) < 2


def test_random_search_reaches_every_transition() -> None:
    beta = residual_network(3)
    alphas = draw(RandomPolicy(), beta, 400, seeded()).architectures
    for edge, free in enumerate(transition_mask(beta)):
        reached = {alpha.states[edge] for alpha in alphas}
        assert reached >= {state for state, possible in zip(LETTERS, free, strict=True) if possible}


def test_random_search_has_nothing_to_learn() -> None:
    policy = RandomPolicy()
    assert not policy.learns
    assert list(policy.parameters()) == []


# Drawn by judging the whole anew after each change


def _drawn_anew(
    beta: Architecture, logits: Tensor, uniform: list[float]
) -> tuple[tuple[State, ...], list[int], list[list[bool]]]:
    """What a draw does, in as many words: the states, the columns chosen, and what each edge could choose from."""
    columns = _columns(beta).tolist()
    masks = transition_mask(beta).tolist()
    alpha, origin = beta, find_liveness(beta)
    for e in draw_order(beta):
        masks[e] = transition_mask(alpha, origin)[e].tolist()
        highest = max(x for x, free in zip(logits[e].tolist(), masks[e], strict=True) if free)
        weights = [math.exp(x - highest) if free else 0.0 for x, free in zip(logits[e].tolist(), masks[e], strict=True)]
        left, chosen = uniform[e] * sum(weights), None
        for column, weight in enumerate(weights):
            left -= weight
            if chosen is None and left < 0 < weight:
                chosen = column
        columns[e] = columns[e] if chosen is None else chosen
        alpha = naive.change(alpha, e, LETTERS[columns[e]])
    return naive.without_idle_edits(alpha, beta).states, columns, masks


@settings(property_test, max_examples=60)
@given(legal_architectures(10, concats=True).filter(lambda beta: len(beta.states) > 0), st.integers(0, 2**31))
def test_draws_are_those_of_the_whole_judged_anew(beta: Architecture, seed: int) -> None:
    policy, tilt = RandomPolicy(), 2 * torch.randn(len(beta.states), 3, generator=seeded(seed))
    drawn = draw(policy, beta, 3, seeded(seed), tilt=tilt)
    generator = seeded(seed)
    for attempt, alpha in enumerate(drawn.architectures):
        logits = scores(policy, beta, generator, tilt)
        if not attempt:
            at_beta = entropy(logits, torch.from_numpy(transition_mask(beta)))
            assert torch.equal(drawn.entropy, at_beta)
        uniform = torch.rand(len(beta.states), generator=generator).tolist()
        states, columns, masks = _drawn_anew(beta, logits, uniform)
        assert alpha.states == states
        log_pi = log_probability(logits, torch.tensor(masks), torch.tensor(columns))
        assert torch.equal(drawn.log_probabilities[attempt], log_pi)
