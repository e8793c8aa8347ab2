"""Searches whose models, and β beside them, are trained from weights that are drawn anew."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from natonnx.search import Clock, Criteria, Outcome, Problem, Settings, decide, search
from natonnx.search.effort import expected
from natonnx.search.keys import key
from natonnx.search.outcome import Candidate
from natonnx.search.parallel.executor import Spread
from natonnx.search.parallel.tasks import KINDS, Task
from natonnx.search.parallel.worker import Worker
from natonnx.search.progress import Stage
from natonnx.supernet import Supernet, initial_weights
from natonnx.verbs.optimize.resume import load_checkpoint
from tests.search.interruption import interrupted

FAST = Settings(weights="scratch", finetune_epochs=2, batch=48, lookups=6, learner="greedy", target_madds=0.8)


def state_of(problem: Problem, path: Path, stop: int) -> Mapping[str, Any]:
    """The state that a search leaves that is interrupted at its so many-th save."""
    assert interrupted(problem, FAST, path, stop)
    return load_checkpoint(path, "same")


@pytest.fixture(scope="module")
def outcome(problem: Problem) -> Outcome:
    return search(problem, FAST)


def are_equal(one: Candidate | None, other: Candidate | None) -> bool:
    assert one is not None
    assert other is not None
    same = (one.architecture, one.target, one.images) == (other.architecture, other.target, other.images)
    return same and all(np.array_equal(value, other.weights[name]) for name, value in one.weights.items())


def test_beta_is_trained_as_long_as_the_candidates(problem: Problem, outcome: Outcome) -> None:
    (candidate,) = outcome.candidates
    assert outcome.beta is not None
    assert outcome.beta.architecture == problem.network.architecture
    assert outcome.beta.images == candidate.images == 2 * 240
    assert outcome.images.training >= 2 * 2 * 240
    assert outcome.images.teacher == 0  # nothing is distilled unless that is asked for


def test_nothing_of_the_file_is_left(problem: Problem) -> None:
    """Without any training, what is made has the weights that were drawn; its statistics are re-estimated."""
    found = search(problem, replace(FAST, finetune_epochs=0))
    supernet = Supernet(problem.network)
    drawn = initial_weights(supernet, FAST.seed)
    statistics = {value.data_ptr() for value in supernet.statistics()}
    parameters = {name for name, value in supernet.named_tensors().items() if value.data_ptr() not in statistics}
    for made in (found.beta, *found.candidates):
        assert made is not None
        assert made.weights.keys() == drawn.keys()
        assert all(np.array_equal(made.weights[name], drawn[name].numpy()) for name in parameters)


def test_the_search_before_is_the_same(problem: Problem, outcome: Outcome) -> None:
    """Look-ups compare architectures by refitted weights, whatever is made of them."""
    other = search(problem, replace(FAST, weights="file"))
    assert [one.architecture for one in outcome.scored] == [one.architecture for one in other.scored]
    assert [one.validation[:2] for one in outcome.scored] == [one.validation[:2] for one in other.scored]
    assert other.beta is None


@pytest.mark.parametrize("stop", [2, 4, 10, 14, 18])
def test_an_interrupted_search_resumes_to_the_same_result(
    problem: Problem, outcome: Outcome, tmp_path: Path, stop: int
) -> None:
    state = state_of(problem, tmp_path / "state", stop)
    resumed = search(problem, FAST, resume=state)
    assert resumed.images == outcome.images
    assert are_equal(resumed.beta, outcome.beta)
    assert are_equal(resumed.candidates[0], outcome.candidates[0])


def test_interruptions_fall_into_the_training_of_either(problem: Problem, tmp_path: Path) -> None:
    """What the test above covers: a training of β, and one behind it."""
    early, late = (state_of(problem, tmp_path / str(stop), stop) for stop in (4, 18))
    assert early["beta"] is None
    assert [start["states"] for start in early["halving"]["starts"]] == [key(problem.network.architecture)]
    assert late["beta"] is not None
    assert key(problem.network.architecture) not in {start["states"] for start in late["halving"]["starts"]}


class Elsewhere(Spread):
    """Carries out tasks as they were sent: by another worker."""

    width = 2

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker)
        self._other = Worker(worker.problem, FAST, worker.samples)

    def map(self, tasks: Any, stage: Stage | None = None) -> list[dict[str, Any]]:
        sent: list[Task] = [KINDS[type(task).__name__](**task.plain()) for task in tasks]
        return [task.run(self._other, stage) for task in sent]


def test_what_is_carried_out_elsewhere_is_the_same(problem: Problem, outcome: Outcome) -> None:
    found = search(problem, FAST, executor=Elsewhere)
    assert are_equal(found.beta, outcome.beta)
    assert are_equal(found.candidates[0], outcome.candidates[0])


def test_within_a_time_budget_candidates_are_trained_no_longer_than_beta(problem: Problem) -> None:
    found = search(problem, replace(FAST, finetune_epochs=10_000, time_budget=3), clock=Clock(3.0, each=1e-5))
    assert found.beta is not None
    assert 0 < found.beta.images < 10_000 * 240
    assert all(candidate.images <= found.beta.images + FAST.batch for candidate in found.candidates)


def test_a_time_budget_that_is_used_up_still_gives_a_result(problem: Problem) -> None:
    found = search(problem, replace(FAST, time_budget=1e-3))
    assert found.beta is not None
    assert len(found.candidates) == 1


def test_the_plan_counts_what_beta_takes(problem: Problem) -> None:
    alike = replace(FAST, weights="file", distillation=0.0)
    assert expected(problem, FAST).passes - expected(problem, alike).passes == 3 * 2 * 240
    assert "as many for the input, both from scratch" in expected(problem, FAST).told
    assert "scratch" not in expected(problem, alike).told


def test_algorithm_1_trains_its_finalists_from_scratch_too(problem: Problem) -> None:
    paper = Settings(
        algorithm="paper", epochs=1, alphas=3, reward_batch=45, batch=48, evaluated=4, finalists=1, weights="scratch"
    )
    found = search(problem, replace(paper, finetune_epochs=0))
    supernet = Supernet(problem.network)
    drawn = initial_weights(supernet, 0)
    assert found.beta is not None
    for made in (found.beta, found.candidates[0]):
        assert np.array_equal(made.weights["first.weight"], drawn["first.weight"].numpy())


def test_without_a_target_a_candidate_is_held_against_beta_from_scratch(problem: Problem, outcome: Outcome) -> None:
    beta = problem.network.architecture
    assert outcome.beta is not None
    for target in (None, 0.8):
        settings = replace(FAST, target_madds=target)
        criteria = Criteria.of(beta, problem.prices, problem.objective, settings, reward=False)
        names = {one.name: one.label for one in decide(outcome.beta.validation, outcome, criteria).constraints}
        assert ("behind_finetuned_input" in names) == (target is None)
        if target is None:
            assert names["behind_finetuned_input"] == "validation accuracy behind the input from scratch"
        behind = criteria.behind(outcome.candidates[0], outcome)
        lost = outcome.beta.validation.value - outcome.candidates[0].validation.value
        assert behind is not None
        assert behind.value == pytest.approx(100 * lost, abs=1e-6)
