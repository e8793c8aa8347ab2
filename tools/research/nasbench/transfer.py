"""Policies without a look-up: from one table to the other, and to networks of the same that were not seen."""

from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor

from natonnx.architecture import LETTERS, State
from natonnx.policy.base import Policy, scores
from natonnx.search.budget import Budget
from tools.research.nasbench.chains import Chains
from tools.research.nasbench.macro import FULL_DEPTH, NETWORKS, Flops, Macro, alphas, best_within, network, text
from tools.research.nasbench.training import Recipe, train

__all__ = ["chance", "divide", "regrets", "train_on_macro"]

_HELD_OUT = 64
_NEAR = 0.85
_O, _S = map(LETTERS.index, (State.O, State.S))


def divide(seed: int = 0) -> tuple[list[str], list[str]]:
    """Divide the full-depth networks: 192 to train on, 64 held out."""
    order = [FULL_DEPTH[i] for i in torch.randperm(len(FULL_DEPTH), generator=torch.Generator().manual_seed(seed))]
    return order[_HELD_OUT:], order[:_HELD_OUT]


def train_on_macro(
    policy: Policy, chains: Chains, table: Macro, betas: Sequence[str], recipe: Recipe, price: float, seed: int
) -> int:
    """Train a policy in place by REINFORCE on accuracy less a price of FLOPs, as removing layers never gains accuracy.

    Args:
        policy: The learner.
        chains: All networks.
        table: The rewards.
        betas: Those to train on, by digits.
        recipe: How.
        price: Points of accuracy that all FLOPs of the dearest network are worth.
        seed: Of everything random.

    Returns:
        How many look-ups it took, repetitions counted.
    """
    accuracy = torch.tensor([table.accuracy[digits] for digits in NETWORKS])
    flops = torch.tensor([table.flops[digits] for digits in NETWORKS])
    reward: Tensor = (accuracy - price * flops / flops.max()) / 100
    return train(policy, chains, reward, chains.find(betas), recipe, seed=seed).queries


def regrets(policy: Policy, table: Macro, networks: Sequence[str], target: float) -> list[float]:
    """Return the regret in points of the most probable α at the least tilt of `Budget` at which it meets a budget.

    Args:
        policy: What says which layers may go.
        table: The accuracies.
        networks: By digits.
        target: Highest FLOPs, as a fraction of each network's.
    """
    found = []
    for digits in networks:
        chosen = _most_probable(policy, Flops(table, digits), target)
        found.append(best_within(table, digits, target) - table.accuracy[chosen])
    return found


def chance(table: Macro, networks: Sequence[str], target: float) -> list[float]:
    """Return what a random α lacks on average that meets a budget and costs no less than 0.85 of it, in points."""
    found = []
    for digits in networks:
        shares = {alpha: table.flops[alpha] / table.flops[digits] for alpha in alphas(digits)}
        met = [table.accuracy[alpha] for alpha, share in shares.items() if _NEAR * target <= share <= target]
        found.append(best_within(table, digits, target) - fmean(met))
    return found


def _most_probable(policy: Policy, price: Flops, target: float) -> str:
    """Remove the layer that goes at the least tilt, and the next: on a chain each edge is decided by itself."""
    beta, budget = network(price.digits), Budget(price, target)
    budget.tilt = 1.0
    tilt = budget.logits(beta)
    assert tilt is not None
    with torch.no_grad():
        logits = scores(policy, beta, torch.Generator().manual_seed(0))
    order = ((logits[:, _O] - logits[:, _S]) / tilt[:, _S]).argsort(stable=True).tolist()
    alpha = beta
    for edge in order:
        if budget.met_by(alpha):
            break
        alpha = alpha.with_states((*alpha.states[:edge], State.S, *alpha.states[edge + 1 :]))
    return text(price.digits, alpha)
