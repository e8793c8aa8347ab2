"""Every method meets its target by legal edits, and counts the images that really ran."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from natonnx.architecture import violation
from natonnx.supernet import Supernet
from natonnx.verbs.optimize.prepare import Prepared
from tools.benchmarks.bench_search.methods import METHODS, UNEDITED
from tools.benchmarks.bench_search.run import key_of, make_file, measure, right_answers
from tools.benchmarks.bench_search.task import Found, Task, total

from .conftest import TEST, TRAIN, VALIDATION

BUDGET = 12_000.0
_SMALL = 5_000.0
"""Of methods that look nothing up, and so have more than enough for refitting and training."""
_UNLOOKED = ("uniform", "last", "magnitude", "beta")
_SETTLED = TRAIN
"""Training images that statistics are estimated from at the end; not counted, alike for all methods."""


class Counter:
    """Counts the images that any network runs on, with and without a gradient."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.with_gradient = self.without = 0
        real = Supernet._run

        def run(supernet: Supernet, inputs: Mapping[str, torch.Tensor], *arguments: Any, **options: Any) -> Any:
            count = len(next(iter(inputs.values())))
            if torch.is_grad_enabled():
                self.with_gradient += count
            else:
                self.without += count
            return real(supernet, inputs, *arguments, **options)

        monkeypatch.setattr(Supernet, "_run", run)


def task(prepared: Prepared, method: str = "") -> Task:
    return Task(prepared, 0.6, 0, _SMALL if method in _UNLOOKED else BUDGET)


UNTRAINED = ("natonnx-untrained", "natonnx-untrained-nat++")
_SLOW = ("natonnx", "natonnx-nat++", "natonnx-without-refit")
"""A policy is trained."""


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=pytest.mark.slow) if name in _SLOW else name for name in METHODS]
)
def test_meets_target_and_budget(method: str, prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    job = task(prepared, method)
    counter = Counter(monkeypatch)
    found = METHODS[method](job)
    used = total(found.images)
    assert violation(found.architecture, job.beta) is None
    assert counter.with_gradient == found.images.training
    if method in UNEDITED:
        assert found.architecture.states == job.beta.states
    elif not found.weights:  # nothing was found within the look-ups: the input stands
        assert method == "natonnx-beam"
    elif method in UNTRAINED:
        assert job.price.cost(found.architecture) <= 0.6 * job.price.full
        assert found.images.training == found.own == 0
    else:
        assert job.price.cost(found.architecture) <= 0.6 * job.price.full
        assert 0.9 * job.budget <= used <= 1.02 * job.budget
        assert 0 < found.own <= found.images.training


@pytest.mark.parametrize("method", ["greedy-2025", "beta"])
def test_every_pass_is_counted(method: str, prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    job = task(prepared, method)
    job.given  # noqa: B018
    counter = Counter(monkeypatch)
    images = METHODS[method](job).images
    assert counter.without == pytest.approx(3 * (images.look_ups + images.teacher) + _SETTLED)


def test_a_look_up_takes_what_it_is_said_to(prepared: Prepared) -> None:
    from tools.benchmarks.bench_search.scorer import Scorer

    job = task(prepared)
    scorer = Scorer(job, calibration=50, held_out=40)
    scorer(job.beta)
    assert scorer.images == 90
    scorer.score(job.beta, {})
    assert scorer.images == 130
    assert Scorer(job, held_out=None).score(job.beta).samples == VALIDATION


def test_what_is_given_is_the_file(prepared: Prepared) -> None:
    found = METHODS["given"](task(prepared))
    model = make_file(prepared, found)
    assert model.SerializeToString() == prepared.source.network.model.SerializeToString()
    assert total(found.images) == 0


def test_accuracy_is_that_of_the_torch_network(prepared: Prepared) -> None:
    job = task(prepared, "last")
    found = METHODS["last"](job)
    supernet = Supernet(job.problem.network)
    supernet.load_weights(found.weights)
    supernet.eval()
    assert prepared.parts.test is not None
    batch = next(prepared.parts.test.batches(TEST))
    name, output = job.problem.network.inputs[0], job.problem.network.outputs[0]
    with torch.no_grad():
        scores = supernet.run({name: torch.from_numpy(batch.inputs[name])}, found.architecture, [output])[output]
    expected = scores.argmax(1).numpy() == batch.targets
    np.testing.assert_array_equal(right_answers(make_file(prepared, found), prepared.parts.test), expected)


def test_a_run_repeats(prepared: Prepared) -> None:
    class Net:
        name = "tiny"

    key = key_of(Net, "greedy", 0.6, 1, 3_000)  # type: ignore[arg-type]
    first, second = (measure(key, "noise", prepared, 0) for _ in range(2))
    assert first.correct == second.correct
    assert first.edits == second.edits
    assert first.edits
    assert first.accuracy == first.right().mean()
    assert first.latency is None


def test_methods_that_edit_nothing_run_once_for_all_targets(prepared: Prepared) -> None:
    class Net:
        name = "tiny"

    keys = {key_of(Net, "beta", target, 0, 1) for target in (0.8, 0.5)}  # type: ignore[arg-type]
    assert len(keys) == 1
    assert Found(task(prepared).beta, {}).own == 0
