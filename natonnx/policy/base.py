"""What every learner is, and how α's are drawn from it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from natonnx.architecture import Architecture, State, flow, transition_mask

__all__ = ["Draw", "Policy", "draw", "greedy", "keep_prior", "scores"]

_STATES = tuple(State)
_TRIES = 50


class Policy(nn.Module, ABC):
    """A learner: maps β to one distribution over O, S, N an edge.

    Attributes:
        learns: Whether REINFORCE can train it.
        edits: How many edges the first α's change on average.
    """

    learns = True

    def __init__(self, edits: float) -> None:
        super().__init__()
        self.edits = edits

    @abstractmethod
    def logits(self, architecture: Architecture) -> Tensor:
        """Scores [edges, 3], columns O, S, N meaning "becomes"; not masked, without the prior."""

    def prior(self, mask: Tensor, current: Tensor, generator: torch.Generator) -> Tensor:
        """Logits [edges, 3] by which an untrained policy keeps every edge but about `edits` of them.

        Args:
            mask: What each edge may become, boolean [edges, 3].
            current: Column of each edge's current state [edges].
            generator: Source of randomness, for learners whose prior is random.
        """
        del generator
        return keep_prior(mask, current, self.edits)


class Draw(NamedTuple):
    """α's drawn for one β.

    Attributes:
        architectures: Jointly legal α's.
        log_probabilities: log π(α|β) of each, exact [n].
        entropy: Of the edges' distributions at β, summed as in the paper, in nats.
    """

    architectures: list[Architecture]
    log_probabilities: Tensor
    entropy: Tensor


def keep_prior(mask: Tensor, current: Tensor, edits: float) -> Tensor:
    """Logits that make each edge with a choice change with the same probability, `edits` of them on average."""
    changes = mask.sum(1).float() - 1
    editable = int((changes > 0).sum())
    rate = min(0.5, edits / max(1, editable))
    keep = torch.log(changes.clamp(min=1) * (1 - rate) / rate)
    return torch.zeros(mask.shape).scatter_(1, current[:, None], keep[:, None])


def scores(policy: Policy, beta: Architecture, generator: torch.Generator, tilt: Tensor | None = None) -> Tensor:
    """Logits of each edge's next state, prior and tilt included, not masked [edges, 3]."""
    return _Walk(beta).scores(policy, generator, tilt)


def draw(
    policy: Policy,
    beta: Architecture,
    count: int,
    generator: torch.Generator,
    accept: Callable[[Architecture], bool] | None = None,
    tilt: Tensor | None = None,
) -> Draw:
    """Draw jointly legal α's from π(·|β).

    Edges are drawn one after the other, each from the softmax over what is legal after those before it. So every α is
    legal as a whole, and log π is exact.

    Args:
        policy: The learner.
        beta: What to transform.
        count: How many α's; fewer come back if `accept` refuses nearly all.
        generator: Source of randomness.
        accept: A further condition on α.
        tilt: Added to the logits [edges, 3].
    """
    walk = _Walk(beta)
    found: list[Architecture] = []
    log_pi: list[Tensor] = []
    total = walk.scores(policy, generator, tilt)
    entropy = _entropy(total, torch.from_numpy(walk.first))
    for attempt in range(count if accept is None else _TRIES * count):
        if len(found) == count:
            break
        if attempt and not policy.learns:
            total = walk.scores(policy, generator, tilt)
        alpha, columns, masks = walk.sample(total, torch.rand(len(beta.states), generator=generator).tolist())
        if accept is None or accept(alpha):
            found.append(alpha)
            masked = total.masked_fill(~torch.from_numpy(masks), -math.inf)
            log_pi.append(torch.log_softmax(masked, 1).gather(1, torch.tensor(columns)[:, None]).sum())
    return Draw(found, torch.stack(log_pi) if log_pi else torch.zeros(0), entropy)


def greedy(policy: Policy, beta: Architecture, generator: torch.Generator, tilt: Tensor | None = None) -> Architecture:
    """The α in which each edge takes its most probable legal state, one after the other."""
    with torch.no_grad():
        walk = _Walk(beta)
        return walk.sample(walk.scores(policy, generator, tilt), None)[0]


class _Walk:
    """Goes through the edges of one β and decides each in turn."""

    def __init__(self, beta: Architecture) -> None:
        self.beta = beta
        self.origin = flow(beta)
        self.first = transition_mask(beta, self.origin)

    def scores(self, policy: Policy, generator: torch.Generator, tilt: Tensor | None) -> Tensor:
        """See the function of that name."""
        current = torch.tensor([_STATES.index(state) for state in self.beta.states])
        total = policy.logits(self.beta) + policy.prior(torch.from_numpy(self.first), current, generator)
        return total if tilt is None else total + tilt

    def sample(
        self, total: Tensor, uniform: Sequence[float] | None
    ) -> tuple[Architecture, list[int], NDArray[np.bool_]]:
        """One α, the column that each edge took, and what it could choose from [edges, 3].

        Args:
            total: Logits [edges, 3].
            uniform: A number in [0, 1) an edge; the most probable state is taken where None.
        """
        logits = total.detach().tolist()
        alpha, mask = self.beta, self.first
        used, columns = mask.copy(), [_STATES.index(state) for state in self.beta.states]
        for e, keep in enumerate(columns):
            used[e] = mask[e]
            highest = max(score for score, free in zip(logits[e], mask[e], strict=True) if free)
            legal = [math.exp(score - highest) if free else 0.0 for score, free in zip(logits[e], mask[e], strict=True)]
            chosen = legal.index(max(legal)) if uniform is None else _pick(legal, uniform[e], keep)
            if chosen != keep:
                columns[e] = chosen
                alpha = alpha.with_states((*alpha.states[:e], _STATES[chosen], *alpha.states[e + 1 :]))
                mask = transition_mask(alpha, self.origin)
        return alpha, columns, used


def _pick(weights: Sequence[float], uniform: float, fallback: int) -> int:
    left = uniform * sum(weights)
    for column, weight in enumerate(weights):
        left -= weight
        if left < 0 < weight:
            return column
    return fallback


def _entropy(total: Tensor, mask: Tensor) -> Tensor:
    log_pi = torch.log_softmax(total.masked_fill(~mask, -math.inf), 1)
    return -(log_pi.exp() * log_pi.clamp(min=-1e9)).sum()
