"""How much of the reachable gain is gained: on numbers made by hand, and what is chosen among."""

import pytest
import torch
from torch import Tensor

from natonnx.architecture import cost
from natonnx.policy import LEARNERS, make_policy
from natonnx.policy.base import greedy
from tests.policy.references import seeded
from tests.tools.research.nasbench.cells import EVERY, accuracies, text, working
from tools.research.cells import nasbench201_cell, nasbench201_text
from tools.research.nasbench.measure import best_alphas, choose, measure, transform
from tools.research.nasbench.space import Space
from tools.research.nasbench.table import Accuracies


@pytest.fixture(scope="module")
def betas(space: Space) -> Tensor:
    return working(space, 40)


def _cell(direct: str, *, by_node: str = "none") -> int:
    """Position of the cell with one edge to the output, and a way through node 1."""
    return EVERY.index(text([by_node, "none", "none", direct, by_node, "none"]))


def _table(space: Space, values: dict[int, tuple[float, float]]) -> Accuracies:
    """Validation and test accuracies of some cells, 0 for all others."""
    found = Accuracies(torch.zeros(len(space.cells)), torch.zeros(len(space.cells)))
    for cell, (validation, test) in values.items():
        found.validation[cell], found.test[cell] = validation, test
    return found


def test_measures_are_those_counted_by_hand(space: Space) -> None:
    conv, two, pool = _cell("nor_conv_3x3"), _cell("skip_connect", by_node="nor_conv_1x1"), _cell("avg_pool_3x3")
    skip, detour = _cell("skip_connect"), _cell("none", by_node="skip_connect")
    accuracy = _table(
        space,
        {conv: (0.5, 0.5), two: (0.7, 0.6), pool: (0.2, 0.1), skip: (0.6, 0.9), detour: (0.3, 0.45)},
    )
    betas, alphas = torch.tensor([conv, two, pool]), torch.tensor([detour, two, skip])
    found = measure(space, betas, alphas, best_alphas(space, betas, accuracy), accuracy)
    assert found.beta == pytest.approx(40)  # (50 + 60 + 10) / 3
    assert found.alpha == pytest.approx(65)  # (45 + 60 + 90) / 3
    assert found.best == pytest.approx(80)  # (90 + 60 + 90) / 3: `two` stays, for validation chooses
    assert found.captured == pytest.approx(25 / 40, abs=1e-5)
    assert found.captured_good == pytest.approx(-5 / 40, abs=1e-5)  # of `conv` and `two`
    assert found.not_worse == found.not_worse_validation == pytest.approx(2 / 3)
    before = [cost(nasbench201_cell(EVERY[cell])) for cell in (conv, two, pool)]
    assert found.params == pytest.approx(-before[0].params / sum(one.params for one in before))
    assert found.madds == pytest.approx(-(before[0].madds or 0) / sum(one.madds or 0 for one in before))
    assert found.to_dict()["best"] == found.best


def test_betas_as_they_are_capture_nothing_and_the_best_capture_all(space: Space, betas: Tensor) -> None:
    values = accuracies(len(space.cells))
    accuracy = Accuracies(values.test, values.test)
    best = torch.where(space.reachable(betas), accuracy.test, -1).argmax(1)
    for alphas, share in ((betas, 0), (best, 1)):
        found = measure(space, betas, alphas, best, accuracy)
        assert found.captured == found.captured_good == pytest.approx(share)
        assert found.not_worse == 1


@pytest.mark.parametrize("learner", LEARNERS)
def test_what_is_drawn_is_legal(space: Space, betas: Tensor, learner: str) -> None:
    draws = transform(make_policy(learner), space, betas, 3)
    assert torch.equal(draws.betas, betas)
    for cells in (draws.likely[:, None], draws.samples):
        assert space.reachable(betas).gather(1, cells).all()
    assert draws.samples.shape == (40, 1 if learner == "gcn-max" else 10)


@pytest.mark.parametrize("learner", ["gcn-directed", "gcn-max"])
def test_the_most_probable_alpha_needs_no_seed(space: Space, betas: Tensor, learner: str) -> None:
    policy = make_policy(learner, seed=2)
    one, other = (transform(policy, space, betas, seed) for seed in (0, 1))
    assert torch.equal(one.likely, other.likely)
    assert torch.equal(one.samples, other.samples) is not policy.explores
    for beta, alpha in zip(betas.tolist(), one.likely.tolist(), strict=True):
        expected = greedy(policy, nasbench201_cell(EVERY[beta]), seeded())
        assert EVERY[alpha] == nasbench201_text(expected)


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_seed_repeats_the_samples(space: Space, betas: Tensor, learner: str) -> None:
    policy = make_policy(learner)
    one, two = (transform(policy, space, betas, 7) for _ in range(2))
    assert torch.equal(one.samples, two.samples)
    assert torch.equal(one.likely, two.likely)


@pytest.mark.parametrize("learner", LEARNERS)
def test_each_way_to_choose_takes_the_best_that_it_may_look_up(space: Space, betas: Tensor, learner: str) -> None:
    accuracy = accuracies(len(space.cells), seed=1)
    draws = transform(make_policy(learner), space, betas, 0)
    found = choose(draws, accuracy)
    value = accuracy.validation
    assert torch.equal(found.zero_shot, draws.likely)
    highest = value[draws.samples].amax(1)
    assert torch.equal(value[found.never_worse], torch.maximum(value[betas], value[draws.likely]))
    assert torch.equal(value[found.best_of_samples], highest)
    assert torch.equal(value[found.both], torch.maximum(highest, value[found.never_worse]))
