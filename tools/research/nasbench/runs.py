"""Training runs in processes of their own, one thread each."""

import functools
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from natonnx.policy import make_policy
from tools.research.cells import Transitions
from tools.research.nao import NAORecipe
from tools.research.nasbench.measure import Draws, Measures, best_by_each, choose, measure, transform
from tools.research.nasbench.nao import improve, make_nao, train_nao
from tools.research.nasbench.saved import hold
from tools.research.nasbench.space import Space
from tools.research.nasbench.table import Table, read_table, split
from tools.research.nasbench.training import Recipe, Training, train

__all__ = ["CHOICES", "REWARD", "Job", "Run", "run_all"]

REWARD = "cifar10"
"""The data set whose validation accuracy is the reward."""
CHOICES = ("zero_shot", "never_worse", "best_of_samples", "both")


@dataclass(frozen=True)
class Job:
    """A policy to train and measure.

    Attributes:
        learner: Its name.
        recipe: How it is trained; a `NAORecipe` for NAO, which is no policy.
        seed: Of its weights and of training.
        options: Of the learner's class.
        label: What a table calls it.
        measured: Whether to measure it on the held-out cells.
        transitions: Whether operations may become cheaper ones.
        price: Points of accuracy that all MAdds of the dearest cell are worth in training.
        division: Which of the divisions of the cells; see `split`.
        start: A saved policy that only learns of cheaper operations, "pretrained" or a file; see `hold`.
    """

    learner: str
    recipe: Recipe | NAORecipe = field(default_factory=Recipe)
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    measured: bool = True
    transitions: Transitions = "nat"
    price: float = 0.0
    division: int = 0
    start: str = "scratch"


@dataclass(frozen=True)
class Run:
    """A job that is done.

    Attributes:
        job: The job.
        queries: Look-ups of the table in training, repetitions counted.
        cells: How many different cells were looked up.
        seconds: Wall time of training.
        curve: Queries and mean reward in points, now and then.
        tuning: Mean validation accuracy in percent of the tuning cells' α's, zero-shot.
        measures: By data set and way to choose, on the held-out cells.
        weights: The policy's, for `torch.nn.Module.load_state_dict`.
    """

    job: Job
    queries: int
    cells: int
    seconds: float
    curve: Sequence[tuple[int, float]]
    tuning: float
    measures: Mapping[str, Mapping[str, Measures]]
    weights: Mapping[str, torch.Tensor]

    @property
    def zero_shot(self) -> Measures:
        """On the data set of the reward."""
        return self.measures[REWARD]["zero_shot"]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "learner": self.job.learner,
            "label": self.job.label,
            "seed": self.job.seed,
            "transitions": self.job.transitions,
            "price": self.job.price,
            "division": self.job.division,
            "start": self.job.start,
            "recipe": asdict(self.job.recipe),
            "options": dict(self.job.options),
            "queries": self.queries,
            "cells": self.cells,
            "seconds": self.seconds,
            "curve": [list(point) for point in self.curve],
            "tuning": self.tuning,
            "measures": {
                name: {choice: found.to_dict() for choice, found in choices.items()}
                for name, choices in self.measures.items()
            },
        }


def run_all(path: Path, jobs: Sequence[Job], processes: int, done: Callable[[Run], None]) -> list[Run]:
    """Run jobs side by side.

    Args:
        path: Of the table.
        jobs: What to run.
        processes: How many at once.
        done: Called with each run that ends.

    Returns:
        The runs in the order of the jobs.
    """
    found: dict[int, Run] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting = {pool.submit(_run, path, job): i for i, job in enumerate(jobs)}
        for future in as_completed(waiting):
            found[waiting[future]] = future.result()
            done(found[waiting[future]])
    return [found[i] for i in range(len(jobs))]


def _run(path: Path, job: Job) -> Run:
    torch.set_num_threads(1)
    table = _table(path, job.transitions)
    cells = split(len(table.space.cells), job.division)
    reward = table.accuracies[REWARD]
    madds = table.space.own_costs[:, 1].float()
    worth = reward.validation - job.price / 100 * madds / madds.max()
    model, training, become = _train(job, table.space, worth, cells.training)
    tuned = become(cells.tuning).likely
    measures: dict[str, dict[str, Measures]] = {}
    if job.measured:
        draws = become(cells.held_out)
        bests = best_by_each(table.space, cells.held_out, [*table.accuracies.values()])
        for (name, accuracy), best in zip(table.accuracies.items(), bests, strict=True):
            alphas = choose(draws, accuracy)
            measures[name] = {
                choice: measure(table.space, cells.held_out, getattr(alphas, choice), best, accuracy)
                for choice in CHOICES
            }
    return Run(
        job,
        training.queries,
        int(training.seen.sum()),
        training.seconds,
        training.curve,
        100 * float(reward.validation[tuned].mean()),
        measures,
        {name: value.detach() for name, value in model.state_dict().items()},
    )


def _train(
    job: Job, space: Space, accuracy: torch.Tensor, cells: torch.Tensor
) -> tuple[torch.nn.Module, Training, Callable[[torch.Tensor], Draws]]:
    """Train what a job is about; return what it learned, and what makes α's of β's by it."""
    if isinstance(job.recipe, NAORecipe):
        nao = make_nao(seed=job.seed, **job.options)
        training = train_nao(nao, space, accuracy, cells, job.recipe, seed=job.seed)
        return nao, training, lambda betas: improve(nao, space, betas)
    policy = make_policy(job.learner, seed=job.seed, **job.options)
    if job.start != "scratch":
        hold(policy, job.learner, job.start)
    training = train(policy, space, accuracy, cells, job.recipe, seed=job.seed)
    return policy, training, lambda betas: transform(policy, space, betas, job.seed)


@functools.cache
def _table(path: Path, transitions: Transitions) -> Table:
    """Read once a process."""
    return read_table(path, transitions)
