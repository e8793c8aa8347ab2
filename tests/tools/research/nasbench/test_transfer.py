"""Policies without a look-up on NAS-Bench-Macro."""

import pytest
import torch

from natonnx.policy import make_policy
from natonnx.policy.base import greedy
from natonnx.search.budget import Budget
from tests.tools.research.nasbench.macro_table import write_macro
from tools.research.cells import TRANSITIONS, Transitions
from tools.research.nasbench.chains import Chains
from tools.research.nasbench.macro import (
    FULL_DEPTH,
    LAYERS,
    Flops,
    Macro,
    alphas,
    best_within,
    network,
    read_macro,
    text,
)
from tools.research.nasbench.training import Recipe
from tools.research.nasbench.transfer import chance, divide, regrets, train_on_macro

SOME = ["12211212", "21122121", "22222222"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Macro:
    return read_macro(write_macro(tmp_path_factory.mktemp("macro") / "macro.json"))


def _share(table: Macro, digits: str, alpha: str) -> float:
    return table.flops[alpha] / table.flops[digits]


def test_networks_are_trained_on_or_held_out() -> None:
    training, held_out = divide()
    assert sorted(training + held_out) == sorted(FULL_DEPTH)
    assert len(held_out) == 64
    assert divide(1) != divide() == divide()


def test_a_policy_without_opinions_removes_what_saves_most(table: Macro) -> None:
    """Until the budget is met: the tilt alone decides."""
    policy = make_policy("gcn-directed")
    with torch.no_grad():
        for value in policy.head.parameters():  # type: ignore[union-attr]
            value.zero_()
    for digits, found in zip(SOME, regrets(policy, table, SOME, 0.6), strict=True):
        saved = [table.flops[digits] - table.flops[f"{digits[:i]}0{digits[i + 1 :]}"] for i in range(LAYERS)]
        alpha = digits
        for i in sorted(range(LAYERS), key=lambda i: -saved[i]):
            if _share(table, digits, alpha) <= 0.6:
                break
            alpha = f"{alpha[:i]}0{alpha[i + 1 :]}"
        assert found == pytest.approx(best_within(table, digits, 0.6) - table.accuracy[alpha])


@pytest.mark.parametrize("transitions", TRANSITIONS)
def test_what_is_chosen_is_the_most_probable_at_the_least_tilt(table: Macro, transitions: Transitions) -> None:
    """Found by trying tilts from low to high."""
    policy, digits = make_policy("gcn-directed", seed=3), "12211212"
    with torch.no_grad():
        policy.head.letters.weight.mul_(30)  # type: ignore[union-attr,operator]
    price, beta = Flops(table, digits), network(digits, transitions)
    budget = Budget(price, 0.6)
    for tilt in torch.arange(-20, 40, 0.05).tolist():
        budget.tilt = tilt
        alpha = greedy(policy, beta, torch.Generator(), budget.logits(beta))
        if budget.met_by(alpha):
            break
    lost = best_within(table, digits, 0.6, transitions) - table.accuracy[text(digits, alpha)]
    assert regrets(policy, table, [digits], 0.6, transitions) == [pytest.approx(lost)]


def test_chance_is_the_mean_of_what_is_near_the_budget(table: Macro) -> None:
    for digits, found in zip(SOME, chance(table, SOME, 0.7), strict=True):
        near = [table.accuracy[one] for one in alphas(digits) if 0.85 * 0.7 <= _share(table, digits, one) <= 0.7]
        assert found == pytest.approx(best_within(table, digits, 0.7) - sum(near) / len(near))


def test_training_on_other_networks_helps(table: Macro, chains: Chains) -> None:
    training, held_out = divide()
    policy = make_policy("gcn-directed")
    before = regrets(policy, table, held_out[:16], 0.7)
    recipe = Recipe(steps=60, betas=32, edit_price=0.0)
    assert train_on_macro(policy, chains, table, training, recipe, 12.0, 0) == 60 * 32 * 5
    after = regrets(policy, table, held_out[:16], 0.7)
    assert min(after) >= 0
    assert sum(after) < 0.7 * sum(before)
