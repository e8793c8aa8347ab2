"""When an architecture is better than the given model, and which of several is best."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
import torch

from natonnx.architecture import Architecture, Edit, State, apply_edits, cost
from natonnx.data.batches import ArrayBatches
from natonnx.frontend import Network, parse
from natonnx.search import (
    Agreement,
    Candidate,
    Constraint,
    Criteria,
    Decision,
    Labels,
    Outcome,
    OwnObjective,
    Score,
    Settings,
    Unit,
    decide,
    promised,
)
from natonnx.search.assess import with_reward
from natonnx.search.decide import AGREEMENT_DROP
from natonnx.search.objective import POINTS, Outputs, Targets
from natonnx.search.outputs import judged_outputs
from natonnx.search.price import Madds, Params
from natonnx.search.promise import Promise
from natonnx.search.runner import supernet_runner
from natonnx.search.score import evaluate, summarise
from natonnx.supernet import Supernet
from tests.cli import tiny

CHEAP = (Edit("one", State.O, State.S),)
CHEAPER = (*CHEAP, Edit("two", State.O, State.S))
AS_CHEAP = (Edit("two", State.O, State.S),)
EQUAL = (Edit("x->z", State.S, State.N),)
MANY = 10**6
"""So many samples that one standard error is less than any difference here."""


@pytest.fixture(scope="module")
def network() -> Network:
    return parse(onnx.load_from_string(tiny.model_bytes()))


@pytest.fixture(scope="module")
def beta(network: Network) -> Architecture:
    return network.architecture


Tried = tuple[tuple[Edit, ...], float]


def judge(
    beta: Architecture,
    tried: Sequence[Tried],
    *,
    given: float = 0.9,
    finetuned: float = 0.9,
    target: float | None = None,
    max_drop: float = 0.0,
    samples: int = MANY,
) -> tuple[Decision, tuple[Candidate, ...]]:
    def candidate(edits: tuple[Edit, ...], accuracy: float) -> Candidate:
        error = (accuracy * (1 - accuracy) / samples) ** 0.5
        return Candidate(apply_edits(beta, edits), {}, Score(accuracy, -0.3, samples, error))

    candidates = tuple(candidate(*one) for one in tried)
    outcome = Outcome(candidate((), finetuned), candidates, ())
    return decide(Score(given), outcome, criteria(beta, target, max_drop)), candidates


def criteria(beta: Architecture, target: float | None, max_drop: float, *, reward: bool = False) -> Criteria:
    unit, measure = (Unit(), "reward") if reward else (POINTS, "accuracy")
    return Criteria(beta, (Madds(beta), Params(beta)), target, max_drop, unit, measure)


@pytest.mark.parametrize(
    ("edits", "accuracy", "options", "wins"),
    [
        # Never worse than the given model by more than max_drop, on validation.
        (CHEAP, 0.90, {"target": 0.7}, True),
        (CHEAP, 0.899, {"target": 0.7}, False),
        (CHEAP, 0.89, {"target": 0.7, "max_drop": 1.0}, True),
        (CHEAP, 0.889, {"target": 0.7, "max_drop": 1.0}, False),
        (CHEAP, 0.0, {"target": 0.7, "max_drop": 100.0}, True),
        # The target is a hard constraint, at its edge too.
        (CHEAP, 1.0, {"target": 0.5}, False),
        (CHEAP, 1.0, {"target": 41496 / 78360}, True),
        (CHEAP, 1.0, {"target": 41495 / 78360}, False),
        (EQUAL, 1.0, {"target": 1.0}, True),
        (EQUAL, 1.0, {"target": 0.99}, False),
        # With a target, β's own gain by fine-tuning is not asked for; without one it is.
        (CHEAP, 0.90, {"target": 0.7, "finetuned": 0.95}, True),
        (CHEAP, 0.90, {"finetuned": 0.95}, False),
        (CHEAP, 0.95, {"finetuned": 0.95}, True),
        (CHEAP, 0.949, {"finetuned": 0.95}, False),
        (CHEAP, 0.91, {"finetuned": 0.95, "max_drop": 5.0}, True),
        (CHEAP, 0.89, {"finetuned": 0.95, "max_drop": 5.0}, False),
        # What fine-tuning lost does not lower the bar of the given model.
        (CHEAP, 0.85, {"finetuned": 0.80}, False),
        # At equal cost only more accuracy is better.
        (EQUAL, 0.90, {}, False),
        (EQUAL, 0.901, {}, True),
    ],
)
def test_one_candidate(
    edits: tuple[Edit, ...], accuracy: float, options: dict[str, float], wins: bool, beta: Architecture
) -> None:
    decision, (candidate,) = judge(beta, [(edits, accuracy)], **options)  # type: ignore[arg-type]
    assert decision.winner is (candidate if wins else None)
    assert all(limit.met for limit in decision.constraints) == wins
    assert ("behind_finetuned_input" in {limit.name for limit in decision.constraints}) == ("target" not in options)


@pytest.mark.parametrize(
    ("tried", "samples", "winner"),
    [
        ([(CHEAP, 0.95), (CHEAPER, 0.95)], MANY, 1),
        ([(CHEAPER, 0.95), (CHEAP, 0.95)], MANY, 0),
        ([(CHEAP, 0.95), (CHEAPER, 0.94)], MANY, 0),
        ([(CHEAP, 0.95), (CHEAPER, 0.92)], 100, 1),  # one standard error of the difference is 3.5 points
        ([(CHEAP, 0.95), (CHEAPER, 0.91)], 100, 0),  # and here it is 3.6
        ([(CHEAP, 0.94), (AS_CHEAP, 0.95)], 100, 1),  # as cheap: the more accurate
        ([(CHEAPER, 0.89), (CHEAP, 0.90)], 100, 1),  # a tie is among those that meet every constraint
        ([(EQUAL, 0.95), (CHEAP, 0.95)], MANY, 1),
    ],
)
def test_the_best_of_several(tried: list[Tried], samples: int, winner: int, beta: Architecture) -> None:
    decision, candidates = judge(beta, tried, samples=samples)
    assert decision.winner is candidates[winner]
    assert all(limit.met for limit in decision.constraints)


def by_samples(right: Sequence[int]) -> Score:
    """A score whose samples are known: right or wrong."""
    return summarise(torch.tensor(right, dtype=torch.float64)[:, None], -0.3)


@pytest.mark.parametrize(
    ("only_dear", "only_cheap", "samples", "wins"),
    [
        (0, 0, 300, "cheap"),
        (1, 0, 100, "cheap"),  # one of 100 decides nothing, nor one of 300, or of 4,000
        (1, 0, 300, "cheap"),
        (1, 0, 4000, "cheap"),
        (2, 0, 300, "dear"),
        (2, 1, 300, "cheap"),  # one more is right, of three that differ
        (9, 3, 300, "dear"),
        (9, 6, 300, "cheap"),
    ],
)
def test_a_tie_is_one_of_pairs(only_dear: int, only_cheap: int, samples: int, wins: str, beta: Architecture) -> None:
    """Right answers of both and wrong ones of both have no say, however many."""
    both = [1] * (samples // 2) + [0] * (samples - samples // 2 - only_dear - only_cheap)
    dear = by_samples([*both, *[1] * only_dear, *[0] * only_cheap])
    cheap = by_samples([*both, *[0] * only_dear, *[1] * only_cheap])
    candidates = (Candidate(apply_edits(beta, CHEAP), {}, dear), Candidate(apply_edits(beta, CHEAPER), {}, cheap))
    outcome = Outcome(None, candidates)
    winner = decide(dear, outcome, criteria(beta, None, 100.0)).winner
    assert winner is candidates[("dear", "cheap").index(wins)]


def test_the_interval_is_that_of_pairs(beta: Architecture) -> None:
    """McNemar's variance: 9 lost and 3 won of 300 are 2 points, (12 − 6²/300) / (300 · 299) their variance."""
    given, found = by_samples([1] * 288 + [1] * 9 + [0] * 3), by_samples([1] * 288 + [0] * 9 + [1] * 3)
    outcome = Outcome(None, (Candidate(apply_edits(beta, CHEAP), {}, found),))
    madds, lost = decide(given, outcome, criteria(beta, 0.7, 5.0)).constraints
    assert (madds.interval, lost.value) == (None, 2.0)
    error = 100 * ((12 - 6**2 / 300) / (300 * 299)) ** 0.5
    assert lost.interval == pytest.approx((2 - 1.96 * error, 2 + 1.96 * error))


def test_beta_need_not_be_fine_tuned(beta: Architecture) -> None:
    outcome = Outcome(None, (Candidate(apply_edits(beta, CHEAP), {}, Score(0.9, -0.3, MANY)),))
    decision = decide(Score(0.9), outcome, criteria(beta, None, 0.0))
    assert decision.winner is outcome.candidates[0]
    assert [limit.name for limit in decision.constraints] == ["madds", "lost"]


@pytest.mark.parametrize(
    ("scores", "wins"),
    [
        ([0.95, 0.90, 0.85], 1),  # the cheapest target of which one loses no more than it may
        ([0.95, 0.90, 0.90], 2),
        ([0.90, 0.85, 0.85], 0),
        ([0.85, 0.85, 0.85], None),
        ([0.85, 0.85, 0.90], 2),
    ],
)
def test_of_several_targets_the_cheapest_that_is_good(
    scores: list[float], wins: int | None, beta: Architecture
) -> None:
    rungs = zip((0.9, 0.7, 0.2), (CHEAP, AS_CHEAP, CHEAPER), scores, strict=True)
    candidates = tuple(
        Candidate(apply_edits(beta, edits), {}, Score(score, -0.3, MANY, 0.001), target)
        for target, edits, score in rungs
    )
    for target in (None, 0.2):  # a ladder that the search went down, or the user's own targets
        decision = decide(Score(0.9), Outcome(None, candidates), criteria(beta, target, 0.0))
        assert decision.winner is (None if wins is None else candidates[wins])


def test_a_candidate_is_held_to_its_own_target(beta: Architecture) -> None:
    """And not to the lowest of all; one that costs more than its own is no winner."""
    share = (cost(apply_edits(beta, CHEAP)).madds or 0) / (cost(beta).madds or 1)
    for target, wins in ((share, True), (share - 1e-6, False)):
        candidate = Candidate(apply_edits(beta, CHEAP), {}, Score(0.9, -0.3, MANY), target)
        decision = decide(Score(0.9), Outcome(None, (candidate,)), criteria(beta, 0.1, 0.0))
        assert (decision.winner is candidate) is wins
        assert decision.constraints[0].limit == pytest.approx(target * (cost(beta).madds or 0))


def test_the_constraints_say_what_was_measured(beta: Architecture) -> None:
    decision, _ = judge(beta, [(CHEAP, 0.895)], target=0.7, max_drop=1.0)
    madds, drop = decision.constraints
    assert (madds.name, madds.value, madds.met) == ("madds", 41496.0, True)
    assert madds.limit == pytest.approx(0.7 * (cost(beta).madds or 0))
    assert (drop.name, drop.limit, drop.met) == ("lost", 1.0, True)
    assert drop.value == pytest.approx(0.5)


def test_none_is_good_and_the_closest_is_reported(beta: Architecture) -> None:
    """Of one that misses both limits and one that misses one, the second."""
    decision, candidates = judge(beta, [(EQUAL, 0.5), (CHEAPER, 0.6)], target=0.5)
    assert decision.winner is None
    assert decision.nearest is candidates[1]
    assert {limit.name: limit.met for limit in decision.constraints} == {
        "madds": True,
        "lost": False,
    }
    assert decision.constraints[1].value == pytest.approx(30.0)


def test_of_several_that_miss_one_limit_the_closest_is_reported(beta: Architecture) -> None:
    decision, candidates = judge(beta, [(CHEAP, 0.6), (CHEAPER, 0.7), (AS_CHEAP, 0.65)], target=0.7)
    assert decision.nearest is candidates[1]
    assert decision.constraints[1].value == pytest.approx(20.0)
    assert judge(beta, [(CHEAP, 0.9)], target=0.7)[0].nearest is None


def test_no_candidates(beta: Architecture) -> None:
    winner, (limit,) = (decision := judge(beta, [])[0]).winner, decision.constraints
    assert winner is None
    assert limit.name == "madds"
    assert not limit.met
    assert np.isnan(limit.value)
    assert limit.interval is None
    assert decision.nearest is None


def test_equal_scores_are_equal_however_they_were_measured(network: Network) -> None:
    """The given model is measured in onnxruntime, candidates may be by the supernet: 46 of 48 are 46 of 48."""
    images = tiny.arrays()["x_train"][:48]
    supernet = Supernet(network)
    with torch.inference_mode():
        predicted = supernet.eval()(torch.from_numpy(images)).argmax(1).numpy()
    labels = predicted.copy()
    labels[:2] = (labels[:2] + 1) % tiny.CLASSES
    split = ArrayBatches({tiny.INPUT: images}, {tiny.INPUT: 0}, labels)
    objective = Labels(judged_outputs(network, "scores")[0])
    run = supernet_runner(supernet, network.architecture, objective.captures)
    validation = evaluate(run, objective, split, torch.device("cpu"), None)
    assert np.isclose(validation.value, 46 / 48)
    alpha = apply_edits(network.architecture, CHEAP)
    outcome = Outcome(Candidate(network.architecture, {}, validation), (Candidate(alpha, {}, validation),), ())
    given = Score(46 / 48)
    assert decide(given, outcome, criteria(network.architecture, 0.7, 0.0)).winner is not None


def test_the_usual_drop_is_half_a_point_more_of_agreement_and_none_of_a_reward(network: Network) -> None:
    beta = network.architecture
    judged = judged_outputs(network, "scores")
    for objective, own, expected in (
        (Labels(judged[0]), False, 0.5),
        (Labels(judged[0]), True, 0.0),
        (OwnObjective(Own(), {"scores": 0}, Labels(judged[0]), True), False, 0.0),  # in a unit that we do not know
        (Agreement.of(judged, list), False, AGREEMENT_DROP),
        (Agreement.of(judged, list), True, 0.0),
    ):
        found = Criteria.of(beta, (Madds(beta),), objective, Settings(), reward=own)
        assert found.max_drop == expected
        assert Criteria.of(beta, (Madds(beta),), objective, Settings(max_drop=3.0), reward=own).max_drop == 3.0


class Own:
    """An objective of the user's own."""

    measure = "warmth"

    def score(self, outputs: Outputs, _targets: Targets) -> torch.Tensor:
        return outputs["scores"].mean(1)


Judged = tuple[tuple[Edit, ...], float, float]


def judge_by_reward(
    beta: Architecture,
    tried: Sequence[Judged],
    *,
    given: float,
    finetuned: float,
    max_drop: float,
    target: float | None,
) -> tuple[Decision, tuple[Candidate, ...]]:
    """Edits, share of right answers and reward of each α."""
    candidates = tuple(
        Candidate(apply_edits(beta, edits), {}, by_reward(right, reward)) for edits, right, reward in tried
    )
    outcome = Outcome(Candidate(beta, {}, by_reward(0.9, finetuned)), candidates, ())
    return decide(by_reward(0.9, given), outcome, criteria(beta, target, max_drop, reward=True)), candidates


def by_reward(right: float, reward: float) -> Score:
    return with_reward(Score(right, -0.3, 100, 0.03, (right,)), reward)


@pytest.mark.parametrize(
    ("tried", "options", "wins"),
    [
        ([(CHEAP, 0.1, 5.0)], {}, 0),  # the accuracy has no say
        ([(CHEAP, 0.99, 4.0)], {}, None),
        ([(CHEAP, 0.99, 4.0)], {"max_drop": 1.0}, 0),  # in the reward's own unit, to the last digit
        ([(CHEAP, 0.99, 3.9)], {"max_drop": 1.0}, None),
        ([(CHEAP, 0.9, 0.85)], {"given": 0.9, "finetuned": 0.9, "max_drop": 0.05}, 0),
        ([(CHEAP, 0.9, -1200.0)], {"given": -700.0, "finetuned": -700.0, "max_drop": 500.0}, 0),
        ([(CHEAP, 0.9, 5.0)], {"finetuned": 5.1}, None),  # fine-tuning's gain, not the architecture's
        ([(CHEAPER, 0.95, 5.0), (CHEAP, 0.8, 5.001)], {}, 1),  # no tie: the reward's error is not known
        ([(CHEAPER, 0.95, 5.0), (CHEAP, 0.8, 5.0)], {}, 0),
        ([(CHEAP, 0.95, 5.0), (AS_CHEAP, 0.8, 6.0)], {"target": 1.0}, 1),
    ],
)
def test_the_users_own_reward_decides(
    beta: Architecture, tried: list[Judged], options: dict[str, float], wins: int | None
) -> None:
    given = {"given": 5.0, "finetuned": 5.0, "max_drop": 0.0, "target": None, **options}
    decision, candidates = judge_by_reward(beta, tried, **given)  # type: ignore[arg-type]
    assert decision.winner is (None if wins is None else candidates[wins])
    names = [limit.name for limit in decision.constraints]
    assert names[:2] == ["madds", "lost"]
    assert names[2:] == ([] if given["target"] else ["behind_finetuned_input"])


@pytest.mark.parametrize(
    ("given", "found", "name"),
    [
        (Score(0.9), Score(0.95, broken=1), "broken"),
        (Score(0.9, broken=2, nan=2), Score(0.95, broken=2, nan=2), None),
        (Score(0.9, broken=2, nan=2), Score(0.95, broken=3, nan=2), "broken"),
        (Score(0.9, broken=2), Score(0.95, broken=3), None),  # infinities that β makes too: the score tells where
        (Score(0.9, broken=2), Score(0.95, broken=2, nan=1), "broken"),
        (Score(0.9), Score(0.9, samples=200, says_nothing=True), "same"),
        (Score(0.9, says_nothing=True), Score(0.9, says_nothing=True), None),
    ],
)
def test_no_loss_that_is_allowed_makes_up_for_nan_or_for_one_answer(
    beta: Architecture, given: Score, found: Score, name: str | None
) -> None:
    candidate = Candidate(apply_edits(beta, CHEAP), {}, found)
    for reward in (False, True):
        decision = decide(given, Outcome(None, (candidate,)), criteria(beta, 0.7, 100.0, reward=reward))
        missed = [limit.name for limit in decision.constraints if not limit.met]
        assert missed == ([] if name is None else [name])
        assert (decision.winner is None) == (name is not None)


RUNGS = (0.9, 0.7, 0.2)


def in_sequence(
    beta: Architecture, scores: Sequence[float], kept: Sequence[bool]
) -> tuple[Decision, tuple[Candidate, ...], list[Candidate]]:
    """Candidates of three targets, dearest first, and whether each would keep a promise; what was asked of which."""
    candidates = tuple(
        Candidate(apply_edits(beta, edits), {}, Score(score, -0.3, MANY, 0.001), target)
        for target, edits, score in zip(RUNGS, (CHEAP, AS_CHEAP, CHEAPER), scores, strict=True)
    )
    asked: list[Candidate] = []

    def promise(candidate: Candidate) -> Constraint:
        asked.append(candidate)
        met = kept[candidates.index(candidate)]
        made = Promise(0.0, 0.95, 100, 0.0, 0.0 if met else 0.01, None)
        return promised(made, criteria(beta, None, 0.0), "test")

    outcome = Outcome(None, tuple(reversed(candidates)))
    return decide(Score(0.9), outcome, criteria(beta, None, 0.0), promise), candidates, asked


@pytest.mark.parametrize(
    ("scores", "kept", "wins", "looked_at"),
    [
        ([0.9, 0.9, 0.9], [True, True, True], 2, [0, 1, 2]),
        ([0.9, 0.9, 0.9], [True, True, False], 1, [0, 1, 2]),
        ([0.9, 0.9, 0.9], [True, False, True], 0, [0, 1]),  # what is behind a failure is not asked
        ([0.9, 0.9, 0.9], [False, True, True], None, [0]),
        ([0.9, 0.8, 0.9], [True, False, True], 2, [0, 2]),  # what fails on validation is no part of the sequence
        ([0.8, 0.9, 0.8], [True, True, True], 1, [1]),
        ([0.85, 0.8, 0.8], [True, True, True], None, [0]),  # the nearest, which cannot win
    ],
)
def test_promises_are_asked_in_a_fixed_order(
    scores: list[float], kept: list[bool], wins: int | None, looked_at: list[int], beta: Architecture
) -> None:
    decision, candidates, asked = in_sequence(beta, scores, kept)
    assert decision.winner is (None if wins is None else candidates[wins])
    assert asked == [candidates[i] for i in looked_at]
    assert list(decision.promises) == asked
    shown = candidates[looked_at[0] if wins is None else wins]
    assert decision.constraints[-1] is decision.promises[shown]
    assert decision.nearest is (shown if wins is None else None)
    assert all(limit.met for limit in decision.constraints) == (wins is not None)


def test_with_one_target_only_the_winner_is_asked(beta: Architecture) -> None:
    candidates = tuple(
        Candidate(apply_edits(beta, edits), {}, Score(score, -0.3, MANY, 1e-6))
        for edits, score in ((CHEAPER, 0.91), (CHEAP, 0.95))
    )
    asked: list[Candidate] = []

    def promise(candidate: Candidate) -> Constraint:
        asked.append(candidate)
        return promised(Promise(0.0, 0.95, 9, 0.0, 0.1, None), criteria(beta, 0.7, 0.0), "test")

    decision = decide(Score(0.9), Outcome(None, candidates), criteria(beta, 0.7, 0.0), promise)
    assert (decision.winner, decision.nearest, asked) == (None, candidates[1], [candidates[1]])


def test_the_constraint_says_what_is_promised(beta: Architecture) -> None:
    made = Promise(0.005, 0.95, 1000, 0.001, 0.0042, None)
    limit = promised(made, criteria(beta, None, 0.5), "test")
    assert str(limit) == "test accuracy lost, upper bound at 95 % confidence 0.42, at most 0.5: met"
    assert (limit.unit, limit.interval, limit.promise) == (POINTS, None, made)
