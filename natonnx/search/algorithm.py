"""Algorithm 1 of the paper (Guo et al., NeurIPS 2019) for a given model β, selection and fine-tuning.

    for each epoch:
        for each training batch:    draw β from p(β), w ← w − η·∇L(β, w)
        for each validation batch:  draw β from p(β), α's from π(·|β; θ), ascend R(α, w) − R(β, w) + λ·H(π) in θ
    draw α's, keep those within the limits, re-estimate their statistics, choose finalists by validation
    fine-tune the finalists, and β by the same budget; return them all with their validation scores

p(β) is the given model and random legal neighbours of it, so that shared weights know S and N.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from natonnx.architecture import Architecture, cost
from natonnx.policy import make_policy
from natonnx.policy.base import draw
from natonnx.policy.random_search import RandomPolicy
from natonnx.search.finetune import finetune
from natonnx.search.problem import Problem
from natonnx.search.progress import Progress, SilentProgress
from natonnx.search.reinforce import Multiplier, Reinforce
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
_RAMP = 0.6
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
        self.full_cost = self._madds(self.beta) or 1
        supernet = Supernet(problem.network).to(problem.device)
        policy = make_policy(settings.learner, edits=settings.edits, seed=settings.seed)
        self.state = SearchState(
            supernet=supernet,
            optimizer=make_optimizer(supernet, settings.learning_rate),
            policy=policy,
            reinforce=Reinforce(policy, settings.policy_learning_rate) if policy.learns else None,
            multiplier=Multiplier(),
            generator=torch.Generator().manual_seed(settings.seed),
        )
        self.teacher = _make_teacher(problem)
        self.neighbours = RandomPolicy(most=_NEIGHBOUR_EDITS)
        self.epoch_seconds = 1.0

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
            begun = time.monotonic()
            loss = self._train_weights()
            self.epoch_seconds = time.monotonic() - begun
            row = self._train_policy(epoch / max(1, self.settings.epochs - 1))
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
        policy = self.neighbours if fate < (1 + _GIVEN) / 2 else self.state.policy
        with torch.no_grad():
            found = draw(policy, self.beta, 1, self.state.generator).architectures
        return found[0] if found else self.beta

    def _train_policy(self, done: float) -> dict[str, float]:
        """One pass over the validation split; `done` is the fraction of the search that lies behind."""
        rewards: list[float] = []
        costs: list[float] = []
        entropies: list[float] = []
        limit = self._limit(done)
        for batch in self.problem.validation.batches(self.settings.reward_batch, self.state.generator):
            given = self._random() < _GIVEN_POLICY or self.state.reinforce is None
            beta = self.beta if given else self._neighbour()
            drawn = draw(
                self.state.policy,
                beta,
                self.settings.alphas,
                self.state.generator,
                accept=None if self.state.reinforce else self.meets_target,
            )
            if not drawn.architectures:
                continue
            base = self._reward(beta, batch)
            gains = [self._reward(alpha, batch) - base for alpha in drawn.architectures]
            shares = [self._share(alpha) for alpha in drawn.architectures]
            if self.state.reinforce:
                penalties = [self.state.multiplier.penalty(share, limit) for share in shares]
                objective = [gain - penalty for gain, penalty in zip(gains, penalties, strict=True)]
                self.state.reinforce.step(drawn, objective, self.settings.entropy * (1 - done))
                if given and self.settings.target_madds is not None:
                    self.state.multiplier.update(shares, limit)
            if given:
                for alpha, gain in zip(drawn.architectures, gains, strict=True):
                    seen = self.state.visits.get(key(alpha), Visit(0.0, 0))
                    self.state.visits[key(alpha)] = Visit(seen.total + gain, seen.times + 1)
                rewards += gains
                costs += shares
                entropies.append(float(drawn.entropy.detach()))
        return {
            "reward": _mean(rewards),
            "madds": _mean(costs),
            "entropy": _mean(entropies),
            "limit": limit,
            "multiplier": self.state.multiplier.value,
        }

    def _neighbour(self) -> Architecture:
        found = draw(self.neighbours, self.beta, 1, self.state.generator).architectures
        return found[0] if found else self.beta

    def _reward(self, architecture: Architecture, batch: TensorSplit) -> float:
        score = minibatch_score(self.state.supernet, architecture, batch)
        return score.accuracy if self.settings.reward == "accuracy" else score.likelihood

    # Costs

    def _madds(self, architecture: Architecture) -> int:
        return cost(self.problem.reference.with_states(architecture.states)).madds or 0

    def _share(self, architecture: Architecture) -> float:
        return self._madds(architecture) / self.full_cost

    def meets_target(self, architecture: Architecture) -> bool:
        """The hard constraint."""
        target = self.settings.target_madds
        return target is None or self._madds(architecture) <= target * self.full_cost

    def _limit(self, done: float) -> float:
        """The cost limit of this epoch, as a fraction of β's cost."""
        target = self.settings.target_madds
        if target is None:
            return 1.0
        return 1 - (1 - target) * min(1.0, done / _RAMP)

    # Selection and fine-tuning

    def select(self) -> None:
        if self.state.finalists is None:
            self.state.finalists = choose_finalists(
                self.state, self.problem, self.settings, self.meets_target, self.progress
            )
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
        if budget is None or wanted == 0:
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


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
