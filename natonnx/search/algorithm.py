"""Algorithm 1 of the paper (Guo et al., NeurIPS 2019) for a given model β, selection and fine-tuning.

    for each epoch:
        for each training batch:    draw β from p(β), w ← w − η·∇L(β, w)
        for each validation batch:  draw β from p(β), α's from π(·|β; θ), ascend R(α, w) − R(β, w) + λ·H(π) in θ
    draw α's, keep those within the limits, re-estimate their statistics, choose finalists by validation
    fine-tune the finalists, and β by the same budget; return them all with their validation scores

p(β) is the given model and random legal neighbours of it, so that shared weights know S and N.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.policy import make_policy
from natonnx.policy.base import draw
from natonnx.policy.random_search import RandomPolicy
from natonnx.search.budget import Budget
from natonnx.search.finetune import finetune
from natonnx.search.problem import Problem
from natonnx.search.progress import Progress, SilentProgress
from natonnx.search.reinforce import Reinforce
from natonnx.search.score import Score, TensorSplit, minibatch_score
from natonnx.search.select import choose_finalists
from natonnx.search.settings import Settings
from natonnx.search.state import SearchState, Visit, from_key, key
from natonnx.search.train import Teacher, make_optimizer, train_epoch
from natonnx.supernet import Supernet

__all__ = ["Candidate", "Outcome", "search"]

_GIVEN = 0.25
"""Share of w's steps on β itself; the rest is shared by random neighbours and the policy's own α's."""
_GIVEN_POLICY = 0.75
"""Share of θ's steps on β itself."""
_NEIGHBOUR_EDITS = 6.0
_SEARCH_SHARE = 0.45
"""Share of a time budget that Algorithm 1 may use; selection and fine-tuning need the rest."""
_AIM = 0.97
"""α's are steered to this share of the target, so that most of them meet it."""
_RAMP = 0.4
"""Share of the epochs over which the cost limit moves from β's own cost to the target."""


@dataclass(frozen=True)
class Candidate:
    """An architecture after fine-tuning.

    Attributes:
        architecture: α, or β itself, over the topology of `Problem.network`.
        weights: Arrays by ONNX name of that network.
        validation: Its score on the validation split.
    """

    architecture: Architecture
    weights: Mapping[str, np.ndarray]
    validation: Score


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        beta: The given model, fine-tuned by the same budget as the candidates.
        candidates: Fine-tuned α's, best validation score first; may be empty.
        history: One row an epoch.
    """

    beta: Candidate
    candidates: tuple[Candidate, ...]
    history: tuple[Mapping[str, Any], ...]


def search(
    problem: Problem,
    settings: Settings,
    *,
    progress: Progress | None = None,
    resume: Mapping[str, Any] | None = None,
    save: Callable[[Mapping[str, Any]], None] | None = None,
) -> Outcome:
    """Search a better architecture.

    Args:
        problem: Model and data.
        settings: Settings.
        progress: Told of every step.
        resume: State of an interrupted search of the same problem and settings.
        save: Called with the state after every epoch and every fine-tuning.
    """
    progress = progress or SilentProgress()
    run = _Search(problem, settings, progress, save or (lambda _state: None))
    if resume is not None:
        run.state.load_dict(resume)
    run.algorithm_1()
    run.select()
    return run.finetune()


class _Search:
    def __init__(
        self, problem: Problem, settings: Settings, progress: Progress, save: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self.problem, self.settings, self.progress, self.save = problem, settings, progress, save
        self.beta = problem.network.architecture
        self.started = time.monotonic()
        supernet = Supernet(problem.network).to(problem.device)
        policy = make_policy(settings.learner, edits=settings.edits, seed=settings.seed)
        self.state = SearchState(
            supernet=supernet,
            optimizer=make_optimizer(supernet, settings.learning_rate),
            policy=policy,
            reinforce=Reinforce(policy, settings.policy_learning_rate) if policy.learns else None,
            budget=Budget(problem.reference, settings.target_madds),
            generator=torch.Generator().manual_seed(settings.seed),
        )
        self.teacher = _make_teacher(problem)
        self.neighbours = RandomPolicy(most=_NEIGHBOUR_EDITS)
        self.epoch_seconds: float | None = None

    # Algorithm 1

    def algorithm_1(self) -> None:
        done = len(self.state.history)
        if self.state.finalists is not None:
            return
        self.progress.start("search", self.settings.epochs)
        for _ in range(done):
            self.progress.advance()
        for epoch in range(done, self.settings.epochs):
            if epoch and self._used() > _SEARCH_SHARE:
                break
            if self.settings.target_madds is not None:
                ramp = min(1.0, self._done() / _RAMP)
                self.state.budget.limit = 1 - (1 - _AIM * self.settings.target_madds) * ramp
            begun = time.monotonic()
            loss = self._train_weights()
            self.epoch_seconds = time.monotonic() - begun
            row = self._train_policy()
            self.state.history.append({"epoch": epoch + 1, "loss": loss, **row})
            self.save(self.state.to_dict())
            self.progress.advance(f"reward {row['reward']:+.3f}  MAdds {row['madds']:.2f}")

    def _train_weights(self) -> float:
        return train_epoch(
            self.state.supernet,
            self.state.optimizer,
            self.problem.train,
            self._sample_beta,
            teacher=self.teacher,
            distillation=self.settings.distillation,
            batch=self.settings.batch,
            augment=self.problem.augment,
            generator=self.state.generator,
        )

    def _sample_beta(self) -> Architecture:
        """p(β) for w: the given model, a random legal neighbour, or an α of the policy's."""
        fate = self._random()
        if fate < _GIVEN:
            return self.beta
        if fate < (1 + _GIVEN) / 2:
            return self._neighbour()
        with torch.no_grad():
            drawn = draw(self.state.policy, self.beta, 1, self.state.generator, tilt=self._tilt(self.beta))
        return drawn.architectures[0] if drawn.architectures else self.beta

    def _train_policy(self) -> dict[str, float]:
        """One pass over the validation split."""
        budget, policy = self.state.budget, self.state.policy
        budget.calibrate(policy, self.beta, self.state.generator)
        seen: list[tuple[float, float, float]] = []
        for batch in self.problem.validation.batches(self.settings.reward_batch, self.state.generator):
            given = self._random() < _GIVEN_POLICY or not policy.learns
            beta = self.beta if given else self._neighbour()
            drawn = draw(
                policy,
                beta,
                self.settings.alphas,
                self.state.generator,
                accept=None if policy.learns else budget.met_by,
                tilt=self._tilt(beta),
            )
            base = self._reward(beta, batch)
            rewards = [self._reward(alpha, batch) - base for alpha in drawn.architectures]
            costs = [budget.share(alpha) for alpha in drawn.architectures]
            if self.state.reinforce and len(rewards) > 1:
                self.state.reinforce.step(drawn, budget.objective(rewards, costs), self._entropy_weight())
            if given:
                budget.adapt(costs)
                self._remember(drawn.architectures, rewards)
                seen += [(r, c, float(drawn.entropy.detach())) for r, c in zip(rewards, costs, strict=True)]
        reward, madds, entropy = (_mean([row[i] for row in seen]) for i in range(3))
        return {
            "reward": reward,
            "madds": madds,
            "entropy": entropy,
            "limit": budget.limit,
            "tilt": budget.tilt,
            "multiplier": budget.multiplier,
        }

    def _remember(self, alphas: Sequence[Architecture], rewards: Sequence[float]) -> None:
        for alpha, reward in zip(alphas, rewards, strict=True):
            seen = self.state.visits.get(key(alpha), Visit(0.0, 0))
            self.state.visits[key(alpha)] = Visit(seen.total + reward, seen.times + 1)

    def _tilt(self, beta: Architecture) -> Tensor | None:
        return self.state.budget.logits(beta) if self.state.policy.learns else None

    def _entropy_weight(self) -> float:
        return self.settings.entropy * (1 - self._done())

    def _done(self) -> float:
        """Fraction of the search that lies behind, by epochs or by the time budget, whichever is further."""
        by_epochs = len(self.state.history) / max(1, self.settings.epochs - 1)
        return min(1.0, max(by_epochs, self._used() / _SEARCH_SHARE))

    def _neighbour(self) -> Architecture:
        found = draw(self.neighbours, self.beta, 1, self.state.generator).architectures
        return found[0] if found else self.beta

    def _reward(self, architecture: Architecture, batch: TensorSplit) -> float:
        score = minibatch_score(self.state.supernet, architecture, batch)
        return score.accuracy if self.settings.reward == "accuracy" else score.likelihood

    # Selection and fine-tuning

    def select(self) -> None:
        if self.state.finalists is None:
            self.state.finalists = choose_finalists(self.state, self.problem, self.settings, self.progress)
            self.state.finetune_epochs = self._affordable_epochs(len(self.state.finalists) + 1)
            self.save(self.state.to_dict())

    def finetune(self) -> Outcome:
        finalists = {key(self.beta): False, **(self.state.finalists or {})}
        self.progress.start("fine-tune", len(finalists))
        for text, from_supernet in finalists.items():
            if text not in self.state.finetuned:
                self.state.finetuned[text] = finetune(
                    self.problem,
                    from_key(self.beta, text),
                    self.settings,
                    epochs=self.state.finetune_epochs,
                    start=self.state.supernet.state_dict() if from_supernet else None,
                    teacher=self.teacher,
                )
                self.save(self.state.to_dict())
            self.progress.advance(f"validation {100 * self.state.finetuned[text].validation.accuracy:.1f} %")
        found = [
            Candidate(from_key(self.beta, text), done.weights, done.validation)
            for text, done in self.state.finetuned.items()
        ]
        beta, *alphas = found
        alphas.sort(key=lambda candidate: candidate.validation, reverse=True)
        return Outcome(beta, tuple(alphas), tuple(self.state.history))

    # Small things

    def _used(self) -> float:
        budget = self.settings.time_budget
        return 0.0 if budget is None else (time.monotonic() - self.started) / budget

    def _affordable_epochs(self, runs: int) -> int:
        """Epochs of fine-tuning a run, the same for all, that the time budget leaves room for; one at least."""
        wanted, budget = self.settings.finetune_epochs, self.settings.time_budget
        if budget is None or wanted == 0 or self.epoch_seconds is None:
            return wanted
        left = budget * (1 - self._used())
        return max(1, min(wanted, int(left / (runs * self.epoch_seconds))))

    def _random(self) -> float:
        return float(torch.rand((), generator=self.state.generator))


def _make_teacher(problem: Problem) -> Teacher:
    model = Supernet(problem.network).to(problem.device).eval()

    def teach(inputs: Tensor) -> Tensor:
        with torch.no_grad():
            outputs: Tensor = model(inputs)
        return outputs

    return teach


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
