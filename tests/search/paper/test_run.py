"""Algorithm 1 on the tiny network, from its first step to fine-tuned finalists."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from natonnx.architecture import violation
from natonnx.policy import LEARNERS
from natonnx.search import Criteria, Outcome, Problem, Settings, Step, decide, search
from natonnx.search.budget import Budget
from natonnx.search.keys import signature
from natonnx.search.paper.select import _bands
from natonnx.verbs.optimize.resume import load_checkpoint
from tests.search.interruption import interrupted

if TYPE_CHECKING:
    from collections.abc import Mapping

FAST = Settings(
    algorithm="paper", epochs=2, finetune_epochs=1, alphas=3, reward_batch=45, batch=48, evaluated=6, finalists=2
)


def with_(**fields: Any) -> Settings:
    return Settings(**{**FAST.__dict__, **fields})


class Recorder:
    """Counts what a search reports."""

    def __init__(self) -> None:
        self.stages: dict[str, tuple[int, int]] = {}
        self.values: dict[str, Mapping[str, Any]] = {}

    def __call__(self, step: Step) -> None:
        total, done = self.stages.get(step.stage, (step.total, -1))
        assert step.done == done + 1
        assert step.total >= step.done
        self.stages[step.stage] = (total, step.done)
        self.values[step.stage] = step.values


@pytest.fixture(scope="module")
def outcome(problem: Problem) -> Outcome:
    return search(problem, with_(target_madds=0.8))


def test_every_candidate_is_legal_meets_the_target_and_is_its_own(problem: Problem, outcome: Outcome) -> None:
    beta = problem.network.architecture
    budget = Budget(problem.prices[0], 0.8)
    assert outcome.candidates
    for candidate in outcome.candidates:
        assert violation(candidate.architecture, beta) is None
        assert budget.share(candidate.architecture) <= 0.8
    signatures = [signature(candidate.architecture) for candidate in outcome.candidates]
    assert len({*signatures, signature(beta)}) == len(signatures) + 1


def test_beta_is_fine_tuned_too_and_unedited(problem: Problem, outcome: Outcome) -> None:
    assert outcome.beta is not None
    assert outcome.beta.architecture == problem.network.architecture
    assert outcome.beta.weights.keys() == outcome.candidates[0].weights.keys()


def test_it_says_where_the_images_went(problem: Problem, outcome: Outcome) -> None:
    """Two passes for the supernet, one for each fine-tuning; the original's outputs are followed in all of them."""
    tuned = 1 + len(outcome.candidates)
    assert outcome.images.training == (2 + tuned) * 240
    assert outcome.images.teacher == outcome.images.training / 3
    assert [candidate.images for candidate in outcome.candidates] == [240] * len(outcome.candidates)
    alone = search(problem, with_(distillation=0.0, epochs=1))
    assert alone.images.teacher == 0


def test_history_has_a_row_an_epoch(outcome: Outcome) -> None:
    assert [row["epoch"] for row in outcome.history] == [1, 2]
    assert {"reward", "entropy", "loss", "cost", "limit", "tilt", "multiplier"} <= outcome.history[0].keys()


def test_candidates_come_best_first(outcome: Outcome) -> None:
    scores = [candidate.validation[:2] for candidate in outcome.candidates]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_seed_repeats_a_search(problem: Problem, learner: str) -> None:
    first, again = (search(problem, with_(learner=learner, seed=5)) for _ in range(2))
    assert first.history == again.history
    for one, other in zip(first.candidates, again.candidates, strict=True):
        assert one.architecture == other.architecture
        assert all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)


@pytest.mark.parametrize(
    ("learner", "stop"), [(LEARNERS[0], 1), (LEARNERS[0], 2), (LEARNERS[0], 3), (LEARNERS[0], 4), ("gcn-max", 2)]
)
def test_an_interrupted_search_resumes_to_the_same_result(
    problem: Problem, tmp_path: Path, learner: str, stop: int
) -> None:
    settings = with_(target_madds=0.8, seed=1, learner=learner)
    path = tmp_path / "state"
    assert interrupted(problem, settings, path, stop)
    resumed = search(problem, settings, resume=load_checkpoint(path, "same"))
    whole = search(problem, settings)
    assert resumed.history == whole.history
    assert [c.architecture for c in resumed.candidates] == [c.architecture for c in whole.candidates]
    for one, other in zip(resumed.candidates, whole.candidates, strict=True):
        assert all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_progress_is_told_of_every_step(problem: Problem) -> None:
    recorder = Recorder()
    found = search(problem, with_(epochs=1), progress=recorder)
    assert list(recorder.stages) == ["search", "select", "fine-tune"]
    for stage, (total, done) in recorder.stages.items():
        assert done >= total > 0, stage
    assert recorder.values["search"] == found.history[-1]
    assert found.beta is not None
    scores = [candidate.validation.value for candidate in (found.beta, *found.candidates)]
    assert recorder.values["fine-tune"]["score"] in scores


def test_a_time_budget_cuts_epochs_but_not_the_result(problem: Problem) -> None:
    found = search(problem, with_(epochs=50, finetune_epochs=30, time_budget=0.5))
    assert len(found.history) < 50
    assert found.beta is not None
    assert found.beta.validation.value > 0


def test_an_impossible_target_ends_without_a_winner(problem: Problem) -> None:
    settings = with_(epochs=1, target_madds=1e-5)  # less than the dense layer alone
    found = search(problem, settings)
    assert found.candidates == ()
    assert found.beta is not None
    beta = problem.network.architecture
    criteria = Criteria.of(beta, problem.prices, problem.objective, settings, reward=False)
    assert decide(found.beta.validation, found, criteria).winner is None


def test_reserves_are_fine_tuned_until_it_is_enough(problem: Problem) -> None:
    """As many reserves as finalists are chosen; they are only trained as long as the caller wants more."""
    asked: list[int] = []

    def third(outcome: Outcome) -> bool:
        asked.append(len(outcome.candidates))
        return len(outcome.candidates) == 3

    few = search(problem, with_(target_madds=0.9))
    more = search(problem, with_(target_madds=0.9), enough=third)
    assert len(few.candidates) == 2
    assert (asked, len(more.candidates)) == ([2, 3], 3)


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_learns_in_a_search_if_it_can(problem: Problem, learner: str) -> None:
    """What the search begins with is not what it ends with; only random search has nothing to change."""
    states: list[Mapping[str, Any]] = []
    found = search(problem, with_(learner=learner), save=lambda state: states.append(copy.deepcopy(dict(state))))
    assert found.beta is not None
    assert found.beta.validation.samples == 90
    first, last = states[0]["policy"], states[-1]["policy"]
    assert all(torch.isfinite(value).all() for value in last.values())
    assert any(not torch.equal(first[name], last[name]) for name in first) is (learner != "random")
    assert (states[-1]["reinforce"] is None) is (learner == "random")


@pytest.mark.parametrize(
    ("shares", "count", "expected"),
    [
        ([0.8, 1.0, 0.9], 1, ["bca"]),
        ([0.8, 1.0, 0.9, 0.7], 2, ["bc", "ad"]),
        ([0.8, 1.0, 0.9, 0.7, 0.6], 3, ["b", "ca", "de"]),
        ([0.8, 1.0], 3, ["b", "a"]),
        ([], 3, []),
    ],
)
def test_bands_divide_by_cost(shares: list[float], count: int, expected: list[str]) -> None:
    named = dict(zip("abcde", shares, strict=False))
    assert ["".join(band) for band in _bands(named, count)] == expected
