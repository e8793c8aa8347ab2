"""Algorithm 1 by a reward of the user's own."""

from dataclasses import replace

import pytest
import torch

from natonnx.search import Problem, RunnableModel, Settings, search
from natonnx.search.assess import original_runner, runnable
from natonnx.search.clock import Clock
from natonnx.search.keys import from_key, key
from natonnx.search.paper.algorithm import Algorithm1
from natonnx.search.paper.run import start
from natonnx.search.runner import tensor_batches
from natonnx.search.score import reestimate
from natonnx.supernet import Supernet
from tests.search.test_own import CPU, images, right, with_reward

SETTINGS = Settings(algorithm="paper", epochs=2, finetune_epochs=1, evaluated=6, finalists=2, reward_batch=30)


def algorithm_of(problem: Problem, clock: Clock) -> Algorithm1:
    original = original_runner(problem, Supernet(problem.network).eval())
    return Algorithm1(problem, SETTINGS, start(problem, SETTINGS, original), original, clock)


def test_what_is_found_is_ranked_by_the_function(problem: Problem) -> None:
    """It likes small outputs and nothing else, and has the last word on finished architectures."""
    inputs = images(60, 4)

    def flat(model: RunnableModel) -> float:
        return -float(model(inputs).std())

    found = search(with_reward(problem, flat), replace(SETTINGS, target_madds=1.0))
    rewards = [candidate.validation.value for candidate in found.candidates]
    assert rewards == sorted(rewards, reverse=True)
    assert all(score.validation.value < 0 for score in found.scored)
    for candidate in found.candidates:  # what the function says of the finished architecture
        supernet = Supernet(problem.network)
        supernet.load_weights(candidate.weights)
        assert candidate.validation.value == flat(runnable(problem, supernet, candidate.architecture))


def test_it_is_asked_once_for_each_architecture_of_a_pass(problem: Problem) -> None:
    calls: list[int] = []

    def counting(model: RunnableModel) -> float:
        calls.append(1)
        return right(model)

    given = with_reward(problem, counting)
    algorithm = algorithm_of(given, Clock(None))
    algorithm.train_policy()
    judged = dict(algorithm._judged)
    assert len(calls) == len(judged) > 1
    algorithm.train_policy()
    assert len(calls) == len(judged) + len(algorithm._judged)  # weights may have changed between passes


def test_batches_of_the_search_do_not_matter_to_it(problem: Problem) -> None:
    """The reward is that of the architecture in evaluation mode, not of a minibatch's statistics."""
    given = with_reward(problem, right)
    algorithm = algorithm_of(given, Clock(None))
    beta = problem.network.architecture
    batches = list(tensor_batches(problem.validation, 30, CPU))
    alpha = from_key(beta, key(beta))
    assert len({algorithm._rewards(beta, [alpha], batch)[0] for batch in batches}) == 1


def test_statistics_are_those_of_the_architecture(problem: Problem) -> None:
    """What the function runs is normalised as the architecture will be once it is finished."""
    given = with_reward(problem, right)
    algorithm = algorithm_of(given, Clock(None))
    supernet, beta = algorithm.state.supernet, problem.network.architecture
    algorithm._judge(right, beta)
    fresh = Supernet(problem.network)
    reestimate(fresh, beta, algorithm._calibration, CPU, problem.objective.captures)
    inputs = images(90, 2)
    expected = runnable(problem, fresh, beta)(inputs)
    assert torch.equal(runnable(problem, supernet, beta)(inputs), expected)
    assert not torch.equal(runnable(problem, Supernet(problem.network), beta)(inputs), expected)


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_the_unit_does_not_matter_to_the_policy(problem: Problem, scale: float) -> None:
    def scaled(model: RunnableModel) -> float:
        return scale * right(model)

    whole, other = (
        search(with_reward(problem, reward), replace(SETTINGS, target_madds=0.8)) for reward in (right, scaled)
    )
    assert [c.architecture for c in other.candidates] == [c.architecture for c in whole.candidates]


def test_a_time_budget_ends_a_slow_reward(problem: Problem) -> None:
    calls: list[int] = []

    def slow(model: RunnableModel) -> float:
        calls.append(1)
        return right(model)

    given = with_reward(problem, slow)
    algorithm = algorithm_of(given, Clock(1e-6))
    algorithm.train_policy()
    assert len(calls) <= 1 + SETTINGS.alphas  # one batch; there would be three
