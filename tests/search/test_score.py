import numpy as np
import pytest
import torch

from natonnx.frontend import Network
from natonnx.search import Problem, Score
from natonnx.search.assess import assess, original_runner
from natonnx.search.score import minibatch_score, reestimate, summarise
from natonnx.session import run, session
from natonnx.supernet import Supernet
from tests.search.conftest import tiny_problem, tiny_split, whole

CPU = torch.device("cpu")


def statistics(supernet: Supernet) -> dict[str, torch.Tensor]:
    return {
        name: tensor.clone()
        for name, tensor in supernet.named_tensors().items()
        if name.endswith(("natonnx_mean", "natonnx_variance"))
    }


def score_of(supernet: Supernet, problem: Problem) -> Score:
    return assess(problem, supernet, supernet.network.architecture, original_runner(problem, supernet))


def test_evaluate_agrees_with_onnxruntime(network: Network) -> None:
    problem = tiny_problem(network, network.architecture)
    score = score_of(Supernet(network), problem)
    inputs, labels = tiny_split(90, 2).inputs, tiny_split(90, 2).targets
    assert labels is not None
    logits = run(session(network.model), inputs)["logits"]
    log_softmax = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert score.value == pytest.approx((logits.argmax(1) == labels).mean())
    assert score.ranking == pytest.approx(log_softmax[np.arange(len(labels)), labels].mean(), abs=1e-5)
    assert score.samples == len(labels)


def test_a_minibatch_score_leaves_running_statistics_alone(problem: Problem) -> None:
    supernet = Supernet(problem.network)
    before = statistics(supernet)
    batch = whole(tiny_split(90, 2))
    assert batch.targets is not None
    minibatch_score(supernet, problem.network.architecture, problem.objective, batch, batch.targets)
    after = statistics(supernet)
    assert before.keys() == after.keys() != set()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_reestimate_forgets_and_averages_over_minibatches(problem: Problem) -> None:
    supernet = Supernet(problem.network)
    architecture, inputs = problem.network.architecture, whole(tiny_split(240, 1)).inputs
    captures = problem.objective.captures
    reestimate(supernet, architecture, problem.train, CPU, captures, batch=80)
    found = statistics(supernet)["stem.out/natonnx_mean"]
    raw = supernet.run(inputs, architecture, capture=["stem.out/natonnx_raw"])["stem.out/natonnx_raw"]
    torch.testing.assert_close(found, raw.detach().mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    reestimate(supernet, architecture, problem.train, CPU, captures, batch=80)
    torch.testing.assert_close(statistics(supernet)["stem.out/natonnx_mean"], found)


def test_the_standard_error_of_shares_is_binomial() -> None:
    right = torch.zeros(100, 1)
    right[:90] = 1
    assert summarise(right, -1.0).standard_error == pytest.approx((0.9 * 0.1 / 100) ** 0.5)
    assert Score(0.9).standard_error == 0
