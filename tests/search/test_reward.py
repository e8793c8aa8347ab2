"""A reward of the user's own."""

from typing import Any

import numpy as np
import pytest
import torch

from natonnx.errors import InputError
from natonnx.rewrite import build
from natonnx.search import Problem, RewardFunction, RunnableModel, Settings, search
from natonnx.search.algorithm import Algorithm1
from natonnx.search.clock import Clock
from natonnx.search.reward import in_onnxruntime, in_supernet, judge, reward_name
from natonnx.search.run import make_teacher, start
from natonnx.search.score import evaluate
from natonnx.session import session
from natonnx.supernet import Supernet
from tests.search.conftest import tiny_model, tiny_split

CPU = torch.device("cpu")


def with_reward(problem: Problem, reward: RewardFunction) -> Problem:
    return Problem(
        problem.network, problem.train, problem.validation, "none", problem.device, problem.reference, (), reward
    )


def settings(**changed: Any) -> Settings:
    return Settings(
        **{"epochs": 2, "finetune_epochs": 1, "evaluated": 6, "finalists": 2, "reward_batch": 30, **changed}
    )


def right(model: RunnableModel) -> float:
    """Accuracy, as a user would write it, on data of one's own."""
    split = tiny_split(90, 2)
    return float((model(split.inputs.numpy()).argmax(1) == split.labels.numpy()).mean())


def test_supernet_and_file_run_alike(problem: Problem) -> None:
    """Arrays give arrays, tensors tensors; the same of the supernet, of onnxruntime, and in any number."""
    network = problem.network
    supernet = Supernet(network)
    beta = network.architecture
    models = (in_supernet(supernet, beta, CPU), in_onnxruntime(session(build(network, beta, supernet.weights()))))
    inputs = tiny_split(600, 3).inputs
    for model in models:
        found, arrays = model(inputs), model(inputs.numpy())
        assert isinstance(arrays, np.ndarray)
        assert np.array_equal(found.numpy(), arrays)
        assert arrays.shape == (600, 3)
        assert np.allclose(model(inputs[:7].numpy()), arrays[:7], atol=1e-5)
        assert np.allclose(model(inputs[:7].numpy().astype(np.float64)), arrays[:7], atol=1e-5)
    assert np.allclose(models[0](inputs), models[1](inputs), atol=1e-4)


def test_a_function_of_accuracy_agrees_with_ours(problem: Problem) -> None:
    supernet = Supernet(problem.network)
    score = evaluate(supernet, problem.network.architecture, problem.validation, right)
    assert score.reward == pytest.approx(score.accuracy)
    assert (score.value, score.fine, score.standard_error) == (score.reward, score.reward, 0)


def test_what_is_found_is_ranked_by_the_function(problem: Problem) -> None:
    """It likes small outputs and nothing else, and has the last word on finished architectures."""
    inputs = tiny_split(60, 4).inputs

    def flat(model: RunnableModel) -> float:
        return -float(model(inputs).std())

    found = search(with_reward(problem, flat), settings(target_madds=1.0))
    rewards = [candidate.validation.reward for candidate in found.candidates]
    assert None not in rewards
    assert rewards == sorted(rewards, reverse=True)  # type: ignore[type-var]
    assert all(score.validation.reward is not None for score in found.scored)
    for candidate in found.candidates:  # what the function says of the finished architecture
        supernet = Supernet(problem.network)
        supernet.load_weights(candidate.weights)
        assert candidate.validation.reward == flat(in_supernet(supernet, candidate.architecture, CPU))


def test_it_is_asked_once_for_each_architecture_of_a_pass(problem: Problem) -> None:
    calls: list[int] = []

    def counting(model: RunnableModel) -> float:
        calls.append(1)
        return right(model)

    given = with_reward(problem, counting)
    state = start(given, settings())
    algorithm = Algorithm1(given, settings(), state, make_teacher(state.supernet), Clock(None))
    algorithm.train_policy()
    judged = dict(algorithm._judged)
    assert len(calls) == len(judged) > 1
    algorithm.train_policy()
    assert len(calls) == len(judged) + len(algorithm._judged)  # weights may have changed between passes


def test_batches_of_the_search_do_not_matter_to_it(problem: Problem) -> None:
    """The reward is that of the architecture in evaluation mode, not of a minibatch's statistics."""
    given = with_reward(problem, right)
    state = start(given, settings())
    algorithm = Algorithm1(given, settings(), state, make_teacher(state.supernet), Clock(None))
    beta = problem.network.architecture
    batches = list(problem.validation.batches(30))
    assert len({algorithm._reward(beta, batch) for batch in batches}) == 1


@pytest.mark.parametrize("said", [float("nan"), float("inf"), None, "good", np.zeros(3)])
def test_what_is_no_finite_number_is_refused(said: Any) -> None:
    def broken(_model: RunnableModel) -> Any:
        return said

    with pytest.raises(InputError, match=r"broken: returned .*; a reward must be a finite number"):
        judge(broken, in_onnxruntime(session(tiny_model())))


@pytest.mark.parametrize("said", [1, True, np.float32(0.5), np.array(0.5), torch.tensor(0.5)])
def test_what_is_a_number_is_taken(said: Any) -> None:
    assert judge(lambda _model: said, in_onnxruntime(session(tiny_model()))) == float(said)


class Callable:
    def __call__(self, _model: RunnableModel) -> float:
        return 0.0


def test_names() -> None:
    assert reward_name(right) == "tests.search.test_reward.right"
    assert reward_name(Callable()) == "tests.search.test_reward.Callable"
