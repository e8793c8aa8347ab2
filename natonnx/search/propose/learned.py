"""The policy as a proposer: π(α|β; θ) draws α's, a critic says which of them are worth a look-up, θ learns from both.

REINFORCE needs thousands of rewards, a look-up costs a refit. So θ ascends what the critic expects of its draws (the
model-based form of Sutton's Dyna, 1991), and only the draw that the critic thinks most of, at its upper confidence
bound, is looked up; the critic then knows more. Variations of the best α's so far compete with the draws.
"""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.policy.base import Policy
from natonnx.search.lookup import Lookups
from natonnx.search.propose.acquisition import Acquisition
from natonnx.search.propose.critic import Critic
from natonnx.search.propose.greedy import Greedy
from natonnx.search.propose.moves import Moves
from natonnx.search.propose.variation import Draw, Variation
from natonnx.search.reinforce import Reinforce

__all__ = ["Learned", "log_probability"]

_LARGE = 40
"""Transitions from which on lazy greedy removal goes first, if there are look-ups for it: the critic knows too little
then of what many of them cost together (docs/search.md#look-ups)."""
_DRAWS, _EVERY = 4, 4
"""Draws of the policy, and at which steps there are any: each is checked dozens of times where much is illegal."""
_PARENTS = 5
_REALISED = 24
"""Sets of transitions that are tried at each step until one of them can be made."""
_TEMPERATURE = 0.5
_PATIENCE = 3
"""After so many rounds in a row that brought nothing new, nothing new is expected."""


class Learned:
    """A policy, and a critic that spares it look-ups.

    Args:
        policy: What draws; its weights change where it learns.
        learning_rate: Of θ, by Adam.
        singles: Most of the look-ups that may go to single transitions first, as a share of all.

    Attributes:
        policy: As given.
    """

    def __init__(self, policy: Policy, *, learning_rate: float = 0.003, singles: float = 0.5) -> None:
        self.policy, self._singles = policy, singles
        self._reinforce = Reinforce(policy, learning_rate, 1e-6) if policy.learns else None

    def propose(self, lookups: Lookups, targets: Sequence[float], generator: torch.Generator) -> None:
        """See `Proposer.propose`."""
        moves = Moves(lookups.beta, lookups.price)
        if not moves.savers:
            return
        lookups.score(lookups.beta)
        self._look_at_singles(lookups, moves, generator)
        if lookups.left >= len(moves.savers) >= _LARGE:
            Greedy().descend(lookups, moves, min(targets))
        search = _Search(self.policy, self._reinforce, lookups, moves, generator)
        for target, until in lookups.divide(targets):
            idle = 0
            while lookups.left and lookups.used < until and idle < _PATIENCE:
                idle = 0 if search.step(target) else idle + 1

    def _look_at_singles(self, lookups: Lookups, moves: Moves, generator: torch.Generator) -> None:
        """Look up single transitions, those that save anything, as many as may be."""
        savers = list(moves.savers)
        most = int(self._singles * lookups.left)
        if len(savers) > most:
            savers = [savers[i] for i in torch.randperm(len(savers), generator=generator)[:most].tolist()]
        lookups.score_all(moves.all[i].architecture for i in savers)


class _Search:
    """What is known at some point of a search, and how it goes on."""

    def __init__(
        self,
        policy: Policy,
        reinforce: Reinforce | None,
        lookups: Lookups,
        moves: Moves,
        generator: torch.Generator,
    ) -> None:
        self._policy, self._reinforce, self._lookups, self._moves = policy, reinforce, lookups, moves
        self._critic, self._steps = Critic(moves, lookups), 0
        chance = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        self._acquisition = Acquisition(moves, self._critic, chance)
        self._variation = Variation(moves, lookups.share, generator)

    def step(self, target: float) -> bool:
        """Draw, learn from what the critic expects, and look up the most promising α; False where none is new."""
        losses = self._critic.losses()[list(self._moves.savers)]
        prior = torch.from_numpy(-losses / max(float(losses.mean()), 1e-300)).clamp(min=-20.0)
        best = self._lookups.within(target)[:_PARENTS]
        drawn = [] if best and self._steps % _EVERY else self._draw(target, prior / _TEMPERATURE)
        self._steps += 1
        start = [*drawn, *(entry.architecture for entry in best)]
        held = self._moves.within(start)
        shares = np.array([self._lookups.share(alpha) for alpha in start])
        near = self._acquisition.improve(held, shares, target)[:_REALISED]
        bounds = self._acquisition.bounds(np.concatenate([held[: len(drawn)], near]))
        ranked = np.argsort(-bounds, kind="stable").tolist()
        for position, i in enumerate(ranked):
            alpha = drawn[i] if i < len(drawn) else self._realise(near[i - len(drawn)], target, prior)
            if alpha is not None and not self._lookups.knows(alpha):
                if self._lookups.width > 1:
                    likely = [near[j - len(drawn)] for j in ranked[position + 1 :] if j >= len(drawn)]
                    self._lookups.ahead([alpha, *self._likely(likely, target, prior)])
                self._lookups.score(alpha)
                self._critic.fit()
                return True
            if i >= len(drawn):
                self._acquisition.refuse(near[i - len(drawn)])
        self._steps = 0  # the policy's draws are always legal
        return False

    def _likely(self, sets: Sequence[npt.NDArray[np.bool_]], target: float, prior: Tensor) -> list[Architecture]:
        """Make α's that are likely to be looked up next, one fewer than fit; nothing random is used up."""
        with self._variation.aside():
            made = (self._realise(held, target, prior) for held in sets)
            return [*islice((alpha for alpha in made if alpha is not None), self._lookups.width - 1)]

    def _realise(self, held: npt.NDArray[np.bool_], target: float, prior: Tensor) -> Architecture | None:
        """Make an α of a set of transitions, and of more where it turns out to cost too much; None where that fails."""
        return self._variation.complete(np.flatnonzero(held).tolist(), target, prior, tries=1)

    def _draw(self, target: float, prior: Tensor) -> list[Architecture]:
        """Draw α's from the policy, and take a step of REINFORCE on what the critic expects of them."""
        logits = self._preferences() + prior
        if not self._policy.explores:
            drawn = [self._variation.draw(target, logits, logits.argsort(descending=True))]
        else:
            drawn = [self._variation.draw(target, logits) for _ in range(_DRAWS)]
        draws = [draw for draw in drawn if draw is not None]
        alphas = [draw.architecture for draw in draws]
        if self._reinforce is not None and len(draws) > 1:
            scores, _ = self._critic.predict(self._moves.within(alphas))
            scores -= scores.mean()
            rewards = torch.from_numpy(scores / (np.abs(scores).max() or 1.0))
            log_pi = torch.stack([log_probability(logits, draw) for draw in draws])
            self._reinforce.step(log_pi, rewards, torch.zeros(()), 0.0)
        return alphas

    def _preferences(self) -> Tensor:
        """Return the policy's logits of the transitions that save anything, over those of no change [savers]."""
        logits, beta = self._policy.logits(self._moves.beta), self._moves.beta
        chosen = [self._moves.all[i] for i in self._moves.savers]
        edges = torch.tensor([move.edge for move in chosen], dtype=torch.long)
        after = torch.tensor([move.column for move in chosen], dtype=torch.long)
        now = [beta.topology.edges[move.edge].columns[beta.states[move.edge]] for move in chosen]
        before = torch.tensor(now, dtype=torch.long)
        return (logits[edges, after] - logits[edges, before]).double()


def log_probability(logits: Tensor, draw: Draw) -> Tensor:
    """Return log π of the transitions drawn, in their order: each by softmax over those that are left (Luce 1959)."""
    ordered = logits[draw.order]
    left = ordered.flip(0).logcumsumexp(0).flip(0)
    return (ordered - left)[: draw.taken].sum()
