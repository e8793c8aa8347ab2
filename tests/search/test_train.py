"""Steps of training."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from natonnx.data.batches import ArrayBatches
from natonnx.search import Problem
from natonnx.search.assess import assess, original_runner
from natonnx.search.objective import Outputs
from natonnx.search.runner import Runner, tensor_batches
from natonnx.search.train import Trainer
from natonnx.supernet import Supernet
from tests.search.conftest import tiny_split, whole

CPU = torch.device("cpu")


def no_original(inputs: Mapping[str, torch.Tensor], size: int) -> Outputs:
    raise AssertionError(f"without distillation the original must not be asked for {size} samples of {list(inputs)}")


def score(problem: Problem, supernet: Supernet) -> float:
    beta = problem.network.architecture
    return assess(problem, supernet, beta, original_runner(problem, supernet)).value


def train(
    problem: Problem, supernet: Supernet, split: ArrayBatches, *, passes: int, distillation: float, original: Runner
) -> list[float]:
    """Train β; return the mean loss of each pass."""
    trainer = Trainer(problem, supernet, original, learning_rate=0.05, distillation=distillation)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(passes):
        batches = tensor_batches(split, 32, CPU, generator)
        beta = problem.network.architecture
        losses.append(float(np.mean([trainer.step(batch, beta, generator) for batch in batches])))
    return losses


def test_training_learns_the_task(problem: Problem) -> None:
    supernet = Supernet(problem.network)
    before = score(problem, supernet)
    losses = train(problem, supernet, tiny_split(240, 1), passes=6, distillation=0.0, original=no_original)
    assert losses[-1] < 0.5 * losses[0]
    assert score(problem, supernet) > max(0.8, before + 0.2)


def test_distillation_alone_moves_outputs_towards_the_original(problem: Problem) -> None:
    supernet, original = Supernet(problem.network), Supernet(problem.network).eval()
    beta = problem.network.architecture
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))

    def distance() -> float:
        supernet.eval()
        images = whole(tiny_split(90, 2)).inputs["image"]
        with torch.no_grad():
            mine, its = (model(images, beta) for model in (supernet, original))
        return float((mine.softmax(1) - its.softmax(1)).abs().mean())

    given = tiny_split(240, 1)
    assert given.targets is not None
    mislabelled = replace(given, targets=0 * given.targets)  # labels must not matter
    before = distance()
    train(problem, supernet, mislabelled, passes=5, distillation=1.0, original=original_runner(problem, original))
    assert distance() < 0.6 * before


def test_the_original_is_followed_where_something_follows_it(problem: Problem) -> None:
    supernet = Supernet(problem.network)
    agreement = replace(problem, objective=problem.distillation)

    def follows(given: Problem, distillation: float) -> bool:
        return Trainer(given, supernet, no_original, learning_rate=0.1, distillation=distillation).follows

    assert not follows(problem, 0.0)
    assert follows(problem, 0.5)
    assert follows(agreement, 0.0)


def test_weight_decay_spares_biases_and_normalisation(problem: Problem) -> None:
    trainer = Trainer(problem, Supernet(problem.network), no_original, learning_rate=0.1, distillation=0.0)
    decayed, spared = trainer.optimizer.param_groups
    assert decayed["weight_decay"] > 0
    assert all(parameter.dim() > 1 for parameter in decayed["params"])
    assert spared["weight_decay"] == 0
    assert all(parameter.dim() == 1 for parameter in spared["params"])


def test_the_rate_is_that_of_all_weights(problem: Problem) -> None:
    trainer = Trainer(problem, Supernet(problem.network), no_original, learning_rate=0.1, distillation=0.0)
    trainer.set_rate(0.025)
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.025, 0.025]


def test_a_step_that_diverges_leaves_the_weights_alone(problem: Problem) -> None:
    """One bad architecture among many must not take the shared weights with it."""
    supernet = Supernet(problem.network)
    before = {name: value.clone() for name, value in supernet.named_parameters()}
    given = tiny_split(32, 1)
    wild = replace(given, inputs={"image": np.full_like(given.inputs["image"], np.inf)})
    (loss,) = train(problem, supernet, wild, passes=1, distillation=0.0, original=no_original)
    assert not np.isfinite(loss)
    assert all(torch.equal(before[name], value) for name, value in supernet.named_parameters())


def test_steps_that_are_left_out_are_counted_and_told_once(problem: Problem, caplog: pytest.LogCaptureFixture) -> None:
    """One wild sample of 64, in one of two minibatches: the other one trains."""
    supernet = Supernet(problem.network)
    given = tiny_split(64, 1)
    images = given.inputs["image"].copy()
    images[40] = np.inf
    wild = replace(given, inputs={"image": images})
    trainer = Trainer(problem, supernet, no_original, learning_rate=0.05, distillation=0.0)
    before = {name: value.clone() for name, value in supernet.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    for batch in tensor_batches(wild, 32, CPU):
        trainer.step(batch, problem.network.architecture, generator)
    assert (trainer.steps, trainer.skipped) == (2, 1)
    after = dict(supernet.named_parameters())
    assert all(bool(value.isfinite().all()) for value in after.values())
    assert not all(torch.equal(before[name], value) for name, value in after.items())
    with caplog.at_level("INFO", "natonnx.search.train"):
        trainer.tell_skipped()
    assert caplog.messages[0].startswith(
        "train: 1 of 2 steps were left out, as their loss or gradient is no finite number"
    )
    assert caplog.messages[0].endswith("inputs up to inf)")
