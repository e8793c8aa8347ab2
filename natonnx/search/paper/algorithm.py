"""Algorithm 1 of the paper (Guo et al., NeurIPS 2019), for a given model β.

    for each epoch:
        for each training batch:    draw β from p(β), w ← w − η·∇L(β, w)
        for each validation batch:  draw β from p(β), α's from π(·|β; θ), ascend R(α, w) − R(β, w) + λ·H(π) in θ

p(β) is the given model and random legal neighbours of it, so that shared weights know S and N.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from natonnx.architecture import Architecture
from natonnx.data.batches import Batches
from natonnx.policy.base import draw
from natonnx.policy.random_search import RandomPolicy
from natonnx.search.assess import runnable
from natonnx.search.clock import Clock
from natonnx.search.keys import key
from natonnx.search.own import RewardFunction, judge
from natonnx.search.paper.state import SearchState, Visit
from natonnx.search.problem import Problem
from natonnx.search.progress import Progress, Stage
from natonnx.search.runner import Runner, TensorBatch, tensor_batches
from natonnx.search.samples import estimated_on
from natonnx.search.score import CALIBRATION, minibatch_score, reestimate, targets_of
from natonnx.search.settings import Settings

__all__ = ["Algorithm1"]

_log = logging.getLogger(__name__)

_GIVEN = 0.25
"""Share of w's steps on β itself; the rest is shared by random neighbours and the policy's own α's."""
_GIVEN_POLICY = 0.75
"""Share of θ's steps on β itself."""
_NEIGHBOUR_EDITS = 6.0
_RAMP = 0.4
"""Share of the epochs over which the cost limit moves from β's own cost to where it stays."""


class Algorithm1:
    """Alternates w and θ over one search state.

    Args:
        problem: Network and data.
        settings: Settings.
        state: What is trained.
        original: The original model.
        clock: Of the time budget.
    """

    def __init__(
        self, problem: Problem, settings: Settings, state: SearchState, original: Runner, clock: Clock
    ) -> None:
        self.problem, self.settings, self.state = problem, settings, state
        self.original, self.clock = original, clock
        self.beta = problem.network.architecture
        self.neighbours = RandomPolicy(most=_NEIGHBOUR_EDITS)
        self._judged: dict[str, float] = {}

    def run(self, progress: Progress, save: Callable[[Mapping[str, Any]], None]) -> None:
        """Run the epochs that are not done yet."""
        if not self.state.history:
            save(self.state.to_dict())
        stage = Stage(progress, "search", self.settings.epochs)
        for row in self.state.history:
            stage.advance(values=dict(row))
        for epoch in range(len(self.state.history), self.settings.epochs):
            if epoch and self.clock.search_share_used() >= 1:
                _log.info("search: its share of the time budget is used after %d epochs", epoch)
                break
            self.state.budget.approach(min(1.0, self._done() / _RAMP))
            begun = time.monotonic()
            with self.clock.training_epoch():
                loss = self.train_weights()
            row = {"epoch": epoch + 1, "loss": loss, **self.train_policy()}
            self.state.history.append(row)
            _log.info("search: %s", ", ".join(f"{name} {value:.4g}" for name, value in row.items()))
            _log.debug("search: epoch %d took %.1f s", epoch + 1, time.monotonic() - begun)
            save(self.state.to_dict())
            drawn = not math.isnan(row["reward"])  # from the given model; of a few batches, none need be
            note = f"reward {row['reward']:+.3f}  cost {row['cost']:.2f}" if drawn else f"loss {loss:.3f}"
            stage.advance(note, dict(row))
        self.state.trainer.tell_skipped()

    def train_weights(self) -> float:
        """Train w for one pass over the training split; return the mean loss."""
        losses: list[torch.Tensor] = []
        generator = self.state.generator
        for batch in tensor_batches(self.problem.train, self.settings.batch, self.problem.device, generator):
            losses.append(self.state.trainer.step(batch, self._sample_beta(), generator))
            self.state.images += batch.size
        found = torch.stack(losses).tolist() if losses else []
        return _mean([loss for loss in found if math.isfinite(loss)])

    def _sample_beta(self) -> Architecture:
        """Draw from p(β) for w: the given model, a random legal neighbour, or an α of the policy's."""
        fate = self._random()
        if fate < _GIVEN:
            return self.beta
        if fate < (1 + _GIVEN) / 2:
            return self._neighbour()
        with torch.no_grad():
            tilt = self.state.budget.logits(self.beta)
            drawn = draw(self.state.policy, self.beta, 1, self.state.generator, tilt=tilt)
        return drawn.architectures[0] if drawn.architectures else self.beta

    def train_policy(self) -> dict[str, float]:
        """Train θ for one pass over the validation split; return means over the α's drawn from the given model."""
        budget, policy = self.state.budget, self.state.policy
        budget.calibrate(policy, self.beta, self.state.generator)
        seen: list[tuple[float, float, float]] = []
        self._judged.clear()
        batches = tensor_batches(
            self.problem.validation, self.settings.reward_batch, self.problem.device, self.state.generator
        )
        for batch in batches:
            if seen and self.problem.reward is not None and self.clock.search_share_used() >= 1:
                break  # the user's own function may take its time
            given = self._random() < _GIVEN_POLICY or not policy.learns
            beta = self.beta if given else self._neighbour()
            drawn = draw(
                policy,
                beta,
                self.settings.alphas,
                self.state.generator,
                accept=None if policy.learns else budget.met_by,
                tilt=budget.logits(beta),
            )
            rewards = self._rewards(beta, drawn.architectures, batch)
            costs = [budget.share(alpha) for alpha in drawn.architectures]
            if self.state.reinforce and rewards:
                objective = torch.tensor(budget.objective(rewards, costs))
                self.state.reinforce.step(drawn.log_probabilities, objective, drawn.entropy, self._entropy_weight())
            if given:
                budget.adapt(costs)
                self._remember(drawn.architectures, rewards)
                seen += [(r, c, float(drawn.entropy.detach())) for r, c in zip(rewards, costs, strict=True)]
        reward, cost, entropy = (_mean([row[i] for row in seen]) for i in range(3))
        return {
            "reward": reward,
            "cost": cost,
            "entropy": entropy,
            "limit": budget.limit,
            "tilt": budget.tilt,
            "multiplier": budget.multiplier,
        }

    def _remember(self, alphas: Sequence[Architecture], rewards: Sequence[float]) -> None:
        for alpha, reward in zip(alphas, rewards, strict=True):
            seen = self.state.visits.get(key(alpha), Visit(0.0, 0))
            self.state.visits[key(alpha)] = Visit(seen.total + reward, seen.times + 1)

    def _entropy_weight(self) -> float:
        return self.settings.entropy * (1 - self._done())

    def _done(self) -> float:
        """Return the fraction of the search that lies behind, by epochs or by the time budget, whichever is further."""
        by_epochs = len(self.state.history) / max(1, self.settings.epochs - 1)
        return min(1.0, max(by_epochs, self.clock.search_share_used()))

    def _neighbour(self) -> Architecture:
        found = draw(self.neighbours, self.beta, 1, self.state.generator).architectures
        return found[0] if found else self.beta

    def _rewards(self, beta: Architecture, alphas: Sequence[Architecture], batch: TensorBatch) -> list[float]:
        """Return R(α, w) − R(β, w) of each α."""
        if self.problem.reward is not None:
            own = self.problem.reward
            base = self._judge(own, beta)
            return [self._judge(own, alpha) - base for alpha in alphas]
        by_loss = self.settings.reward == "likelihood"
        targets = targets_of(self.problem.objective, batch, self.original, ranked=by_loss)

        def reward(architecture: Architecture) -> float:
            found = minibatch_score(self.state.supernet, architecture, self.problem.objective, batch, targets)
            return found.ranking if by_loss else found.value

        base = reward(beta)
        return [reward(alpha) - base for alpha in alphas]

    def _judge(self, reward: RewardFunction, architecture: Architecture) -> float:
        """Ask the user's own function, in evaluation mode: once a pass, as the weights stand still in one."""
        text = key(architecture)
        if text not in self._judged:
            calibration, captures = self._calibration, self.problem.objective.captures
            batch = estimated_on(self.problem)
            reestimate(self.state.supernet, architecture, calibration, self.problem.device, captures, batch)
            self._judged[text] = judge(reward, runnable(self.problem, self.state.supernet, architecture))
        return self._judged[text]

    @cached_property
    def _calibration(self) -> Batches:
        """Training samples from which statistics are re-estimated before the user's own function is asked."""
        return self.problem.train.sample(CALIBRATION, torch.Generator().manual_seed(self.settings.seed))

    def _random(self) -> float:
        return float(torch.rand((), generator=self.state.generator))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
