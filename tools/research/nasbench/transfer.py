"""Policies without a look-up: from one table to the other, and to networks of the same that were not seen."""

from collections.abc import Sequence
from itertools import permutations
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import Architecture, transition_mask
from natonnx.policy.base import Policy, scores
from natonnx.search.budget import Budget
from tools.research.cells import Transitions
from tools.research.nasbench.chains import Chains
from tools.research.nasbench.macro import FULL_DEPTH, NETWORKS, Flops, Macro, alphas, best_within, network, text
from tools.research.nasbench.training import Recipe, train

__all__ = ["chance", "divide", "regrets", "train_on_macro"]

_HELD_OUT = 64
_NEAR = 0.85


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


def regrets(
    policy: Policy, table: Macro, networks: Sequence[str], target: float, transitions: Transitions = "nat"
) -> list[float]:
    """Return the regret in points of the most probable α at the least tilt of `Budget` at which it meets a budget.

    Args:
        policy: What says which layers may go.
        table: The accuracies.
        networks: By digits.
        target: Highest FLOPs, as a fraction of each network's.
        transitions: Whether a 2 may become a 1.
    """
    found = []
    for digits in networks:
        chosen = _most_probable(policy, network(digits, transitions), Flops(table, digits), target)
        found.append(best_within(table, digits, target, transitions) - table.accuracy[text(digits, chosen)])
    return found


def chance(table: Macro, networks: Sequence[str], target: float, transitions: Transitions = "nat") -> list[float]:
    """Return what a random α lacks on average that meets a budget and costs no less than 0.85 of it, in points."""
    found = []
    for digits in networks:
        shares = {alpha: table.flops[alpha] / table.flops[digits] for alpha in alphas(digits, transitions)}
        met = [table.accuracy[alpha] for alpha, share in shares.items() if _NEAR * target <= share <= target]
        found.append(best_within(table, digits, target, transitions) - fmean(met))
    return found


def _most_probable(policy: Policy, beta: Architecture, price: Flops, target: float) -> Architecture:
    """Raise the tilt until the most probable α meets the target: on a chain each edge changes by itself, one by one."""
    budget = Budget(price, target)
    budget.tilt = 1.0
    tilt = budget.logits(beta)
    assert tilt is not None
    with torch.no_grad():
        logits = scores(policy, beta, torch.Generator().manual_seed(0)).tolist()
    saved, mask = tilt.tolist(), transition_mask(beta)
    overtaking = sorted(
        ((logits[e][a] - logits[e][b]) / (saved[e][b] - saved[e][a]), e, a, b)
        for e, free in enumerate(mask)
        for a, b in permutations(np.flatnonzero(free).tolist(), 2)
        if saved[e][b] > saved[e][a]
    )
    columns = [edge.columns[state] for edge, state in zip(beta.topology.edges, beta.states, strict=True)]
    alpha = beta
    for _, e, a, b in overtaking:
        if budget.met_by(alpha):
            break
        if columns[e] == a:
            columns[e] = b
            state = beta.topology.edges[e].choices[b].state
            alpha = alpha.with_states((*alpha.states[:e], state, *alpha.states[e + 1 :]))
    return alpha
