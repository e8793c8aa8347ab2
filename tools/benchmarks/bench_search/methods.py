"""The methods that are compared, by name."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from natonnx.architecture import Architecture
from natonnx.search import Price, search
from natonnx.search.lookup import Lookups
from natonnx.search.propose import make_proposer
from natonnx.search.propose.moves import Moves
from natonnx.search.spend import planned_images
from tools.benchmarks.bench_search import removal
from tools.benchmarks.bench_search.recipes import train, train_2025
from tools.benchmarks.bench_search.scorer import Scorer
from tools.benchmarks.bench_search.selection import greedy, random_alphas
from tools.benchmarks.bench_search.task import Found, Task

__all__ = ["CHEAPER", "METHODS", "UNEDITED"]

_RANDOM = 100
_BY_PROPOSER = 30


def natonnx(task: Task, learner: str | None = None) -> Found:
    """Search as `natonnx optimize --target-madds` does, its training as long as the budget allows.

    What look-ups take is known once they are done: so they are done first, and remembered. The input stands where they
    found nothing at that cost.
    """
    problem = task.problem
    settings = replace(task.settings, target_madds=task.target)
    settings = replace(settings, learner=learner or settings.learner)
    states: list[Mapping[str, Any]] = []
    looked = search(problem, replace(settings, training=False), save=states.append)
    looked_up = next(state for state in reversed(states) if not state["done"])
    overhead = planned_images(1_000_000, settings.finalists) / 1_000_000
    images = 0.75 * (task.budget - looked.images.look_ups) / overhead  # the teacher's forward a third
    epochs = images / (problem.train.samples or 1)
    outcome = search(problem, replace(settings, finetune_epochs=epochs), resume=looked_up)
    if not outcome.candidates:
        return Found(task.beta, {}, looked.images)
    best = outcome.candidates[0]
    return Found(best.architecture, best.weights, outcome.images, best.images)


def untrained(task: Task) -> Found:
    """Search as `natonnx optimize --no-training` does; the input stands where it found nothing at that cost."""
    settings = replace(task.settings, target_madds=task.target, training=False)
    outcome = search(task.problem, settings)
    if not outcome.candidates:
        return Found(task.beta, {}, outcome.images)
    best = outcome.candidates[0]
    return Found(best.architecture, best.weights, outcome.images)


def without_refit(task: Task) -> Found:
    """Let natonnx's proposer look up log-likelihoods by the file's weights, and train from these."""
    scorer = Scorer(task)
    moves = Moves(task.beta, task.price)
    lookups = Lookups(task.beta, task.price, scorer, len(moves.savers) + _BY_PROPOSER)
    generator = torch.Generator().manual_seed(task.seed)
    make_proposer(task.settings.learner, seed=task.seed).propose(lookups, (task.target,), generator)
    return train(task, lookups.within(task.target)[0].architecture, scorer.images / 3, refit=False)


def greedy_2025(task: Task) -> Found:
    """Remove greedily by the file's weights; train as in 2025."""
    alpha, images = _greedy(task)
    return train_2025(task, alpha, images)


def greedy_now(task: Task) -> Found:
    """Remove greedily by the file's weights; train by natonnx's recipe."""
    alpha, images = _greedy(task)
    return train(task, alpha, images)


def _greedy(task: Task) -> tuple[Architecture, float]:
    scorer = Scorer(task)
    alpha = greedy(task.beta, task.price, task.target, scorer)
    return alpha, scorer.images / 3


def random(task: Task) -> Found:
    """Take the best of many random α's by the file's weights; train by natonnx's recipe."""
    scorer = Scorer(task)
    drawn = itertools.islice(random_alphas(task.beta, task.price, task.target, task.seed), _RANDOM)
    return train(task, max(drawn, key=scorer), scorer.images / 3)


def unlooked(choose: Callable[[Architecture, Price, float], Architecture], task: Task) -> Found:
    """Choose by the graph alone; train by natonnx's recipe."""
    return train(task, choose(task.beta, task.price, task.target))


def magnitude(task: Task) -> Found:
    """Remove the smallest weights; train by natonnx's recipe."""
    return train(task, removal.magnitude(task.beta, task.price, task.target, task.given))


def beta(task: Task) -> Found:
    """Train β itself by natonnx's recipe, with all images."""
    return train(task, task.beta, refit=False)


def given(task: Task) -> Found:
    """Leave everything as it is."""
    return Found(task.beta, {})


METHODS: Mapping[str, Callable[[Task], Found]] = {
    "natonnx": natonnx,
    **{f"natonnx-{name}": partial(natonnx, learner=name) for name in ("greedy", "evolution", "random", "beam")},
    "natonnx-nat++": natonnx,
    "natonnx-untrained": untrained,
    "natonnx-untrained-nat++": untrained,
    "natonnx-without-refit": without_refit,
    "greedy": greedy_now,
    "greedy-2025": greedy_2025,
    "random": random,
    "uniform": partial(unlooked, removal.uniform),
    "last": partial(unlooked, removal.last),
    "magnitude": magnitude,
    "beta": beta,
    "given": given,
}
"""By name, in the order of the tables."""

CHEAPER = frozenset({"natonnx-nat++", "natonnx-untrained-nat++"})
"""Those that are given NAT++'s transitions."""

UNEDITED = frozenset({"beta", "given"})
"""Those that are the same whatever the target is."""
