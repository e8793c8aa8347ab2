"""The paper's search: Algorithm 1, then selection, then training of the finalists and of β by the same budget."""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from natonnx.architecture import Architecture
from natonnx.errors import restoring
from natonnx.policy import make_policy
from natonnx.policy.pretrained import load_policy
from natonnx.search.assess import assess
from natonnx.search.budget import Budget
from natonnx.search.clock import Clock
from natonnx.search.finetune import Finetuned, Finetuning, Limit
from natonnx.search.keys import from_key, key
from natonnx.search.look import as_arrays
from natonnx.search.outcome import Candidate, Images, Outcome, Scored
from natonnx.search.paper.algorithm import Algorithm1
from natonnx.search.paper.select import choose_finalists
from natonnx.search.paper.state import SearchState
from natonnx.search.problem import Problem
from natonnx.search.progress import Progress, Stage
from natonnx.search.reinforce import POINT, Reinforce
from natonnx.search.runner import Runner
from natonnx.search.score import Score
from natonnx.search.settings import Settings
from natonnx.search.targets import targets_of
from natonnx.search.train import Trainer
from natonnx.supernet import Supernet, initial_weights

__all__ = ["search_by_algorithm_1", "start"]

_ANY = 1e-30
"""The user's own reward has a unit that we do not know: any difference counts."""

_log = logging.getLogger(__name__)

Save = Callable[[Mapping[str, Any]], None]


def search_by_algorithm_1(
    problem: Problem,
    settings: Settings,
    original: Runner,
    clock: Clock,
    *,
    enough: Callable[[Outcome], bool],
    progress: Progress,
    resume: Mapping[str, Any] | None,
    save: Save,
) -> Outcome:
    """Search as the paper does; see `natonnx.search.run.search` for the arguments."""
    state = start(problem, settings, original)
    if resume is not None:
        with restoring():
            state.load_dict(resume)
        _log.info("resumed behind %d epochs and %d fine-tunings", len(state.history), len(state.finetuned))
    if state.finalists is None:
        Algorithm1(problem, settings, state, original, clock).run(progress, save)
        state.finalists = choose_finalists(state, problem, settings, original, progress)
        state.finetune_epochs = clock.affordable_epochs(math.ceil(settings.recipe.epochs), settings.finalists + 1)
        save(state.to_dict())
    return _finetune_finalists(problem, settings, state, original, clock, enough, progress, save)


def start(problem: Problem, settings: Settings, original: Runner) -> SearchState:
    """Make the state of a search before its first step."""
    supernet = Supernet(problem.network).to(problem.device)
    policy = make_policy(settings.learner, edits=settings.edits, seed=settings.seed)
    load_policy(policy, settings.learner, settings.policy)
    points = problem.reward is None and problem.objective.unit.scale != 1
    return SearchState(
        supernet=supernet,
        trainer=Trainer(
            problem,
            supernet,
            original,
            learning_rate=settings.learning_rate,
            distillation=settings.recipe.distillation,
            weight_decay=settings.weight_decay,
            amp=settings.amp,
        ),
        policy=policy,
        reinforce=Reinforce(policy, settings.policy_learning_rate, POINT if points else _ANY)
        if policy.learns
        else None,
        budget=Budget(problem.prices[0], min(targets_of(problem.prices, settings), default=None)),
        generator=torch.Generator().manual_seed(settings.seed),
    )


def _finetune_finalists(
    problem: Problem,
    settings: Settings,
    state: SearchState,
    original: Runner,
    clock: Clock,
    enough: Callable[[Outcome], bool],
    progress: Progress,
    save: Save,
) -> Outcome:
    """Train β and the finalists, then, as long as those will not do, the reserves one by one."""
    beta = problem.network.architecture
    drawn = as_arrays(initial_weights(state.supernet, settings.seed)) if settings.weights == "scratch" else None
    queue = {key(beta): False, **(state.finalists or {})}
    stage = Stage(progress, "fine-tune", min(len(queue), settings.finalists + 1))
    for position, (text, from_supernet) in enumerate(queue.items()):
        if position > settings.finalists and (clock.exhausted() or enough(_outcome(problem, state))):
            break
        if text not in state.finetuned:
            start = state.supernet.weights() if from_supernet else {}
            start = start if drawn is None else drawn
            state.finetuned[text] = _finetune(problem, from_key(beta, text), settings, state, original, start)
            save(state.to_dict())
        score = state.finetuned[text].validation
        note = _told(problem, score)
        what = f"α {position}" if position else "β"
        _log.info("fine-tune: %s by %d epochs: %s", what, state.finetune_epochs, note)
        stage.advance(note, {"score": score.value})
    return _outcome(problem, state)


def _finetune(
    problem: Problem,
    architecture: Architecture,
    settings: Settings,
    state: SearchState,
    original: Runner,
    start: Mapping[str, np.ndarray],
) -> Finetuned:
    """Fine-tune an architecture and score it; the images are counted."""
    limit = Limit(state.finetune_epochs * problem.train.count())
    training = Finetuning(problem, architecture, settings, original=original, limit=limit, start=start)
    training.run(1.0)
    training.settle()
    state.images += training.images
    score = assess(problem, training.supernet, architecture, original)
    return Finetuned(training.supernet.weights(), score, training.images)


def _told(problem: Problem, score: Score) -> str:
    """Return what fine-tuning came to, in words."""
    if problem.reward is not None:
        return f"validation reward {score.value:.4g}"
    unit = problem.objective.unit
    if not unit.symbol:
        return f"validation {problem.objective.measure} {score.value:.4g}"
    return f"validation {problem.objective.measure} {unit.scale * score.value:.1f} {unit.symbol}"


def _outcome(problem: Problem, state: SearchState) -> Outcome:
    beta, *alphas = (
        Candidate(from_key(problem.network.architecture, text), done.weights, done.validation, images=done.images)
        for text, done in state.finetuned.items()
    )
    alphas.sort(key=lambda found: (found.validation.value, found.validation.ranking), reverse=True)
    scored = tuple(Scored(from_key(problem.network.architecture, text), score) for text, score in state.scored.items())
    images = Images(training=state.images, teacher=state.images / 3 if state.trainer.follows else 0.0)
    return Outcome(beta, tuple(alphas), tuple(state.history), scored, images, state.policy)
