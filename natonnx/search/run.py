"""A whole search: Algorithm 1, then selection, then fine-tuning of the finalists and of β by the same budget."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch

from natonnx.architecture import transition_mask
from natonnx.policy import make_policy
from natonnx.policy.pretrained import load_policy
from natonnx.search.algorithm import Algorithm1
from natonnx.search.assess import assess, original_runner
from natonnx.search.budget import Budget
from natonnx.search.clock import Clock
from natonnx.search.finetune import finetune
from natonnx.search.outcome import Candidate, Outcome, Scored
from natonnx.search.problem import Problem
from natonnx.search.progress import Progress, Stage, silent
from natonnx.search.reinforce import POINT, Reinforce
from natonnx.search.runner import Runner
from natonnx.search.score import Score
from natonnx.search.select import choose_finalists
from natonnx.search.settings import Settings
from natonnx.search.state import SearchState, from_key, key
from natonnx.search.train import make_optimizer
from natonnx.supernet import Supernet

__all__ = ["search", "start"]

_ANY = 1e-30
"""The user's own reward has a unit that we do not know: any difference counts."""

_log = logging.getLogger(__name__)

Save = Callable[[Mapping[str, Any]], None]


def search(
    problem: Problem,
    settings: Settings,
    *,
    enough: Callable[[Outcome], bool] = lambda _outcome: True,
    progress: Progress | None = None,
    resume: Mapping[str, Any] | None = None,
    save: Save | None = None,
) -> Outcome:
    """Search a better architecture.

    Args:
        problem: Model and data.
        settings: Settings.
        enough: Whether the finalists will do; asked when they are fine-tuned, and after each reserve.
        progress: Told of every step.
        resume: State of an interrupted search of the same problem and settings.
        save: Called with the state after every epoch and every fine-tuning.
    """
    progress, save = progress or silent, save or (lambda _state: None)
    clock = Clock(settings.time_budget)
    given = Supernet(problem.network).to(problem.device).eval()
    original = original_runner(problem, given)
    beta = problem.network.architecture
    if not (transition_mask(beta).sum(1) > 1).any():  # nothing may change
        score = assess(problem, given, beta, original)
        _log.info("no edge of the model may change: nothing is searched")
        return Outcome(Candidate(beta, given.weights(), score), (), ())
    state = start(problem, settings)
    if resume is not None:
        state.load_dict(resume)
        _log.info("resumed behind %d epochs and %d fine-tunings", len(state.history), len(state.finetuned))

    _log.debug("settings: %s", settings)
    if state.finalists is None:
        Algorithm1(problem, settings, state, original, clock).run(progress, save)
        state.finalists = choose_finalists(state, problem, settings, original, progress)
        state.finetune_epochs = clock.affordable_epochs(settings.finetune_epochs, settings.finalists + 1)
        save(state.to_dict())
    return _finetune_finalists(problem, settings, state, original, clock, enough, progress, save)


def start(problem: Problem, settings: Settings) -> SearchState:
    """Make the state of a search before its first step."""
    supernet = Supernet(problem.network).to(problem.device)
    policy = make_policy(settings.learner, edits=settings.edits, seed=settings.seed)
    load_policy(policy, settings.learner, settings.policy)
    points = problem.reward is None and problem.objective.unit.scale != 1
    return SearchState(
        supernet=supernet,
        optimizer=make_optimizer(supernet, settings.learning_rate),
        policy=policy,
        reinforce=Reinforce(policy, settings.policy_learning_rate, POINT if points else _ANY)
        if policy.learns
        else None,
        budget=Budget(problem.prices[0], settings.target),
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
    """Fine-tune β and the finalists, then, as long as those will not do, the reserves one by one."""
    beta = problem.network.architecture
    queue = {key(beta): False, **(state.finalists or {})}
    stage = Stage(progress, "fine-tune", min(len(queue), settings.finalists + 1))
    for position, (text, from_supernet) in enumerate(queue.items()):
        if position > settings.finalists and (clock.exhausted() or enough(_outcome(problem, state))):
            break
        if text not in state.finetuned:
            state.finetuned[text] = finetune(
                problem,
                from_key(beta, text),
                settings,
                epochs=state.finetune_epochs,
                start=state.supernet.state_dict() if from_supernet else None,
                original=original,
            )
            save(state.to_dict())
        score = state.finetuned[text].validation
        note = _told(problem, score)
        what = f"α {position}" if position else "β"
        _log.info("fine-tune: %s by %d epochs: %s", what, state.finetune_epochs, note)
        stage.advance(note, {"score": score.value})
    return _outcome(problem, state)


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
        Candidate(from_key(problem.network.architecture, text), done.weights, done.validation)
        for text, done in state.finetuned.items()
    )
    alphas.sort(key=lambda found: (found.validation.value, found.validation.ranking), reverse=True)
    scored = tuple(Scored(from_key(problem.network.architecture, text), score) for text, score in state.scored.items())
    return Outcome(beta, tuple(alphas), tuple(state.history), scored)
