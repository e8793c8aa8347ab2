"""What every learner is, and how α's are drawn from it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from natonnx.architecture import (
    LETTERS,
    Architecture,
    Legality,
    State,
    find_liveness,
    transition_mask,
    without_idle_edits,
)
from natonnx.errors import InputError, running
from natonnx.policy.backend import serving
from natonnx.policy.encode import CHOICE, encode, encode_choices
from natonnx.policy.graph import Graph, edge_graph

__all__ = [
    "Draw",
    "Head",
    "Policy",
    "draw",
    "entropy",
    "greedy",
    "keep_prior",
    "log_probability",
    "scores",
]

_TRIES = 50


class Policy(nn.Module, ABC):
    """A learner: maps β to one distribution over its choices an edge.

    A subclass takes `edits` and `seed` by name; a search makes it so.

    Attributes:
        learns: Whether REINFORCE can train it.
        explores: Whether α's are sampled; else each is the most probable one.
        edits: How many edges the first α's change on average.
    """

    learns = True
    explores = True

    def __init__(self, edits: float) -> None:
        super().__init__()
        self.edits = edits
        serving()  # what cannot serve is refused before a search begins

    @abstractmethod
    def forward(self, features: Tensor, choices: Tensor, graph: Graph) -> Tensor:
        """Scores [edges, width] of each edge's choices, meaning "becomes"; not masked, without the prior.

        Args:
            features: What `encode` says of each edge [edges, FEATURES].
            choices: What `encode_choices` says of each of its choices [edges, width, CHOICE].
            graph: Which edges touch; see `Graph`. It may hold several architectures.
        """

    def logits(self, architecture: Architecture) -> Tensor:
        """Scores [edges, width] of one architecture.

        Raises:
            InputError: If `forward` gives something else, or no finite numbers.
        """
        features, choices = encode(architecture), encode_choices(architecture.topology)
        name = f"{type(self).__module__}:{type(self).__qualname__}"
        with running(name):
            scores: Any = self(torch.from_numpy(features), torch.from_numpy(choices), edge_graph(architecture.topology))
        wanted = choices.shape[:2]
        if not isinstance(scores, Tensor) or scores.shape != wanted or not bool(scores.isfinite().all()):
            what = f"a tensor {[*scores.shape]}" if isinstance(scores, Tensor) else type(scores).__name__
            raise InputError(
                f"{name}: forward gave {what}; it must give finite scores [edges, choices], here {[*wanted]}"
            )
        return scores

    def prior(self, mask: Tensor, current: Tensor, generator: torch.Generator) -> Tensor:
        """Logits [..., edges, width] by which an untrained policy keeps every edge but about `edits` of them.

        Args:
            mask: What each edge may become, boolean [..., edges, width].
            current: Column of each edge's current state [..., edges].
            generator: Source of randomness, for learners whose prior is random.
        """
        del generator
        return keep_prior(mask, current, self.edits)


class Draw(NamedTuple):
    """α's drawn for one β.

    Attributes:
        architectures: Jointly legal α's.
        log_probabilities: log π of the choices that led to each, exact [n].
        entropy: Of the edges' distributions at β, summed as in the paper, in nats.
    """

    architectures: list[Architecture]
    log_probabilities: Tensor
    entropy: Tensor


def keep_prior(mask: Tensor, current: Tensor, edits: float | Tensor) -> Tensor:
    """Logits by which each edge with a choice changes with the same probability.

    Args:
        mask: What each edge may become, boolean [..., edges, width].
        current: Column of each edge's current state [..., edges].
        edits: How many edges of an architecture change on average, a number or [...].
    """
    changes = mask.sum(-1).float() - 1
    editable = (changes > 0).sum(-1).clamp(min=1)
    rate = (edits / editable).clamp(max=0.5)[..., None]
    keep = torch.log(changes.clamp(min=1) * (1 - rate) / rate)
    return torch.zeros(mask.shape).scatter_(-1, current[..., None], keep[..., None])


class Head(nn.Module):
    """A last layer: the hidden state of an edge to scores of O, S and N, and of what each other choice is.

    A cheaper operation has the score of O and, beside it, the inner product of its features with what the edge makes of
    them. At first all are small beside the prior's: "keep everything".

    Args:
        width: Of the hidden state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.letters = _small(width, len(LETTERS))
        self.cheaper = _small(width, CHOICE - len(LETTERS))

    def forward(self, hidden: Tensor, choices: Tensor) -> Tensor:
        """Map [edges, width of the hidden state] and [edges, choices, CHOICE] to [edges, choices]."""
        letters: Tensor = self.letters(hidden)
        others = choices[:, len(LETTERS) :, len(LETTERS) :]
        if not others.shape[1]:
            return letters
        return torch.cat([letters, letters[:, :1] + (self.cheaper(hidden)[:, None] * others).sum(-1)], 1)


def _small(width: int, scores: int) -> nn.Linear:
    layer = nn.Linear(width, scores)
    nn.init.normal_(layer.weight, std=0.1 / width**0.5)
    nn.init.zeros_(layer.bias)
    return layer


def log_probability(scores: Tensor, masks: Tensor, columns: Tensor) -> Tensor:
    """Log π [...] of the columns chosen [..., edges], given scores and what could be chosen [..., edges, width]."""
    log_pi = torch.log_softmax(scores.masked_fill(~masks, -math.inf), -1)
    return log_pi.gather(-1, columns[..., None]).sum((-1, -2))


def entropy(scores: Tensor, masks: Tensor) -> Tensor:
    """Entropy of the edges' distributions, summed as in the paper, in nats [...], given scores [..., edges, width]."""
    log_pi = torch.log_softmax(scores.masked_fill(~masks, -math.inf), -1)
    return -(log_pi.exp() * log_pi.clamp(min=-1e9)).sum((-1, -2))


def scores(policy: Policy, beta: Architecture, generator: torch.Generator, tilt: Tensor | None = None) -> Tensor:
    """Logits of each edge's next state, prior and tilt included, not masked [edges, width]."""
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

    Edges are drawn one after the other, each from the softmax over what is legal after those before it: those that
    carry nothing, then null edges, which may bring the former to life, then the rest, so that a map may change all of
    its inputs. So every α is legal as a whole, and log π, of the choices that led to it, is exact. Choices without any
    effect are undone in the end. A policy that does not explore gives its most probable α, once.

    Args:
        policy: The learner.
        beta: What to transform.
        count: How many α's; fewer come back if `accept` refuses nearly all.
        generator: Source of randomness.
        accept: A further condition on α.
        tilt: Added to the logits [edges, width].
    """
    walk = _Walk(beta)
    found: list[Architecture] = []
    log_pi: list[Tensor] = []
    total = walk.scores(policy, generator, tilt)
    at_beta = entropy(total, torch.from_numpy(walk.first))
    count = count if policy.explores else 1
    for attempt in range(count if accept is None or not policy.explores else _TRIES * count):
        if len(found) == count:
            break
        if attempt and not policy.learns:
            total = walk.scores(policy, generator, tilt)
        uniform = torch.rand(len(beta.states), generator=generator).tolist() if policy.explores else None
        alpha, columns, masks = walk.sample(total, uniform)
        if accept is None or accept(alpha):
            found.append(alpha)
            log_pi.append(log_probability(total, torch.from_numpy(masks), torch.tensor(columns)))
    return Draw(found, torch.stack(log_pi) if log_pi else torch.zeros(0), at_beta)


def greedy(policy: Policy, beta: Architecture, generator: torch.Generator, tilt: Tensor | None = None) -> Architecture:
    """The α in which each edge takes its most probable legal state, one after the other."""
    with torch.no_grad():
        walk = _Walk(beta)
        return walk.sample(walk.scores(policy, generator, tilt), None)[0]


class _Walk:
    """Goes through the edges of one β and decides each in turn."""

    def __init__(self, beta: Architecture) -> None:
        self.beta = beta
        self.origin = find_liveness(beta)
        self.first = transition_mask(beta, self.origin)
        self.order = sorted(range(len(beta.states)), key=self._turn)
        pairs = zip(beta.topology.edges, beta.states, strict=True)
        self._columns = [edge.columns[state] for edge, state in pairs]

    def _turn(self, e: int) -> int:
        if self.beta.states[e] == State.N:
            return 1
        return 2 if self.origin.active[e] else 0

    def scores(self, policy: Policy, generator: torch.Generator, tilt: Tensor | None) -> Tensor:
        """See the function of that name."""
        current = torch.tensor(self._columns)
        total = policy.logits(self.beta) + policy.prior(torch.from_numpy(self.first), current, generator)
        return total if tilt is None else total + tilt

    def sample(
        self, total: Tensor, uniform: Sequence[float] | None
    ) -> tuple[Architecture, list[int], NDArray[np.bool_]]:
        """One α, the column that each edge took, and what it could choose from [edges, width].

        Args:
            total: Logits [edges, width].
            uniform: A number in [0, 1) an edge; the most probable state is taken where None.
        """
        logits, legality = total.detach().tolist(), self._legality
        used, columns = self.first.copy(), [*self._columns]
        changed: list[int] = []
        for e in self.order:
            keep = columns[e]
            free = legality.options(e) if changed else self.first[e].tolist()
            used[e] = free
            highest = max(score for score, is_free in zip(logits[e], free, strict=True) if is_free)
            legal = [
                math.exp(score - highest) if is_free else 0.0 for score, is_free in zip(logits[e], free, strict=True)
            ]
            columns[e] = legal.index(max(legal)) if uniform is None else _pick(legal, uniform[e], keep)
            if columns[e] != keep:
                changed.append(e)
                legality.change(e, self.beta.topology.edges[e].choices[columns[e]].state)
        alpha = legality.architecture
        for e in reversed(changed):
            legality.change(e, self.beta.states[e])
        return without_idle_edits(alpha, self.beta), columns, used

    @cached_property
    def _legality(self) -> Legality:
        """Of β between samples."""
        return Legality(self.beta, self.origin)


def _pick(weights: Sequence[float], uniform: float, fallback: int) -> int:
    left = uniform * sum(weights)
    for column, weight in enumerate(weights):
        left -= weight
        if left < 0 < weight:
            return column
    return fallback
