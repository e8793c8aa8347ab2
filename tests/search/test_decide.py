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
    Criteria,
    Decision,
    Labels,
    Outcome,
    Score,
    Settings,
    Unit,
    decide,
)
from natonnx.search.assess import with_reward
from natonnx.search.decide import AGREEMENT_DROP
from natonnx.search.objective import POINTS
from natonnx.search.outputs import judged_outputs
from natonnx.search.price import Madds, Params
from natonnx.search.runner import supernet_runner
from natonnx.search.score import evaluate
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
        ([(CHEAP, 0.95), (CHEAPER, 0.94)], 100, 1),  # one standard error is 2.2 points
        ([(CHEAP, 0.95), (CHEAPER, 0.92)], 100, 0),
        ([(CHEAP, 0.94), (AS_CHEAP, 0.95)], 100, 1),  # as cheap: the more accurate
        ([(CHEAPER, 0.89), (CHEAP, 0.90)], 100, 1),  # a tie is among those that meet every constraint
        ([(EQUAL, 0.95), (CHEAP, 0.95)], MANY, 1),
    ],
)
def test_the_best_of_several(tried: list[Tried], samples: int, winner: int, beta: Architecture) -> None:
    decision, candidates = judge(beta, tried, samples=samples)
    assert decision.winner is candidates[winner]
    assert all(limit.met for limit in decision.constraints)


def test_the_constraints_say_what_was_measured(beta: Architecture) -> None:
    decision, _ = judge(beta, [(CHEAP, 0.895)], target=0.7, max_drop=1.0)
    madds, drop = decision.constraints
    assert (madds.name, madds.value, madds.met) == ("madds", 41496.0, True)
    assert madds.limit == pytest.approx(0.7 * (cost(beta).madds or 0))
    assert (drop.name, drop.limit, drop.met) == ("lost", 1.0, True)
    assert drop.value == pytest.approx(0.5)


def test_none_is_good_and_the_closest_is_reported(beta: Architecture) -> None:
    """Of one that misses both limits and one that misses one, the second."""
    decision, _ = judge(beta, [(EQUAL, 0.5), (CHEAPER, 0.6)], target=0.5)
    assert decision.winner is None
    assert {limit.name: limit.met for limit in decision.constraints} == {
        "madds": True,
        "lost": False,
    }
    assert decision.constraints[1].value == pytest.approx(30.0)


def test_no_candidates(beta: Architecture) -> None:
    winner, (limit,) = (decision := judge(beta, [])[0]).winner, decision.constraints
    assert winner is None
    assert limit.name == "madds"
    assert not limit.met
    assert np.isnan(limit.value)


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


def test_the_usual_drop_is_none_but_of_agreement(network: Network) -> None:
    beta = network.architecture
    judged = judged_outputs(network, "scores")
    for objective, own, expected in (
        (Labels(judged[0]), False, 0.0),
        (Agreement.of(judged, list), False, AGREEMENT_DROP),
        (Agreement.of(judged, list), True, 0.0),
    ):
        found = Criteria.of(beta, (Madds(beta),), objective, Settings(), reward=own)
        assert found.max_drop == expected
        assert Criteria.of(beta, (Madds(beta),), objective, Settings(max_drop=3.0), reward=own).max_drop == 3.0


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
