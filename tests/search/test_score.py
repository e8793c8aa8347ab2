import numpy as np
import pytest
import torch

from natonnx.frontend import Network
from natonnx.search import Problem, Score, TensorSplit
from natonnx.search.score import evaluate, minibatch_score, reestimate
from natonnx.session import run, session
from natonnx.supernet import Supernet


def statistics(supernet: Supernet) -> dict[str, torch.Tensor]:
    return {
        name: tensor.clone()
        for name, tensor in supernet.named_tensors().items()
        if name.endswith(("natonnx_mean", "natonnx_variance"))
    }


def test_batches_without_a_generator_keep_order_and_cover_everything() -> None:
    split = TensorSplit(torch.arange(10.0), torch.arange(10))
    assert [batch.labels.tolist() for batch in split.batches(4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_shuffled_batches_cover_everything_but_a_last_single_sample() -> None:
    split = TensorSplit(torch.arange(9.0), torch.arange(9))
    batches = list(split.batches(4, torch.Generator().manual_seed(0)))
    assert [len(batch.labels) for batch in batches] == [4, 4]  # normalisation cannot train on one sample
    assert len({int(label) for batch in batches for label in batch.labels}) == 8


def test_evaluate_agrees_with_onnxruntime(network: Network, problem: Problem) -> None:
    score = evaluate(Supernet(network), network.architecture, problem.validation)
    logits = run(session(network.model), {"image": problem.validation.inputs.numpy()})["logits"]
    labels = problem.validation.labels.numpy()
    log_softmax = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert score.accuracy == pytest.approx((logits.argmax(1) == labels).mean())
    assert score.likelihood == pytest.approx(log_softmax[np.arange(len(labels)), labels].mean(), abs=1e-5)
    assert score.samples == len(labels)


def test_a_minibatch_score_leaves_running_statistics_alone(problem: Problem) -> None:
    supernet = Supernet(problem.network)
    before = statistics(supernet)
    minibatch_score(supernet, problem.network.architecture, problem.validation)
    after = statistics(supernet)
    assert before.keys() == after.keys() != set()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_reestimate_forgets_and_averages_over_minibatches(problem: Problem) -> None:
    supernet = Supernet(problem.network)
    architecture, inputs = problem.network.architecture, problem.train.inputs
    reestimate(supernet, architecture, inputs, batch=80)
    found = statistics(supernet)["stem.out/natonnx_mean"]
    raw = supernet.run({"image": inputs}, architecture, capture=["stem.out/natonnx_raw"])["stem.out/natonnx_raw"]
    torch.testing.assert_close(found, raw.detach().mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    reestimate(supernet, architecture, inputs, batch=80)
    torch.testing.assert_close(statistics(supernet)["stem.out/natonnx_mean"], found)
    assert supernet.momentum is None


@pytest.mark.parametrize(("score", "error"), [(Score(0.9, -1.0, 100), 0.03), (Score(0.9, -1.0), 0.0)])
def test_standard_error_is_binomial(score: Score, error: float) -> None:
    assert score.standard_error == pytest.approx(error)
