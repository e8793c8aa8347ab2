from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from natonnx.search import Problem, Settings
from natonnx.search.assess import assess, original_runner
from natonnx.search.finetune import finetune
from natonnx.search.objective import Outputs
from natonnx.search.train import make_optimizer, train_epoch
from natonnx.supernet import Supernet
from tests.search.conftest import tiny_split, whole


def no_original(inputs: Mapping[str, torch.Tensor], size: int) -> Outputs:
    raise AssertionError(f"without distillation the original must not be asked for {size} samples of {list(inputs)}")


def score(problem: Problem, supernet: Supernet) -> float:
    beta = problem.network.architecture
    return assess(problem, supernet, beta, original_runner(problem, supernet)).value


def test_training_learns_the_task(problem: Problem) -> None:
    supernet = Supernet(problem.network)
    beta = problem.network.architecture
    before = score(problem, supernet)
    optimizer = make_optimizer(supernet, 0.05)
    generator = torch.Generator().manual_seed(0)
    losses = [
        train_epoch(
            problem,
            supernet,
            optimizer,
            lambda: beta,
            original=no_original,
            settings=Settings(distillation=0.0, batch=32),
            generator=generator,
        )
        for _ in range(6)
    ]
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

    train = tiny_split(240, 1)
    assert train.targets is not None
    mislabelled = replace(train, targets=0 * train.targets)  # labels must not matter
    before = distance()
    optimizer = make_optimizer(supernet, 0.05)
    for epoch in range(5):
        train_epoch(
            replace(problem, train=mislabelled),
            supernet,
            optimizer,
            lambda: beta,
            original=original_runner(problem, original),
            settings=Settings(distillation=1.0, batch=32),
            generator=torch.Generator().manual_seed(epoch),
        )
    assert distance() < 0.6 * before


def test_weight_decay_spares_biases_and_normalisation(problem: Problem) -> None:
    decayed, spared = make_optimizer(Supernet(problem.network), 0.1).param_groups
    assert decayed["weight_decay"] > 0
    assert all(parameter.dim() > 1 for parameter in decayed["params"])
    assert spared["weight_decay"] == 0
    assert all(parameter.dim() == 1 for parameter in spared["params"])


def test_finetuning_depends_on_the_seed_alone(problem: Problem) -> None:
    beta = problem.network.architecture
    original = original_runner(problem, Supernet(problem.network).eval())

    def run(seed: int) -> dict[str, torch.Tensor]:
        done = finetune(problem, beta, Settings(seed=seed), epochs=1, start=None, original=original)
        return {name: torch.from_numpy(value) for name, value in done.weights.items()}

    first, again, other = run(3), run(3), run(4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_step_that_diverges_leaves_the_weights_alone(problem: Problem) -> None:
    """One bad architecture among many must not take the shared weights with it."""
    supernet, beta = Supernet(problem.network), problem.network.architecture
    before = {name: value.clone() for name, value in supernet.named_parameters()}
    train = tiny_split(32, 1)
    wild = replace(train, inputs={"image": np.full_like(train.inputs["image"], np.inf)})
    loss = train_epoch(
        replace(problem, train=wild),
        supernet,
        make_optimizer(supernet, 0.05),
        lambda: beta,
        original=no_original,
        settings=Settings(distillation=0.0, batch=32),
        generator=torch.Generator().manual_seed(0),
    )
    assert not np.isfinite(loss)
    assert all(torch.equal(before[name], value) for name, value in supernet.named_parameters())
