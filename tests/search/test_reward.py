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
from natonnx.search.reward import in_onnxruntime, in_supernet, judge, reward_identity, reward_name
from natonnx.search.run import make_teacher, start
from natonnx.search.score import evaluate, reestimate
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


@pytest.mark.parametrize("said", [float("nan"), float("inf"), None, "good", np.zeros(3), 10**400])
def test_what_is_no_finite_number_is_refused(said: Any) -> None:
    def broken(_model: RunnableModel) -> Any:
        return said

    with pytest.raises(InputError, match=r"broken: returned .*; a reward must be a finite number"):
        judge(broken, in_onnxruntime(session(tiny_model())))


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (1, 8, 8), (2, 1, 6, 6), (0, 1, 8, 8)])
def test_inputs_that_the_model_does_not_take_are_one_line(problem: Problem, shape: tuple[int, ...]) -> None:
    """In the supernet as in onnxruntime, though the supernet could run other sizes."""
    network = problem.network
    supernet = Supernet(network)
    for model in (in_supernet(supernet, network.architecture, CPU), in_onnxruntime(session(tiny_model()))):
        with pytest.raises(InputError, match=r"the reward ran the model on inputs of .*: it takes any number of 1×8×8"):
            model(np.zeros(shape))


def test_statistics_are_those_of_the_architecture(problem: Problem) -> None:
    """What the function runs is normalised as the architecture will be once it is finished."""
    given = with_reward(problem, right)
    state = start(given, settings())
    algorithm = Algorithm1(given, settings(), state, make_teacher(state.supernet), Clock(None))
    supernet, beta = state.supernet, problem.network.architecture
    algorithm._own_reward(right, beta)
    fresh = Supernet(problem.network)
    reestimate(fresh, beta, algorithm._calibration)
    inputs = problem.validation.inputs
    expected = in_supernet(fresh, beta, CPU)(inputs)
    assert torch.equal(in_supernet(supernet, beta, CPU)(inputs), expected)
    assert not torch.equal(in_supernet(Supernet(problem.network), beta, CPU)(inputs), expected)


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_the_unit_does_not_matter_to_the_policy(problem: Problem, scale: float) -> None:
    def scaled(model: RunnableModel) -> float:
        return scale * right(model)

    whole, other = (search(with_reward(problem, reward), settings(target_madds=0.8)) for reward in (right, scaled))
    assert [c.architecture for c in other.candidates] == [c.architecture for c in whole.candidates]


def test_a_time_budget_ends_a_slow_reward(problem: Problem) -> None:
    calls: list[int] = []

    def slow(model: RunnableModel) -> float:
        calls.append(1)
        return right(model)

    given = with_reward(problem, slow)
    state = start(given, settings())
    algorithm = Algorithm1(given, settings(), state, make_teacher(state.supernet), Clock(1e-6))
    algorithm.train_policy()
    assert len(calls) <= 1 + settings().alphas  # one batch; there would be three


def test_identity_tells_functions_of_one_name_apart() -> None:
    def made(worth: float) -> RewardFunction:
        if worth > 1:

            def reward(model: RunnableModel) -> float:
                return 2.5 * right(model)

        else:

            def reward(model: RunnableModel) -> float:
                return 1.5 * right(model)

        return reward

    assert reward_name(made(1)) == reward_name(made(2))
    assert reward_identity(made(1)) != reward_identity(made(2))
    assert reward_identity(made(1)) == reward_identity(made(1))
    assert reward_identity(Callable()) == reward_identity(Callable())


@pytest.mark.parametrize("said", [1, True, np.float32(0.5), np.array(0.5), torch.tensor(0.5)])
def test_what_is_a_number_is_taken(said: Any) -> None:
    assert judge(lambda _model: said, in_onnxruntime(session(tiny_model()))) == float(said)


class Callable:
    def __call__(self, _model: RunnableModel) -> float:
        return 0.0


def test_names() -> None:
    assert reward_name(right) == "tests.search.test_reward.right"
    assert reward_name(Callable()) == "tests.search.test_reward.Callable"
