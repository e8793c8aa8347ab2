"""What every learner is, and how α's are drawn from it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from natonnx.architecture import Architecture, State, transition_mask, violation

__all__ = ["Draw", "Policy", "draw", "greedy", "log_probabilities"]

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
        log_probabilities: log π(α|β) of each, as drawn edge by edge [n].
        entropy: H(π(·|β)), summed over the edges as in the paper, in nats.
    """

    architectures: list[Architecture]
    log_probabilities: Tensor
    entropy: Tensor


def keep_prior(mask: Tensor, current: Tensor, edits: float) -> Tensor:
    """Logits that make each edge with a choice change with the same probability, `edits` of them on average."""
    choices = mask.sum(1).float() - 1
    editable = int((choices > 0).sum())
    rate = min(0.5, edits / max(1, editable))
    keep = torch.log(choices.clamp(min=1) * (1 - rate) / rate)
    return torch.zeros(mask.shape).scatter_(1, current[:, None], keep[:, None])


def log_probabilities(
    policy: Policy, beta: Architecture, generator: torch.Generator, tilt: Tensor | None = None
) -> Tensor:
    """Log π of each edge's next state, illegal ones at −inf [edges, 3]; `tilt` is added to the logits."""
    mask = torch.from_numpy(transition_mask(beta))
    current = torch.tensor([_STATES.index(state) for state in beta.states])
    scores = policy.logits(beta) + policy.prior(mask, current, generator)
    if tilt is not None:
        scores = scores + tilt
    return torch.log_softmax(scores.masked_fill(~mask, -math.inf), dim=1)


def draw(
    policy: Policy,
    beta: Architecture,
    count: int,
    generator: torch.Generator,
    accept: Callable[[Architecture], bool] | None = None,
    tilt: Tensor | None = None,
) -> Draw:
    """Draw jointly legal α's from π(·|β).

    Edges are drawn independently and illegal wholes are rejected, so α follows π conditioned on legality. Its
    normaliser adds the same −∇log Z to every α of the group, which a leave-one-out baseline cancels, the advantages
    summing to zero; so the plain log π serves REINFORCE.

    Args:
        policy: The learner.
        beta: What to transform.
        count: How many α's; fewer come back if `accept` or the joint check refuses nearly all.
        generator: Source of randomness.
        accept: A further condition on α.
        tilt: Added to the logits [edges, 3].
    """
    found: list[Architecture] = []
    scores: list[Tensor] = []
    log_pi = log_probabilities(policy, beta, generator, tilt)
    redraw = not policy.learns
    for _ in range(_TRIES * count):
        if len(found) == count:
            break
        if redraw:
            log_pi = log_probabilities(policy, beta, generator, tilt)
        columns = torch.multinomial(log_pi.detach().exp(), 1, generator=generator)[:, 0]
        alpha = beta.with_states(tuple(_STATES[i] for i in columns.tolist()))
        if violation(alpha, beta) is None and (accept is None or accept(alpha)):
            found.append(alpha)
            scores.append(log_pi.gather(1, columns[:, None]).sum())
    return Draw(found, torch.stack(scores) if scores else torch.zeros(0), _entropy(log_pi))


def greedy(
    policy: Policy, beta: Architecture, generator: torch.Generator, tilt: Tensor | None = None
) -> Architecture | None:
    """The most probable α edge by edge; None where it is jointly illegal."""
    with torch.no_grad():
        columns = log_probabilities(policy, beta, generator, tilt).argmax(1).tolist()
    alpha = beta.with_states(tuple(_STATES[i] for i in columns))
    return alpha if violation(alpha, beta) is None else None


def _entropy(log_pi: Tensor) -> Tensor:
    return -(log_pi.exp() * log_pi.clamp(min=-1e9)).sum()
