"""All cells at once, in arrays: the same as one at a time by natonnx.architecture and natonnx.policy."""

import itertools
import math
from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from natonnx.architecture import (
    Architecture,
    cost,
    find_liveness,
    transition_mask,
    violation,
)
from natonnx.policy import make_policy
from natonnx.policy.base import greedy
from natonnx.policy.encode import FEATURES, encode, encode_choices
from natonnx.policy.graph import RELATIONS, edge_graph
from tests.architecture import naive
from tests.policy.references import enumerate_alphas, seeded
from tests.tools.research.nasbench.cells import EVERY, OPS, STATES, accuracies, become, text, working
from tools.research.cells import TRANSITIONS, Transitions, nasbench201_cell, nasbench201_text
from tools.research.nasbench.measure import best_alphas
from tools.research.nasbench.space import Space
from tools.research.nasbench.training import logits

ODD = (
    text(["none"] * 6),
    text(["skip_connect"] * 6),
    text(["avg_pool_3x3"] * 6),
    text(["nor_conv_3x3"] * 6),
    text(["none", "none", "avg_pool_3x3", "nor_conv_1x1", "none", "none"]),  # a pool that reads what null removed
    text(["avg_pool_3x3", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3", "none"]),  # an idle node 2
    text(["nor_conv_3x3", "none", "none", "skip_connect", "none", "avg_pool_3x3"]),  # node 2 is dead, and 1 not read
    text(["none", "nor_conv_3x3", "none", "none", "skip_connect", "nor_conv_1x1"]),
)


@pytest.fixture(scope="module", params=TRANSITIONS)
def space(request: pytest.FixtureRequest) -> Space:
    """With the paper's transitions, and with those of NAT++."""
    return Space(EVERY, request.param)


@pytest.fixture(scope="module")
def some(space: Space) -> Tensor:
    """Positions of odd cells and of random ones, broken ones among them."""
    odd = torch.tensor([EVERY.index(cell) for cell in ODD])
    return torch.cat([odd, torch.randperm(len(space.cells), generator=seeded(5))[:22]])


@pytest.fixture(scope="module")
def few(space: Space, some: Tensor) -> Tensor:
    """The odd cells and some random ones, as far as all that they may become is tried soon."""
    tried = [math.prod(len(edge.choices) for edge in _cell(space, cell).topology.edges) for cell in some.tolist()]
    return some[:20][torch.tensor(tried[:20]) <= 2000]


def _cell(space: Space, cell: int) -> Architecture:
    return nasbench201_cell(EVERY[cell], transitions=space.transitions)


@cache
def _alphas(cell: str, transitions: Transitions) -> dict[tuple[int, ...], Architecture]:
    """By their columns, the jointly legal α's of a cell, and the cell itself."""
    beta = nasbench201_cell(cell, transitions=transitions)
    found: dict[tuple[int, ...], Architecture] = {}
    own = [
        range(edge.operation is None, len(edge.choices)) for edge in beta.topology.edges
    ]  # or there is none to carry
    for columns in itertools.product(*own):
        alpha = become(beta, columns)
        if alpha == beta or violation(alpha, beta) is None:
            found[columns] = alpha
    return found


# What a cell is


def test_there_are_as_many_cells_as_choices(space: Space) -> None:
    assert len(space.cells) == len(set(space.cells)) == 5**6
    assert space.cells == EVERY


def test_features_are_those_of_each_architecture(space: Space, some: Tensor) -> None:
    for cell in some.tolist():
        np.testing.assert_array_equal(space.features[cell], encode(_cell(space, cell)))


def test_states_are_those_of_each_architecture(space: Space, some: Tensor) -> None:
    for cell in some.tolist():
        assert [OPS[op] for op in space.ops[cell].tolist()] == _ops_of(EVERY[cell])
        assert become(_cell(space, cell), space.current[cell].tolist()) == _cell(space, cell)


def test_masks_are_what_each_edge_may_become(space: Space, some: Tensor) -> None:
    cells = torch.cat([some, torch.randperm(len(space.cells), generator=seeded(6))[:400]])
    for cell in cells.tolist():
        expected = transition_mask(_cell(space, cell))
        np.testing.assert_array_equal(space.masks[cell, :, : expected.shape[1]], expected)
        assert not space.masks[cell, :, expected.shape[1] :].any()


def test_choices_are_those_of_each_architecture(space: Space, some: Tensor) -> None:
    for cell in some.tolist():
        expected = encode_choices(_cell(space, cell).topology)
        found = space.choices[cell].numpy()
        np.testing.assert_array_equal(found[:, : expected.shape[1]], expected)
        assert not found[:, expected.shape[1] :].any()


def test_costs_are_those_of_each_architecture(space: Space, some: Tensor) -> None:
    for cell in some.tolist():
        counted = cost(_cell(space, cell))
        assert space.own_costs[cell].tolist() == [counted.params, counted.madds]


def test_broken_cells_are_those_whose_output_gets_nothing(space: Space, some: Tensor) -> None:
    expected = [find_liveness(_cell(space, cell)).broken is not None for cell in some.tolist()]
    assert space.broken[some.numpy()].tolist() == expected
    assert {True, False} == set(expected)


def test_signatures_are_equal_after_null_propagation_alone(space: Space) -> None:
    """Cells have the same one if they differ in edges that carry nothing, and not otherwise."""
    cells = torch.randperm(len(space.cells), generator=seeded(7))[:400].tolist()
    left: dict[str, set[str]] = {}
    for cell in cells:
        beta = _cell(space, cell)
        used = zip(_ops_of(EVERY[cell]), find_liveness(beta).active.tolist(), strict=True)
        left.setdefault(space.signatures[cell], set()).add(text([op if active else "none" for op, active in used]))
    assert all(len(cells) == 1 for cells in left.values())
    assert len({cell for cells in left.values() for cell in cells}) == len(left) < len(cells)


def _ops_of(cell: str) -> list[str]:
    return [word.partition("~")[0] for word in cell.replace("+", "").split("|") if word]


@pytest.mark.parametrize("count", [1, 3])
def test_the_graph_is_that_of_many_cells_side_by_side(space: Space, count: int) -> None:
    graph, alone = space.graph(count), edge_graph(nasbench201_cell(EVERY[0]).topology)
    assert space.graph(count) is graph
    assert graph.sizes.tolist() == [6] * count
    for relation in RELATIONS:
        own, links = alone.links[relation], graph.links[relation]
        pairs = list(zip(own.sources.tolist(), own.targets.tolist(), strict=True))
        expected = [(e + 6 * i, f + 6 * i) for i in range(count) for e, f in pairs]
        assert list(zip(links.sources.tolist(), links.targets.tolist(), strict=True)) == expected


@pytest.mark.parametrize("learner", ["gcn-directed", "gcn-max", "lstm"])
def test_logits_are_those_of_each_architecture(space: Space, some: Tensor, learner: str) -> None:
    policy = make_policy(learner)
    found = logits(policy, space, some, seeded()).detach()
    for row, cell in zip(found, some.tolist(), strict=True):
        beta = _cell(space, cell)
        prior = policy.prior(torch.from_numpy(transition_mask(beta)), space.current[cell], seeded())
        torch.testing.assert_close(row[:, : prior.shape[1]], policy.logits(beta).detach() + prior)


# What it may become


def test_alphas_are_the_cells_that_the_text_says(space: Space, few: Tensor) -> None:
    for cell in few.tolist():
        for columns, alpha in _alphas(EVERY[cell], space.transitions).items():
            found = space.alphas(torch.tensor([cell]), torch.tensor([[columns]]))
            assert space.cells[int(found)] == nasbench201_text(alpha)


def test_a_space_of_few_cells_knows_no_others() -> None:
    """Positions follow the order in which the cells are given."""
    cells = [text(["none", "none", "none", op, "none", "none"]) for op in ("none", "nor_conv_3x3", "skip_connect")]
    space = Space(cells)
    columns = torch.full((1, 4, 6), 2)
    columns[0, :, 3] = torch.tensor([0, 1, 2, 1])
    columns[0, 3, 0] = 1  # a cell that is not there
    assert space.alphas(torch.tensor([1]), columns).tolist() == [[1, 2, 0, -1]]
    assert space.features.shape == (3, 6, FEATURES)


def test_what_is_reachable_are_the_alphas_of_the_joint_check(space: Space, few: Tensor) -> None:
    """All combinations of choices, one by one."""
    for cell in few.tolist():
        found = {
            space.cells[position] for position in space.reachable(torch.tensor([cell]))[0].nonzero()[:, 0].tolist()
        }
        assert found == {nasbench201_text(alpha) for alpha in _alphas(EVERY[cell], space.transitions).values()}


def test_the_best_alpha_is_the_best_of_all_legal_ones(space: Space, few: Tensor) -> None:
    accuracy = accuracies(len(space.cells))
    found = best_alphas(space, few, accuracy)
    for cell, best in zip(few.tolist(), found.tolist(), strict=True):
        positions = [EVERY.index(nasbench201_text(alpha)) for alpha in _alphas(EVERY[cell], space.transitions).values()]
        assert best == max(positions, key=lambda position: float(accuracy.validation[position]))


# Drawing


def test_a_walk_draws_what_draw_draws(space: Space, few: Tensor) -> None:
    """The same α's with the same log π, as often as that says."""
    count = 3000
    tables = 1.5 * torch.randn(len(few), 6, space.width, generator=seeded(1))
    walk = space.walk(few, tables, count, seeded(2))
    log_pi = walk.log_probabilities(tables).tolist()
    for i, cell in enumerate(few.tolist()):
        beta = _cell(space, cell)
        expected = {
            tuple(edge.columns[state] for edge, state in zip(beta.topology.edges, states, strict=True)): value
            for states, value in enumerate_alphas(beta, tables[i].double().numpy()).items()
        }
        drawn = list(map(tuple, walk.columns[i].tolist()))
        assert log_pi[i] == pytest.approx([expected[columns] for columns in drawn], abs=1e-4)
        often = Counter(drawn)
        for columns, value in expected.items():
            mean = count * math.exp(value)
            assert abs(often[columns] - mean) < 6 * max(1, math.sqrt(mean)), (EVERY[cell], columns)


def test_choices_without_effect_are_undone(space: Space, some: Tensor) -> None:
    walk = space.walk(some, torch.randn(len(some), 6, space.width, generator=seeded(5)), 40, seeded(6))
    undone = 0
    for cell, columns, alphas in zip(some.tolist(), walk.columns.tolist(), walk.alphas.tolist(), strict=True):
        beta = _cell(space, cell)
        for drawn, alpha in zip(columns, alphas, strict=True):
            plain = naive.without_idle_edits(become(beta, drawn), beta)
            assert EVERY[alpha] == nasbench201_text(plain)
            undone += plain != become(beta, drawn)
    assert undone > 20


def test_masks_of_a_walk_say_what_could_be_chosen(space: Space, some: Tensor) -> None:
    """They hold what was chosen, and what the edge is."""
    walk = space.walk(some, torch.randn(len(some), 6, space.width, generator=seeded(3)), 20, seeded(4))
    assert walk.masks.gather(-1, walk.columns[..., None]).all()
    assert walk.masks.gather(-1, space.current[some][:, None, :, None].expand(-1, 20, -1, -1)).all()


def test_gradients_reach_the_logits(space: Space, some: Tensor) -> None:
    tables = torch.randn(len(some), 6, space.width, generator=seeded(3)).requires_grad_()
    log_pi = space.walk(some, tables, 4, seeded()).log_probabilities(tables)
    assert log_pi.shape == (len(some), 4)
    torch.autograd.backward(log_pi.sum())
    assert tables.grad is not None
    assert torch.isfinite(tables.grad).all()
    assert tables.grad.any()


def test_every_alpha_drawn_is_legal(space: Space) -> None:
    betas = working(space, 300)
    policy = make_policy("random")
    for seed in range(3):
        columns = space.walk(betas, logits(policy, space, betas, seeded(seed)), 4, seeded(seed)).columns
        assert space.reachable(betas).gather(1, space.alphas(betas, columns)).all()
        for cell, drawn in zip(betas[:60].tolist(), columns[:60].tolist(), strict=True):
            beta = _cell(space, cell)
            assert [violation(become(beta, one), beta) for one in drawn] == [None] * 4


@pytest.mark.parametrize("learner", ["gcn-directed", "gcn-max"])
def test_without_a_count_it_is_the_most_probable_alpha(space: Space, some: Tensor, learner: str) -> None:
    policy = make_policy(learner, edits=6.0, seed=1)
    with torch.no_grad():
        policy.get_submodule("head.letters").get_parameter("weight").mul_(20)
    alphas = space.walk(some, logits(policy, space, some, seeded()), None, seeded()).alphas
    for cell, drawn in zip(some.tolist(), alphas.tolist(), strict=True):
        beta = _cell(space, cell)
        assert [EVERY[one] for one in drawn] == [nasbench201_text(greedy(policy, beta, seeded()))]


def test_a_seed_repeats_a_walk(space: Space, some: Tensor) -> None:
    tables = torch.zeros(len(some), 6, space.width)
    one, two, other = (space.walk(some, tables, 8, seeded(seed)).columns for seed in (5, 5, 6))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_operations_have_the_papers_states(space: Space) -> None:
    for i, op in enumerate(OPS):
        cell = space.current[EVERY.index(text([op] * 6))]
        assert {STATES[column] for column in cell.tolist()} == {"N" if op == "none" else "S" if i == 1 else "O"}
