"""Where training images go: successive halving."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from natonnx.architecture import Architecture
from natonnx.search import Problem, Score, Settings
from natonnx.search.assess import original_runner
from natonnx.search.finetune import Finetuning, Limit
from natonnx.search.progress import Stage, Step, silent
from natonnx.search.propose.moves import Moves
from natonnx.search.spend import Halving, Start, Trained, planned_images
from natonnx.supernet import Supernet
from tests.search.conftest import tiny_split

SETTINGS = Settings(batch=24)
LIMIT = 2400


def alphas(problem: Problem) -> list[Architecture]:
    """β's that lack one thing each."""
    return [move.architecture for move in Moves(problem.network.architecture, problem.prices[0]).all]


def by_worth(found: Sequence[Architecture], worth: Sequence[float]) -> Callable[[Finetuning], Score]:
    """A score that is known beforehand."""
    named = {alpha.states: value for alpha, value in zip(found, worth, strict=False)}
    return lambda training: Score(0.5, named[training.architecture.states])


def halving(
    problem: Problem,
    starts: Sequence[Start],
    score: Callable[[Finetuning], Score],
    *,
    limit: int = LIMIT,
    progress: Callable[[Step], object] = silent,
    save: Callable[[], None] = lambda: None,
) -> Halving:
    original = original_runner(problem, Supernet(problem.network).eval())

    def make(start: Start) -> Finetuning:
        return Finetuning(
            problem, start.architecture, SETTINGS, original=original, limit=Limit(limit), start=start.weights
        )

    def train(living: Sequence[Trained], until: float, stage: Stage) -> None:
        for _, training in living:
            training.run(until, stage)

    def scores(living: Sequence[Trained]) -> list[Score]:
        return [score(training) for _, training in living]

    return Halving(make, train, scores, starts, progress, save)


def starts_of(found: Sequence[Architecture]) -> list[Start]:
    return [Start(alpha, {}) for alpha in found]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_most_images_go_into_the_one_that_is_left(problem: Problem, count: int) -> None:
    """At least 60 %; and as many as were planned, a minibatch a round and α aside."""
    found = alphas(problem)[:count]
    steps: list[Step] = []
    spent = halving(problem, starts_of(found), by_worth(found, range(count)), progress=steps.append)
    start, training = spent.run()
    assert start.architecture == training.architecture == found[-1]
    assert training.images == LIMIT
    assert training.images >= 0.6 * spent.images
    planned = planned_images(LIMIT, count)
    assert planned <= spent.images <= planned + 2 * count * SETTINGS.batch
    assert (steps[0].total, steps[-1].done) == (planned, spent.images)


@pytest.mark.parametrize(("count", "first", "rounds"), [(2, 0.12, [2, 1]), (3, 0.08, [3, 2, 1]), (4, 0.06, [4, 2, 1])])
def test_the_worse_half_is_dropped_again_and_again(
    problem: Problem, count: int, first: float, rounds: list[int]
) -> None:
    """What is scored is what was trained so far, twice as far in each round; the best of all is never dropped."""
    found = alphas(problem)[:count]
    worth, seen = by_worth(found, [3.0, 1.0, 4.0, 2.0]), list[tuple[str, float]]()

    def score(training: Finetuning) -> Score:
        seen.append(("".join(training.architecture.states), training.done))
        return worth(training)

    start, _ = halving(problem, starts_of(found), score).run()
    assert start.architecture == max(found, key=lambda alpha: [3.0, 1.0, 4.0, 2.0][found.index(alpha)])
    step, until, position = first, 0.0, 0
    for living in rounds[:-1]:
        until += step
        scored = seen[position : position + living]
        assert len({states for states, _ in scored}) == living
        assert all(until <= done <= until + SETTINGS.batch / LIMIT for _, done in scored)
        step, position = 2 * step, position + living
    assert position == len(seen)


class Stopped(Exception):  # noqa: N818 - no error
    pass


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5, 9])
def test_what_is_saved_goes_on_as_if_nothing_had_happened(problem: Problem, stop: int) -> None:
    """Between two rounds as within one; from starts that have weights of their own."""
    given, found = replace(problem, augment="shift-flip"), alphas(problem)[:3]
    original = Supernet(problem.network).weights()
    starts = [
        Start(alpha, {name: (1 + 0.1 * i) * value for name, value in original.items()}, 7 * i)
        for i, alpha in enumerate(found)
    ]
    score = by_worth(found, [1.0, 3.0, 2.0])
    _, expected = (whole := halving(given, starts, score, limit=480)).run()
    saved: list[bytes] = []

    def save() -> None:
        buffer = io.BytesIO()
        torch.save(begun.to_dict(), buffer)
        saved.append(buffer.getvalue())
        if len(saved) == stop:
            raise Stopped

    begun = halving(given, starts, score, limit=480, save=save)
    with pytest.raises(Stopped):
        begun.run()
    state: Mapping[str, Any] = torch.load(io.BytesIO(saved[-1]), weights_only=True)
    again = [Start.of_dict(start, problem.network.architecture) for start in state["starts"]]
    assert [(start.architecture, start.images) for start in again] == [(alpha, 7 * i) for i, alpha in enumerate(found)]
    steps: list[Step] = []
    resumed = halving(given, again, score, limit=480, progress=steps.append)
    resumed.load_dict(state)
    assert steps[-1].done == state["images"]
    start, training = resumed.run()
    assert (start.architecture, resumed.images) == (found[1], whole.images)
    weights = training.supernet.weights()
    assert all(np.array_equal(value, weights[name]) for name, value in expected.supernet.weights().items())


@pytest.mark.parametrize("count", [1, 2])
def test_without_anything_to_train_on_it_ends(problem: Problem, count: int) -> None:
    found = alphas(problem)[:count]
    for given, limit in ((replace(problem, train=tiny_split(1, 1)), LIMIT), (problem, 0)):
        spent = halving(given, starts_of(found), by_worth(found, [2.0, 1.0]), limit=limit)
        start, training = spent.run()
        assert start.architecture == found[0]
        assert (training.images, spent.images) == (0, 0)
