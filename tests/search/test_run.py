"""Whole searches on the tiny network."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from natonnx.architecture import Architecture, State, violation
from natonnx.data.batches import StreamBatches
from natonnx.frontend import parse
from natonnx.notices import NOTICE
from natonnx.policy import PROPOSERS
from natonnx.rewrite import build
from natonnx.search import Clock, Criteria, Outcome, Problem, RunnableModel, Settings, Step, decide, search
from natonnx.search.assess import original_runner
from natonnx.search.budget import Budget
from natonnx.search.effort import LADDER
from natonnx.search.keys import from_key, key, signature
from natonnx.search.look import Looker, as_arrays, refit_on
from natonnx.search.lookup import Lookups
from natonnx.search.propose.greedy import Greedy
from natonnx.search.propose.moves import Moves
from natonnx.supernet import Supernet
from natonnx.verbs.optimize.resume import load_checkpoint
from natonnx.verbs.scoring import runnable_file
from tests.search.conftest import tiny_model, tiny_problem, tiny_split
from tests.search.interruption import interrupted

FAST = Settings(finetune_epochs=1, batch=48, lookups=12, learner="greedy")
TARGETS = (0.8, 0.5)


class Recorder:
    """Counts what a search reports; a stage of one name may come again and again."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, list[Step]]] = []

    def __call__(self, step: Step) -> None:
        if not step.done:
            self.stages.append((step.stage, []))
        name, steps = self.stages[-1]
        assert step.stage == name
        assert step.done > (steps[-1].done if steps else -1)
        assert step.total >= step.done
        steps.append(step)


@pytest.fixture(scope="module")
def outcome(problem: Problem) -> Outcome:
    return search(problem, replace(FAST, target_madds=TARGETS))


def share(problem: Problem, architecture: Architecture) -> float:
    return Budget(problem.prices[0], None).share(architecture)


def assert_equal(one: Outcome, other: Outcome) -> None:
    """All that a report says of two searches, and their weights to the last bit."""
    assert (one.images, one.history) == (other.images, other.history)
    assert [(s.architecture, s.validation[:2]) for s in one.scored] == [
        (s.architecture, s.validation[:2]) for s in other.scored
    ]
    for first, second in zip(one.candidates, other.candidates, strict=True):
        assert (first.architecture, first.target, first.images) == (second.architecture, second.target, second.images)
        assert first.validation[:2] == second.validation[:2]
        assert first.weights.keys() == second.weights.keys()
        assert all(np.array_equal(value, second.weights[name]) for name, value in first.weights.items())


def test_every_target_has_a_candidate_that_is_legal_and_meets_it(problem: Problem, outcome: Outcome) -> None:
    beta = problem.network.architecture
    assert {candidate.target for candidate in outcome.candidates} == set(TARGETS)
    for candidate in outcome.candidates:
        assert candidate.target is not None
        assert violation(candidate.architecture, beta) is None
        assert share(problem, candidate.architecture) <= candidate.target
        assert signature(candidate.architecture) != signature(beta)


def test_what_was_scored_is_legal_and_its_own(problem: Problem, outcome: Outcome) -> None:
    beta = problem.network.architecture
    found = [scored.architecture for scored in outcome.scored]
    assert all(violation(alpha, beta) is None for alpha in found)
    signatures = [signature(alpha) for alpha in found]
    assert len({*signatures, signature(beta)}) == len(signatures) + 1
    assert {signature(candidate.architecture) for candidate in outcome.candidates} <= set(signatures)
    ranks = [scored.validation.ranking for scored in outcome.scored]
    assert ranks == sorted(ranks, reverse=True)
    assert 0 < len(found) <= 12


def test_beta_is_not_trained(outcome: Outcome) -> None:
    assert outcome.beta is None
    assert outcome.history == ()


def test_candidates_come_best_first(outcome: Outcome) -> None:
    scores = [candidate.validation[:2] for candidate in outcome.candidates]
    assert scores == sorted(scores, reverse=True)


def test_it_says_where_the_images_went(problem: Problem, outcome: Outcome) -> None:
    """Two finalists of each target, of which one is trained to its end; the teacher sees all that is trained."""
    images, recorder = outcome.images, Recorder()
    search(problem, replace(FAST, target_madds=TARGETS), progress=recorder)
    removed = next(steps[-1].done for stage, steps in recorder.stages if stage == "remove")
    trained = 2 * 240 * 1.12
    assert trained <= images.training <= trained + 2 * 2 * 48
    assert images.teacher == images.training / 3
    dear, cheap = sorted(outcome.candidates, key=lambda candidate: -(candidate.target or 0))
    assert dear.images == 240
    assert cheap.images in (240, 480)  # it may start from the dearer one's weights
    looked = (len(outcome.scored) + 1) * (160 + 90) + (removed + 1) * 90
    first, then = (min(4, sum(share(problem, s.architecture) <= target for s in outcome.scored)) for target in TARGETS)
    dear_starts = first * (240 + 90 + 160 + 90)  # refitted on all samples, or with statistics of 160, and scored
    cheap_starts = then * (240 + 90 + 2 * (160 + 90))  # from the dearer one's weights too
    scored = 2 * (2 * (160 + 90) + 240 + 90)  # of each target two between rounds, and one at the end
    assert 3 * images.look_ups == pytest.approx(looked + dear_starts + cheap_starts + scored)
    alone = search(problem, replace(FAST, target_madds=0.8, distillation=0.0))
    assert alone.images.teacher == 0


def test_without_training_the_weights_are_refitted(trained: Problem) -> None:
    """They score in onnxruntime as it says, and far better than the file's own."""
    found = search(trained, replace(FAST, target_madds=TARGETS, training=False))
    network, given = trained.network, Supernet(trained.network).eval()
    refit, _ = refit_on(trained, given, 640, 0)
    held_out = tiny_split(90, 2)  # few: training samples count as well
    images = np.concatenate([held_out.inputs["image"], trained.train.sample(240).inputs["image"]])
    labels = np.concatenate([held_out.targets, trained.train.sample(240).targets])

    def accuracy(alpha: Architecture, weights: Mapping[str, np.ndarray]) -> float:
        model = runnable_file(network, build(network, alpha, weights), 1)
        return float((model(images).argmax(1) == labels).mean())

    assert accuracy(network.architecture, given.weights()) > 0.9
    assert len(found.candidates) == 2
    assert (found.images.training, found.images.teacher) == (0, 0)
    gains = []
    for candidate in found.candidates:
        alpha = candidate.architecture
        own = accuracy(alpha, candidate.weights)
        assert candidate.images == 0
        assert candidate.validation.value == pytest.approx(own)
        assert accuracy(alpha, {**given.weights(), **as_arrays(refit.run(alpha)[0])}) == pytest.approx(own)
        gains.append(own - accuracy(alpha, given.weights()))
    assert max(gains) > 0.1


@pytest.mark.parametrize("learner", PROPOSERS)
def test_the_seed_repeats_a_search(problem: Problem, learner: str) -> None:
    settings = replace(FAST, learner=learner, seed=5, target_madds=0.8, lookups=9)
    first, again = search(problem, settings), search(problem, settings)
    assert first.candidates
    assert len(first.scored) <= 9
    assert_equal(first, again)


@pytest.mark.parametrize("stop", [1, 2, 3, 5, 8, 13, 14, 16])
def test_an_interrupted_search_resumes_to_the_same_result(problem: Problem, tmp_path: Path, stop: int) -> None:
    """While it looks up, trains, or has finished some of its candidates."""
    settings = replace(FAST, target_madds=TARGETS, seed=1)
    path = tmp_path / "state"
    whole = search(problem, settings)
    assert interrupted(problem, settings, path, stop, resume=False)
    assert_equal(search(problem, settings, resume=load_checkpoint(path, "same")), whole)


@pytest.mark.parametrize(("learner", "lookups", "stop"), [(PROPOSERS[0], 4, 5), ("evolution", 12, 3)])
def test_it_may_be_interrupted_again_and_again(
    problem: Problem, tmp_path: Path, learner: str, lookups: int, stop: int
) -> None:
    """What was trained before the first interruption is not lost by the second, wherever that is."""
    settings = replace(FAST, target_madds=TARGETS, seed=1, learner=learner, lookups=lookups)
    path = tmp_path / "state"
    whole = search(problem, settings)
    times, trained = 0, 0.0
    while interrupted(problem, settings, path, stop, resume=times > 0):
        state = load_checkpoint(path, "same")
        now = state["training"] + (0 if state["halving"] is None else state["halving"]["images"])
        assert now >= trained
        times, trained = times + 1, now
    assert times > 3
    assert_equal(search(problem, settings, resume=load_checkpoint(path, "same")), whole)


def test_a_resumed_search_may_look_up_other_things(problem: Problem, tmp_path: Path) -> None:
    """With another time budget; what was being trained is trained to its end."""
    settings = replace(FAST, target_madds=0.5, seed=1, learner="evolution")
    path = tmp_path / "state"
    assert interrupted(problem, settings, path, 6, resume=False)
    state = load_checkpoint(path, "same")
    assert state["halving"] is not None
    looked_up = {**state["looker"], "scores": {}}
    other = search(problem, replace(settings, lookups=2, seed=7), resume={**state, "looker": looked_up})
    (candidate,) = other.candidates
    assert key(candidate.architecture) in {start["states"] for start in state["halving"]["starts"]}
    assert candidate.images == 240


def test_what_greedy_removal_by_given_weights_finds_is_a_finalist(problem: Problem) -> None:
    """Unless it leaves much of the target unused."""
    beta, given = problem.network.architecture, Supernet(problem.network).eval()
    looker = Looker(problem, given, original_runner(problem, given), FAST.seed)
    lookups = Lookups(beta, problem.prices[0], looker.rank_by_given, 1000)
    Greedy().propose(lookups, (0.5,), torch.Generator())
    rival = lookups.within(0.5)[0]
    assert looker.images == 90 * len(looker.by_given)
    for used, is_finalist in ((0.9, True), (0.8, False)):
        settings = replace(FAST, target_madds=rival.share / used, lookups=1)  # the proposer knows next to nothing
        states: list[Mapping[str, Any]] = []
        search(problem, settings, save=states.append)
        started = next(state["halving"]["starts"] for state in states if state["halving"])
        starts = {signature(from_key(beta, start["states"])) for start in started}
        assert (signature(rival.architecture) in starts) == is_finalist


def test_finalists_differ_in_what_they_leave_out(problem: Problem) -> None:
    states: list[Mapping[str, Any]] = []
    search(problem, replace(FAST, target_madds=0.6, finalists=3, lookups=40, learner="evolution"), save=states.append)
    starts = next(state["halving"]["starts"] for state in states if state["halving"])
    moves = Moves(problem.network.architecture, problem.prices[0])
    alphas = [from_key(problem.network.architecture, start["states"]) for start in starts[:-1]]  # the last is the rival
    held = {moves.within([alpha])[0, moves.savers].tobytes() for alpha in alphas}
    assert len(held) == len(alphas) > 1


def test_progress_is_told_of_every_step(problem: Problem) -> None:
    recorder = Recorder()
    found = search(problem, replace(FAST, target_madds=TARGETS), progress=recorder)
    assert [stage for stage, _ in recorder.stages] == ["look up", "remove", "train", "train"]
    (_, looked), (_, removed), *trained = recorder.stages
    assert 0 < removed[-1].done <= removed[0].total
    assert looked[0].total == 12
    assert looked[-1].done == len(found.scored)
    assert all(step.note.startswith("score ") for step in looked[1:])
    assert sum(steps[-1].done for _, steps in trained) == found.images.training
    assert all(step.note.startswith("loss ") for _, steps in trained for step in steps[1:])


def test_without_a_target_it_goes_down_as_long_as_that_is_good_enough(problem: Problem) -> None:
    asked: list[float] = []

    def enough(outcome: Outcome) -> bool:
        (candidate,) = outcome.candidates
        assert candidate.target is not None
        asked.append(candidate.target)
        return len(asked) < 3

    found = search(problem, FAST, enough=enough)
    assert tuple(asked) == LADDER[:3]
    assert {candidate.target for candidate in found.candidates} == set(asked)


def test_where_the_ladder_is_out_of_reach_what_is_cheaper_at_all_is_tried(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing at 0.0001 of the cost, so the nearest that was looked up: within 0.9, or the cheapest."""
    monkeypatch.setattr("natonnx.search.run.LADDER", (1e-4, 1e-5))
    (candidate,) = search(problem, FAST).candidates
    assert candidate.target == 0.9
    assert share(problem, candidate.architecture) <= 0.9


def test_targets_without_an_architecture_are_told(problem: Problem, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(NOTICE, "natonnx.search"):
        found = search(problem, replace(FAST, target_madds=(0.8, 1e-5)))
    assert [candidate.target for candidate in found.candidates] == [0.8]
    assert caplog.messages == ["no architecture at 1e-05 of the cost was found"]


def test_beta_is_no_candidate_of_its_own_whole_cost(problem: Problem) -> None:
    found = search(problem, replace(FAST, target_madds=1.0, lookups=1))
    beta = signature(problem.network.architecture)
    assert found.candidates
    assert all(signature(candidate.architecture) != beta for candidate in found.candidates)


def test_targets_of_the_user_are_all_tried(problem: Problem) -> None:
    found = search(problem, replace(FAST, target_madds=TARGETS), enough=lambda _outcome: False)
    assert len(found.candidates) == 2


@pytest.mark.parametrize("target", [None, 0.5])
def test_a_time_budget_that_is_used_up_still_gives_a_result(
    problem: Problem, target: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    """There is one look-up at least, whose training is one minibatch for each finalist."""
    settings = replace(FAST, target_madds=target, finetune_epochs=1000, time_budget=1e-3)
    found = search(problem, settings, clock=Clock(1e-3))
    assert len(found.candidates) <= 1
    assert found.images.training <= 2 * 48
    if target is not None:
        with caplog.at_level(NOTICE, "natonnx.search"):
            search(problem, replace(settings, target_madds=(0.8, target)), clock=Clock(1e-3))
        assert caplog.messages == ["no time was left for 0.5 of the cost, and what is cheaper"]
    some = search(problem, replace(settings, time_budget=3.0))
    assert some.images.training < 1000 * 240


def test_an_impossible_target_ends_without_a_winner(problem: Problem) -> None:
    settings = replace(FAST, target_madds=1e-5)  # less than the dense layer alone
    found = search(problem, settings)
    assert found.candidates == ()
    assert found.scored
    beta = problem.network.architecture
    criteria = Criteria.of(beta, problem.prices, problem.objective, settings, reward=False)
    given = replace(FAST, target_madds=0.8)
    score = search(problem, given).candidates[0].validation
    assert decide(score, found, criteria).winner is None


def test_where_nothing_may_change_nothing_is_searched(problem: Problem) -> None:
    beta = problem.network.architecture
    topology = beta.topology
    fixed = replace(topology, edges=tuple(replace(edge, fixed="kept") for edge in topology.edges))
    kept = replace(problem.network, architecture=replace(beta, topology=fixed))
    steps: list[Step] = []
    found = search(replace(problem, network=kept), FAST, progress=steps.append)
    assert (found, steps) == (Outcome(None, ()), [])


def test_data_that_is_read_on_trains_as_that_in_memory(problem: Problem) -> None:
    """Of a length that the source does not tell; in its own order, look-ups having its first samples."""

    def stream(count: int, seed: int) -> StreamBatches:
        split = tiny_split(count, seed)
        return StreamBatches(lambda: split.batches(50), split.axes, True)

    given = replace(problem, train=stream(240, 1), validation=stream(90, 2))
    found = search(given, replace(FAST, target_madds=TARGETS))
    assert len(found.candidates) == 2
    assert all(candidate.validation.samples == 90 for candidate in found.candidates)
    assert min(candidate.images for candidate in found.candidates) == 240
    assert_equal(search(given, replace(FAST, target_madds=TARGETS)), found)


@pytest.mark.parametrize("fixed", [1, 7])
def test_a_file_of_a_fixed_batch(fixed: int) -> None:
    """Samples run piece by piece, the last piece filled up; training too."""
    model = tiny_model()
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.shape.dim[0].dim_value = fixed
    network = parse(model)
    problem = tiny_problem(network, network.architecture, train=tiny_split(50, 1), validation=tiny_split(20, 2))
    found = search(problem, replace(FAST, target_madds=0.8, lookups=5))
    (candidate,) = found.candidates
    assert candidate.validation.samples == 20
    assert candidate.images == 50


@pytest.mark.parametrize("samples", [2, 30])
def test_fewer_training_samples_than_a_batch(problem: Problem, samples: int) -> None:
    found = search(replace(problem, train=tiny_split(samples, 1)), replace(FAST, target_madds=0.8, lookups=5))
    (candidate,) = found.candidates
    assert candidate.images == samples
    assert np.isfinite(candidate.validation.ranking)


def test_the_users_reward_chooses(problem: Problem) -> None:
    """Of rewards that want the opposite, each gets more of what it wants."""
    inputs = torch.from_numpy(tiny_split(30, 5).inputs["image"])
    spread = {}
    for sign in (-1, 1):

        def reward(model: RunnableModel, sign: int = sign) -> float:
            return sign * float(model(inputs).std())

        found = search(replace(problem, reward=reward), replace(FAST, target_madds=0.8, training=False))
        (candidate,) = found.candidates
        assert candidate.validation.value == candidate.validation.ranking
        spread[sign] = sign * candidate.validation.value
    assert spread[1] > spread[-1] > 0


def test_keys_undo_themselves(problem: Problem, outcome: Outcome) -> None:
    alpha = outcome.candidates[0].architecture
    assert from_key(problem.network.architecture, key(alpha)) == alpha


def test_agreement_with_the_original_needs_no_labels(problem: Problem) -> None:
    split = tiny_split(240, 1)
    without = replace(split, targets=None)
    given = Supernet(problem.network).eval()
    agreement = replace(problem, objective=problem.distillation, train=without, validation=without.sample(90))
    found = search(agreement, replace(FAST, target_madds=0.8))
    (candidate,) = found.candidates
    supernet = Supernet(problem.network).eval()
    supernet.load_weights(candidate.weights)
    run = original_runner(agreement, given)
    images = without.sample(90).inputs["image"]
    with torch.no_grad():
        mine = supernet(torch.from_numpy(images), candidate.architecture).argmax(1)
    its = run({"image": torch.from_numpy(images)}, 90)["logits"].argmax(1)
    assert candidate.validation.value == pytest.approx(float((mine == its).float().mean()), abs=0.02)
    assert any(state != State.O for state in candidate.architecture.states)
