from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from natonnx.errors import InputError
from natonnx.frontend import Network, parse
from natonnx.search import Labels, Problem, Score
from natonnx.search.assess import assess, original_runner
from natonnx.search.objective import Outputs
from natonnx.search.outputs import JudgedOutput, Measure
from natonnx.search.runner import supernet_runner, tensor_batches
from natonnx.search.score import evaluate, minibatch_score, reestimate, summarise, targets_of
from natonnx.session import run, session
from natonnx.supernet import Supernet, unfold
from tests.search.conftest import tiny_model, tiny_problem, tiny_split, whole

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
    targets = targets_of(problem.objective, batch, None)
    minibatch_score(supernet, problem.network.architecture, problem.objective, batch, targets)
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


def test_statistics_survive_an_architecture_that_diverges(problem: Problem) -> None:
    """Neither a minibatch that is only scored, nor one that is trained on, is there for ever."""
    supernet, fresh = Supernet(problem.network), Supernet(problem.network)
    beta, captures = problem.network.architecture, problem.objective.captures
    batch = whole(tiny_split(90, 2))
    wild = replace(batch, inputs={"image": torch.full_like(batch.inputs["image"], torch.inf)})
    minibatch_score(supernet, beta, problem.objective, wild, targets_of(problem.objective, batch, None))
    assert all(tensor.isfinite().all() for tensor in statistics(supernet).values())
    supernet.train()
    supernet.run(wild.inputs, beta)
    assert not all(tensor.isfinite().all() for tensor in statistics(supernet).values())
    for each in (supernet, fresh):
        reestimate(each, beta, problem.train, CPU, captures)
    assert all(torch.equal(statistics(supernet)[name], value) for name, value in statistics(fresh).items())


def test_a_loss_that_is_not_finite_ranks_behind_all_others(problem: Problem) -> None:
    supernet = Supernet(problem.network)
    batch = whole(tiny_split(90, 2))
    wild = replace(batch, inputs={"image": torch.full_like(batch.inputs["image"], torch.nan)})
    targets = targets_of(problem.objective, batch, None)
    score = minibatch_score(supernet, problem.network.architecture, problem.objective, wild, targets)
    assert (score.value, score.ranking) == (0.0, -1e6)


def test_statistics_of_a_fixed_batch_are_averaged_over_its_minibatches() -> None:
    model = tiny_model()
    for info in (model.graph.input[0], model.graph.output[0]):
        info.type.tensor_type.shape.dim[0].dim_value = 8
    train = tiny_split(44, 1)  # the last 4 make no whole batch
    network = unfold(parse(model), [batch.inputs for batch in tensor_batches(train, 8, CPU) if batch.size == 8]).network
    supernet = Supernet(network)
    reestimate(supernet, network.architecture, train, CPU, {"logits": 0})
    found = statistics(supernet)["stem.out/natonnx_mean"]
    images = torch.from_numpy(train.inputs["image"][:40])
    raws = [supernet.run({"image": part}, capture=["stem.out/natonnx_raw"]) for part in torch.split(images, 8)]
    expected = torch.cat([raw["stem.out/natonnx_raw"] for raw in raws]).detach().mean((0, 2, 3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("labels", [np.zeros((6, 2), np.int64), np.zeros((6, 5), np.int64)])
def test_labels_that_are_not_one_a_position_are_refused(labels: np.ndarray) -> None:
    logits, sequence = torch.zeros(6, 3), torch.zeros(6, 4, 3)
    for value, wrong in ((logits, labels), (sequence, labels), (sequence, labels[:, 0])):
        objective = Labels(JudgedOutput("out", "out", Measure.TOP1, 0))
        with pytest.raises(InputError, match="a label for each"):
            objective.score({"out": value}, torch.from_numpy(wrong))


def test_labels_of_positions_meet_the_scores_of_theirs() -> None:
    logits = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0))
    objective = Labels(JudgedOutput("out", "out", Measure.TOP1, 0))
    right = logits.argmax(-1).int()
    assert objective.score({"out": logits}, right).tolist() == [[1.0]] * 6
    right[:, 0] = (right[:, 0] + 1) % 3
    assert objective.score({"out": logits}, right).tolist() == [[0.75]] * 6


def test_a_minibatch_without_finite_statistics_is_left_out(problem: Problem) -> None:
    """One sample whose squares overflow, in one of three minibatches."""
    supernet, fresh = Supernet(problem.network), Supernet(problem.network)
    beta, captures = problem.network.architecture, problem.objective.captures
    whole_split = tiny_split(90, 2)
    images = whole_split.inputs["image"].copy()
    images[45] = 1e30
    reestimate(supernet, beta, replace(whole_split, inputs={"image": images}), CPU, captures, batch=30)
    good = whole_split.take(np.r_[0:30, 60:90])
    reestimate(fresh, beta, good, CPU, captures, batch=30)
    for name, value in statistics(fresh).items():
        torch.testing.assert_close(statistics(supernet)[name], value)


def test_a_score_tells_broken_samples_and_whether_a_model_says_anything(problem: Problem) -> None:
    supernet = Supernet(problem.network).eval()
    beta, split = problem.network.architecture, tiny_split(90, 2)
    run = supernet_runner(supernet, beta, problem.objective.captures)

    def scored(change: Callable[[torch.Tensor], torch.Tensor]) -> Score:
        def changed(inputs: Mapping[str, torch.Tensor], size: int) -> Outputs:
            return {name: change(value) for name, value in run(inputs, size).items()}

        return evaluate(changed, problem.objective, split, CPU, None)

    def spoil(value: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.arange(len(value))[:, None] < 4, torch.nan, value)

    assert scored(lambda value: value)[6:] == (0, 0, False)
    assert scored(spoil)[6:] == (4, 4, False)
    assert scored(lambda value: torch.where(spoil(value).isnan(), torch.inf, value))[6:] == (4, 0, False)
    assert scored(torch.zeros_like)[6:] == (0, 0, True)
