"""The policy as a proposer: π(α|β; θ) draws α's, a critic says which of them are worth a look-up, θ learns from both.

REINFORCE needs thousands of rewards, a look-up costs a refit. So θ ascends what the critic expects of its draws (the
model-based form of Sutton's Dyna, 1991), and only the draw that the critic thinks most of, at its upper confidence
bound, is looked up; the critic then knows more. Variations of the best α's so far compete with the draws.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import Architecture, State
from natonnx.policy.base import Draw, Policy, draw
from natonnx.search.budget import Budget
from natonnx.search.keys import signature
from natonnx.search.lookup import Lookups
from natonnx.search.propose.critic import Critic
from natonnx.search.propose.moves import Moves
from natonnx.search.propose.variation import EXPLORED, Variation
from natonnx.search.reinforce import Reinforce

__all__ = ["Learned", "RandomDraws"]

_STATES = tuple(State)
_DRAWS = 8
_STEPS = 2
_VARIATIONS = 24
_PARENTS = 5
_CONFIDENCE = 1.0
_ENTROPY = 0.003
_TEMPERATURE = 0.5
_OFFSET = 2.0


class Learned:
    """A policy, and a critic that spares it look-ups.

    Args:
        policy: What draws; its weights change where it learns.
        learning_rate: Of θ, by Adam.
        singles: Most of the look-ups that may go to single transitions first, as a share of all.
    """

    def __init__(self, policy: Policy, *, learning_rate: float = 0.003, singles: float = 0.5) -> None:
        self.policy, self._singles = policy, singles
        self._reinforce = Reinforce(policy, learning_rate, 1e-6) if policy.learns else None

    def propose(self, lookups: Lookups, targets: Sequence[float], generator: torch.Generator) -> None:
        """See `Proposer.propose`."""
        moves = Moves(lookups.beta, lookups.price)
        lookups.score(lookups.beta)
        self._look_at_singles(lookups, moves, generator)
        critic = Critic(moves, lookups)
        variation = Variation(moves, lookups.share, generator)
        for done, target in enumerate(targets):
            until = lookups.used + -(-lookups.left // (len(targets) - done))
            budget = Budget(lookups.price, target)
            budget.approach(1.0)
            budget.calibrate(self.policy, lookups.beta, generator, _prior(lookups.beta, moves, critic.losses()))
            idle = 0
            while lookups.left and lookups.used < until and idle < 3:
                used = lookups.used
                self._round(lookups, moves, critic, variation, budget, target, generator)
                idle = 0 if lookups.used > used else idle + 1

    def _look_at_singles(self, lookups: Lookups, moves: Moves, generator: torch.Generator) -> None:
        """Look up single transitions, those that save anything, as many as may be."""
        savers = list(moves.savers)
        most = int(self._singles * lookups.left)
        if len(savers) > most:
            savers = [savers[int(i)] for i in torch.randperm(len(savers), generator=generator)[:most]]
        for i in savers:
            if not lookups.left:
                return
            lookups.score(moves.all[i].architecture)

    def _round(
        self,
        lookups: Lookups,
        moves: Moves,
        critic: Critic,
        variation: Variation,
        budget: Budget,
        target: float,
        generator: torch.Generator,
    ) -> None:
        """Draw, learn from what the critic expects, and look up the most promising α."""
        losses = critic.losses()
        pool: dict[str, Architecture] = {}
        for _ in range(_STEPS if self._reinforce else 1):
            for alpha in self._draw(lookups, moves, critic, budget, target, generator, losses):
                pool[signature(alpha)] = alpha
        mean = max(float(losses.mean()), 1e-12)
        weights = np.exp(-losses / mean).tolist()
        best = [entry.architecture for entry in lookups.within(target)[:_PARENTS]]
        for position in range(_VARIATIONS):
            if best and position % 4:
                held = frozenset(np.flatnonzero(moves.within(best[position % len(best)])).tolist())
                made = variation.mutate(held, target, weights)
            else:
                made = variation.random(target, weights)
            if made is not None:
                pool[signature(made[1])] = made[1]
        fresh = [alpha for text, alpha in pool.items() if text not in lookups.entries]
        if not fresh:
            return
        expected, deviation = critic.predict(fresh)
        lookups.score(fresh[int(np.argmax(expected + _CONFIDENCE * deviation))])
        critic.fit()

    def _draw(
        self,
        lookups: Lookups,
        moves: Moves,
        critic: Critic,
        budget: Budget,
        target: float,
        generator: torch.Generator,
        losses: np.ndarray,
    ) -> list[Architecture]:
        """Draw α's that meet the target, and take a step of REINFORCE on what the critic expects of them."""
        prior = _prior(lookups.beta, moves, losses)
        tilt = budget.logits(lookups.beta)

        def accept(alpha: Architecture) -> bool:
            return EXPLORED * target <= lookups.share(alpha) <= target

        drawn: Draw = draw(
            self.policy, lookups.beta, _DRAWS, generator, accept, prior if tilt is None else prior + tilt, tries=4
        )
        budget.adapt([lookups.share(alpha) for alpha in drawn.architectures])
        if self._reinforce is not None and len(drawn.architectures) > 1:
            rewards = torch.from_numpy(critic.predict(drawn.architectures)[0]).float()
            self._reinforce.step(drawn.log_probabilities, rewards, drawn.entropy, _ENTROPY)
        return drawn.architectures


class RandomDraws:
    """The paper's baseline: random legal transitions, as many look-ups as there are."""

    def propose(self, lookups: Lookups, targets: Sequence[float], generator: torch.Generator) -> None:
        """See `Proposer.propose`."""
        variation = Variation(Moves(lookups.beta, lookups.price), lookups.share, generator)
        for done, target in enumerate(targets):
            until, idle = lookups.used + -(-lookups.left // (len(targets) - done)), 0
            while lookups.left and lookups.used < until and idle < 100:
                used, made = lookups.used, variation.random(target)
                if made is not None:
                    lookups.score(made[1])
                idle = 0 if lookups.used > used else idle + 1


def _prior(beta: Architecture, moves: Moves, losses: np.ndarray) -> Tensor:
    """Return logits [edges, 3] by which transitions that are expected to cost little are likelier than others."""
    prior = torch.zeros(len(beta.states), len(_STATES))
    scale = max(float(losses.mean()) * _TEMPERATURE, 1e-12)
    for move, loss in zip(moves.all, losses.tolist(), strict=True):
        prior[move.edge, _STATES.index(move.state)] = -min(loss / scale, 20.0)
    return prior - math.log(_OFFSET)
