"""A reward of the user's own."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from natonnx.errors import InputError, what_ran
from natonnx.frontend import Network, parse
from natonnx.rewrite import build
from natonnx.search import Problem, RewardFunction, RunnableModel, Settings, search
from natonnx.search.assess import assess, original_runner, runnable
from natonnx.search.own import WORST, OwnObjective, identity_of, judge, name_of
from natonnx.supernet import Supernet
from natonnx.verbs.scoring import runnable_file
from tests.search.conftest import tiny_model, tiny_split, whole

CPU = torch.device("cpu")


def with_reward(problem: Problem, reward: RewardFunction) -> Problem:
    return replace(problem, reward=reward)


def in_file(network: Network, model: onnx.ModelProto) -> RunnableModel:
    return runnable_file(network, model, 1)


def images(count: int, seed: int) -> torch.Tensor:
    return whole(tiny_split(count, seed)).inputs["image"]


SETTINGS = Settings(finetune_epochs=1, lookups=8, target_madds=0.8)


def right(model: RunnableModel) -> float:
    """Accuracy, as a user would write it, on data of one's own."""
    split = tiny_split(90, 2)
    return float((model(split.inputs["image"]).argmax(1) == split.targets).mean())


def test_supernet_and_file_run_alike(problem: Problem) -> None:
    """Arrays give arrays, tensors tensors; the same of the supernet, of onnxruntime, and in any number."""
    network = problem.network
    supernet = Supernet(network)
    beta = network.architecture
    models = (runnable(problem, supernet, beta), in_file(network, build(network, beta, supernet.weights())))
    inputs = images(600, 3)
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
    given = with_reward(problem, right)
    score = assess(given, supernet, problem.network.architecture, original_runner(problem, supernet))
    assert score.value == pytest.approx(score.figures[0])
    assert (score.ranking, score.standard_error) == (score.value, 0)


def test_what_is_found_is_ranked_by_the_function(problem: Problem) -> None:
    """It likes small outputs and nothing else, and has the last word on finished architectures."""
    inputs = images(60, 4)

    def flat(model: RunnableModel) -> float:
        return -float(model(inputs).std())

    found = search(with_reward(problem, flat), replace(SETTINGS, target_madds=(0.8, 0.6)))
    assert len(found.candidates) == 2
    rewards = [candidate.validation.value for candidate in found.candidates]
    assert rewards == sorted(rewards, reverse=True)
    assert found.scored
    assert all(scored.validation.value == scored.validation.ranking < 0 for scored in found.scored)
    for candidate in found.candidates:  # what the function says of the finished architecture
        supernet = Supernet(problem.network)
        supernet.load_weights(candidate.weights)
        assert candidate.validation.value == flat(runnable(problem, supernet, candidate.architecture))


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_the_unit_does_not_matter_to_the_search(problem: Problem, scale: float) -> None:
    def scaled(model: RunnableModel) -> float:
        return scale * right(model)

    whole, other = (search(with_reward(problem, reward), SETTINGS) for reward in (right, scaled))
    assert [c.architecture for c in other.candidates] == [c.architecture for c in whole.candidates]


@pytest.mark.parametrize("said", [float("nan"), float("inf"), None, "good", np.zeros(3), 10**400, 1e300, -1e300])
def test_what_is_no_finite_number_is_refused(said: Any) -> None:
    def broken(_model: RunnableModel) -> Any:
        return said

    with pytest.raises(InputError, match=r"broken: returned .*; a reward must be a finite number"):
        judge(broken, in_file(parse(tiny_model()), tiny_model()))


def test_a_model_that_gave_nan_is_the_worst_whatever_is_said_of_it(problem: Problem) -> None:
    """Its argmax is a class, too."""
    supernet = Supernet(problem.network)
    with torch.no_grad():
        next(supernet.parameters()).fill_(torch.nan)
    model = runnable(problem, supernet, problem.network.architecture)
    assert judge(lambda _model: 1.0, model) == 1.0  # it was not run
    assert judge(right, model) == WORST


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (1, 8, 8), (2, 1, 6, 6), (0, 1, 8, 8)])
def test_inputs_that_the_model_does_not_take_are_one_line(problem: Problem, shape: tuple[int, ...]) -> None:
    """In the supernet as in onnxruntime, though the supernet could run other sizes."""
    network = problem.network
    supernet = Supernet(network)
    for model in (runnable(problem, supernet, network.architecture), in_file(parse(tiny_model()), tiny_model())):
        with pytest.raises(InputError, match=r"the reward ran the model on inputs of .*: it takes any number of 1×8×8"):
            model(np.zeros(shape))


def test_identity_tells_functions_of_one_name_apart() -> None:
    def made(worth: float) -> RewardFunction:
        if worth > 1:

            def reward(model: RunnableModel) -> float:
                return 2.5 * right(model)

        else:

            def reward(model: RunnableModel) -> float:
                return 1.5 * right(model)

        return reward

    assert name_of(made(1)) == name_of(made(2))
    assert identity_of(made(1)) != identity_of(made(2))
    assert identity_of(made(1)) == identity_of(made(1))
    assert identity_of(Callable()) == identity_of(Callable())


@pytest.mark.parametrize("said", [1, True, np.float32(0.5), np.array(0.5), torch.tensor(0.5)])
def test_what_is_a_number_is_taken(said: Any) -> None:
    assert judge(lambda _model: said, in_file(parse(tiny_model()), tiny_model())) == float(said)


class Callable:
    def __call__(self, _model: RunnableModel) -> float:
        return 0.0


def test_names() -> None:
    assert name_of(right) == "tests.search.test_own.right"
    assert name_of(Callable()) == "tests.search.test_own.Callable"


def embedder() -> onnx.ModelProto:
    """Tokens [N, 3], and a scale of each sample [N, 1] → [N, 4]."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["out"]),
    ]
    table = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "embedder",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", 3]),
            helper.make_tensor_value_info("scale", TensorProto.FLOAT, ["N", 1]),
        ],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(table, "table")],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def test_inputs_get_the_element_types_of_the_model() -> None:
    model = in_file(parse(embedder()), embedder())
    ids, scale = np.arange(6).reshape(2, 3), np.ones((2, 1))
    expected = model({"ids": ids, "scale": scale.astype(np.float32)})["out"]
    assert np.array_equal(model({"ids": ids.astype(np.int32), "scale": scale.astype(int)})["out"], expected)
    with pytest.raises(InputError, match=r"takes torch\.int64"):
        model({"ids": ids + 0.5, "scale": scale})


def test_inputs_of_different_numbers_of_samples_are_one_line() -> None:
    network = parse(two_inputs())
    model = runnable_file(network, network.model, 1)
    with pytest.raises(InputError, match=r"different numbers of samples \(a 3, b 5\)"):
        model({"a": np.zeros((3, 4), np.float32), "b": np.zeros((5, 4), np.float32)})


def two_inputs() -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "aby"]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", infos[:2], infos[2:])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


class Scores:
    """An objective that returns what it was made with."""

    def __init__(self, said: Any, loss: Any = None) -> None:
        self.said = said
        if loss is not None:
            self.loss = lambda _outputs, _targets: loss

    def score(self, _outputs: Any, _targets: Any) -> Any:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


@pytest.mark.parametrize("said", [None, "good", [1.0], np.array([1.0, np.nan]), np.ones((2, 1))])
def test_scores_that_are_no_number_a_sample_are_refused(problem: Problem, said: Any) -> None:
    own = OwnObjective(Scores(said), {"y": 0}, problem.objective, has_labels=False)
    with pytest.raises(InputError, match=r"Scores.score: returned"):
        own.score({"y": torch.zeros(2, 3)}, {"y": torch.zeros(2, 3)})


@pytest.mark.parametrize("loss", [3.0, torch.zeros(2)])
def test_losses_that_are_no_number_are_refused(problem: Problem, loss: Any) -> None:
    own = OwnObjective(Scores([0.0, 0.0], loss), {"y": 0}, problem.objective, has_labels=False)
    with pytest.raises(InputError, match=r"Scores.loss: returned"):
        own.loss({"y": torch.zeros(2, 3)}, {"y": torch.zeros(2, 3)})


def test_what_an_objective_raises_reaches_the_caller_and_says_whose_it_is(problem: Problem) -> None:
    own = OwnObjective(Scores(KeyError("mine")), {"y": 0}, problem.objective, has_labels=False)
    with pytest.raises(KeyError, match="mine") as caught:
        own.score({"y": torch.zeros(2, 3)}, {"y": torch.zeros(2, 3)})
    assert what_ran(caught.value) == f"{Scores.__module__}.Scores.score"
    assert what_ran(KeyError("natonnx")) is None


@pytest.mark.parametrize("worst", [1e300, -1e300, 2e15])
def test_scores_beyond_what_can_be_averaged_are_refused(problem: Problem, worst: float) -> None:
    own = OwnObjective(Scores([0.0, worst]), {"y": 0}, problem.objective, has_labels=False)
    with pytest.raises(
        InputError, match=r"Scores.score: returned .*e\+.* for a sample; it must be a finite number, from"
    ):
        own.score({"y": torch.zeros(2, 3)}, {"y": torch.zeros(2, 3)})


def test_a_sample_with_outputs_of_nan_is_the_worst_whatever_is_said_of_it(problem: Problem) -> None:
    outputs = {"y": torch.tensor([[0.0, 1.0], [torch.nan, 0.0], [-torch.inf, 0.0]])}
    for said in ([3.0, 2.0, 1.0], [3.0, torch.nan, 1.0]):
        own = OwnObjective(Scores(said), {"y": 0}, problem.objective, has_labels=False)
        assert own.score(outputs, outputs)[:, 0].tolist() == [3.0, WORST, 1.0]
