"""REINFORCE on many β's at once, R(α|β) read from the table."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from natonnx.policy.base import Policy, entropy
from natonnx.search.reinforce import Reinforce
from tools.research.nasbench.networks import Networks
from tools.research.nasbench.predictor import predicted_accuracies

__all__ = ["Recipe", "Training", "logits", "train"]


@dataclass(frozen=True)
class Recipe:
    """How a policy is trained; the same for all learners but for what the grid chooses.

    Attributes:
        steps: Of Adam; its rate falls to zero by a cosine.
        betas: β's a step (the paper's m).
        alphas: α's a β (the paper's n). A policy that does not explore gets one, and as many more β's.
        learning_rate: At the start.
        entropy: λ at the start; a line takes it to zero.
        edit_price: What an edit must gain, as a fraction: among equals, the α that is nearest to β wins.
        predicted_from: Number of cells that are looked up to predict the accuracies of all; 0 to look up each.
    """

    steps: int = 3000
    betas: int = 256
    alphas: int = 4
    learning_rate: float = 3e-3
    entropy: float = 0.3
    edit_price: float = 0.001
    predicted_from: int = 0

    def within(self, queries: int) -> "Recipe":
        """The recipe for at most so many look-ups: smaller batches, and still some dozens of steps."""
        betas = 2 ** max(0, round(math.log2(queries**0.5 / 6)))
        alphas = min(4, self.alphas)
        return replace(self, betas=betas, alphas=alphas, steps=queries // (betas * (1 + alphas)))


@dataclass
class Training:
    """What training did.

    Attributes:
        queries: Look-ups of the table, β's and α's, repetitions counted.
        seen: Which cells were looked up [cells].
        seconds: Wall time.
        curve: Queries so far and the mean reward of the α's of that step, in points, now and then.
    """

    queries: int
    seen: Tensor
    seconds: float
    curve: list[tuple[int, float]] = field(default_factory=list)


def logits(policy: Policy, space: Networks, betas: Tensor, generator: torch.Generator) -> Tensor:
    """Scores with the prior, not masked [B, edges, width]."""
    features, choices = space.features[betas].flatten(0, 1), space.choices[betas].flatten(0, 1)
    scores: Tensor = policy(features, choices, space.graph(len(betas)))
    return scores.reshape(*space.masks[betas].shape) + policy.prior(space.masks[betas], space.current[betas], generator)


def train(
    policy: Policy,
    space: Networks,
    accuracy: Tensor,
    cells: Tensor,
    recipe: Recipe,
    *,
    seed: int = 0,
    watch: Callable[[int], None] = lambda _queries: None,
) -> Training:
    """Train a policy in place.

    Args:
        policy: The learner.
        space: All cells, or networks of another table.
        accuracy: The reward's, a fraction, of every cell.
        cells: Positions of the β's that may be drawn.
        recipe: How.
        seed: Of everything random.
        watch: Called after every step with the number of queries so far.
    """
    begun = time.monotonic()
    generator = torch.Generator().manual_seed(seed)
    if not policy.learns:
        return Training(0, torch.zeros(len(space.cells), dtype=torch.bool), 0.0)
    result = Training(0, torch.zeros(len(space.cells), dtype=torch.bool), 0.0)
    if recipe.predicted_from:
        known = cells[torch.randperm(len(cells), generator=generator)[: recipe.predicted_from]]
        accuracy = predicted_accuracies(space, accuracy, known, seed)
        result.queries, result.seen[known] = len(known), True
    learner = Reinforce(policy, recipe.learning_rate)
    alphas = recipe.alphas if policy.explores else 1
    betas = recipe.betas * (recipe.alphas // alphas)
    for step in range(recipe.steps):
        drawn = cells[torch.randint(len(cells), (betas,), generator=generator)]
        scores = logits(policy, space, drawn, generator)
        walk = space.walk(drawn, scores, alphas if policy.explores else None, generator)
        edits = (space.ops[walk.alphas] != space.ops[drawn][:, None]).sum(-1)
        rewards = accuracy[walk.alphas] - accuracy[drawn][:, None] - recipe.edit_price * edits
        at_betas = entropy(scores, space.masks[drawn]).mean()
        learner.step(walk.log_probabilities(scores), rewards, at_betas, recipe.entropy * (1 - step / recipe.steps))
        learner.optimizer.set_rate(0.5 * recipe.learning_rate * (1 + math.cos(math.pi * (step + 1) / recipe.steps)))
        if not recipe.predicted_from:
            result.queries += betas + walk.alphas.numel()
            result.seen[drawn] = result.seen[walk.alphas.flatten()] = True
        if step % max(1, recipe.steps // 200) == 0 or step == recipe.steps - 1:
            result.curve.append((result.queries, 100 * float(rewards.mean())))
        watch(result.queries)
    result.seconds = time.monotonic() - begun
    return result
