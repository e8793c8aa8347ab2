"""The training of one architecture, in parts."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from natonnx.data.batches import Batch, StreamBatches
from natonnx.search import Problem, Settings
from natonnx.search.assess import original_runner
from natonnx.search.finetune import Finetuning, Limit
from natonnx.search.progress import Stage, Step
from natonnx.supernet import Supernet
from tests.search.conftest import tiny_split

SETTINGS = Settings(batch=32, finetune_learning_rate=0.05)
EPOCH = 240


def make(
    problem: Problem,
    settings: Settings = SETTINGS,
    limit: Limit | None = None,
    start: Mapping[str, np.ndarray] | None = None,
) -> Finetuning:
    original = original_runner(problem, Supernet(problem.network).eval())
    beta, limit = problem.network.architecture, limit or Limit(2 * EPOCH)
    return Finetuning(problem, beta, settings, original=original, limit=limit, start=start or {})


def weights(training: Finetuning) -> dict[str, np.ndarray]:
    return training.supernet.weights()


def are_equal(one: Finetuning, other: Finetuning) -> bool:
    return all(np.array_equal(value, weights(other)[name]) for name, value in weights(one).items())


def on_disk(state: dict[str, Any]) -> Any:
    """A state as it comes back from a file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def as_stream(count: int, seed: int, samples: int | None = None) -> StreamBatches:
    """The tiny split as a source that says how many samples it has, or does not."""
    split = tiny_split(count, seed)

    def read() -> Iterator[Batch]:
        return split.batches(50)

    return StreamBatches(read, split.axes, True, samples)


@pytest.fixture
def shifting(problem: Problem) -> Problem:
    """Training images are shifted and mirrored at random."""
    return replace(problem, augment="shift-flip")


def test_it_depends_on_the_seed_alone(shifting: Problem) -> None:
    first, again, other = (make(shifting, replace(SETTINGS, seed=seed)) for seed in (3, 3, 4))
    for training in (first, again, other):
        training.run(1.0)
    assert are_equal(first, again)
    assert not are_equal(first, other)


def test_parts_add_up_to_the_whole(shifting: Problem) -> None:
    whole, parts = make(shifting), make(shifting)
    whole.run(1.0)
    for until in (0.05, 0.3, 0.31, 0.77, 1.0):
        parts.run(until)
        assert until <= parts.done <= until + SETTINGS.batch / (2 * EPOCH)
    assert (whole.images, parts.images) == (2 * EPOCH, 2 * EPOCH)
    assert are_equal(whole, parts)


@pytest.mark.parametrize("until", [0.0, 0.05, 0.3, 0.5, 0.51, 0.9, 1.0])
def test_what_is_saved_goes_on_as_if_nothing_had_happened(shifting: Problem, until: float) -> None:
    """Behind any minibatch, the end of a pass among them."""
    whole, begun, resumed = make(shifting), make(shifting), make(shifting)
    whole.run(1.0)
    begun.run(until)
    resumed.load_dict(on_disk(begun.to_dict()))
    assert (resumed.images, resumed.done) == (begun.images, begun.done)
    resumed.run(1.0)
    assert resumed.images == 2 * EPOCH
    assert are_equal(whole, resumed)


def test_a_stream_goes_on_too(problem: Problem) -> None:
    """Its order is its own."""
    given = replace(problem, train=as_stream(EPOCH, 1))
    whole, begun, resumed = make(given), make(given), make(given)
    whole.run(1.0)
    begun.run(0.3)
    resumed.load_dict(on_disk(begun.to_dict()))
    resumed.run(1.0)
    assert resumed.images == 2 * EPOCH
    assert are_equal(whole, resumed)


def test_the_rate_rises_and_falls_to_nothing(problem: Problem) -> None:
    training = make(problem, limit=Limit(100 * EPOCH))
    rates = {}
    for part in (0.0, 0.025, 0.05, 0.25, 0.525, 0.8, 0.9999):
        training.images = round(part * training.limit.images)
        training.run(training.done + 1e-9)  # one minibatch
        (rates[part],) = {group["lr"] for group in training._trainer.optimizer.param_groups}
    highest = SETTINGS.recipe.learning_rate
    assert rates[0.0] == pytest.approx(0.2 * highest, abs=1e-3)
    assert rates[0.025] == pytest.approx(0.6 * highest, abs=1e-3)
    assert rates[0.05] == pytest.approx(highest, abs=1e-3)
    assert rates[0.525] == pytest.approx(0.5 * highest, abs=1e-3)
    assert rates[0.25] > rates[0.525] > rates[0.8] > rates[0.9999]
    assert rates[0.9999] == pytest.approx(0.0, abs=1e-3)


def test_it_learns_the_task_and_starts_where_it_is_told(problem: Problem) -> None:
    losses: list[float] = []

    def hear(step: Step) -> None:
        if step.note:
            losses.append(float(step.note.removeprefix("loss ")))

    training = make(problem, replace(SETTINGS, distillation=0.0), Limit(12 * EPOCH))
    training.run(1.0, Stage(hear, "train", 12 * EPOCH))
    assert len(losses) == 12 * 8
    assert np.mean(losses[-8:]) < 0.5 * np.mean(losses[:8])
    again = make(problem, start=weights(training))
    assert are_equal(training, again)
    assert not are_equal(training, make(problem))


def test_progress_counts_images(problem: Problem) -> None:
    steps: list[tuple[int, int]] = []
    training = make(problem, limit=Limit(100))
    training.run(1.0, Stage(lambda step: steps.append((step.done, step.total)), "train", 100))
    assert steps == [(0, 100), (32, 100), (64, 100), (96, 100), (128, 128)]
    assert training.images == 128


def test_nothing_is_trained_without_a_pass_or_without_samples(problem: Problem) -> None:
    given = make(problem)
    no_images = (make(problem, limit=Limit(images)) for images in (0, -5))
    for training in (*no_images, make(replace(problem, train=tiny_split(1, 1)))):
        training.run(1.0)
        assert training.images == 0
        assert are_equal(training, given)


def test_a_split_smaller_than_a_batch_is_one_minibatch(problem: Problem) -> None:
    training = make(replace(problem, train=tiny_split(20, 1)), limit=Limit(60))
    training.run(1.0)
    assert training.images == 60
    assert not are_equal(training, make(problem))


def test_seconds_end_it_too(problem: Problem) -> None:
    training = make(problem, limit=Limit(10**9, 1e-6))
    training.run(1.0)
    assert training.images == SETTINGS.batch
    assert training.done == 1


def test_settling_sets_the_statistics_of_normalisation(problem: Problem) -> None:
    """Those of training samples under the architecture, whatever they were; nothing else changes."""
    training, other = make(problem), make(problem)
    training.run(0.2)
    other.supernet.load_state_dict(training.supernet.state_dict())
    for name, value in other.supernet.named_buffers():
        if "mean" in name or "var" in name:
            value.add_(1.0)
    for one in (training, other):
        one.settle()
    assert are_equal(training, other)
    assert not are_equal(training, make(problem))


def test_samples_are_counted_where_the_source_does_not_say() -> None:
    assert as_stream(111, 1).count() == 111
    assert as_stream(111, 1, 7).count() == 7  # what it says is believed
