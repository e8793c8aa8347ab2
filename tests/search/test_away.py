"""No step of training or scoring waits for the host; see `tests.supernet.away`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from natonnx.policy.base import draw
from natonnx.policy.random_search import RandomPolicy
from natonnx.search import Problem
from natonnx.search.assess import original_runner
from natonnx.search.optimizers import SGD
from natonnx.search.refit import Refit
from natonnx.search.runner import TensorBatch, supernet_runner, tensor_batches
from natonnx.search.score import BatchTargets, reestimate, score_batches, targets_of
from natonnx.search.train import Trainer
from natonnx.supernet import Supernet
from tests.search.conftest import tiny_split
from tests.supernet.away import META, Away, NoLists, WaitsError

CPU = torch.device("cpu")


@pytest.mark.parametrize("distillation", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["labels", "agreement"])
def test_a_training_step_waits_for_nothing(problem: Problem, distillation: float, kind: str) -> None:
    """From the data to the weights: copies, augmentation, the original, the loss, the gradient, a step left out."""
    given = replace(problem, device=META, augment="shift-flip")
    given = given if kind == "labels" else replace(given, objective=problem.distillation)
    supernet, original = Supernet(problem.network).to(META), Supernet(problem.network).to(META)
    generator = torch.Generator().manual_seed(0)
    trainer = Trainer(given, supernet, original_runner(given, original), learning_rate=0.1, distillation=distillation)
    with Away(), NoLists():
        for batch in tensor_batches(tiny_split(96, 1), 32, META, generator):
            loss = trainer.step(batch, problem.network.architecture, generator)
    assert trainer.steps == 3
    assert loss.device == META


def test_scoring_waits_only_at_the_end(problem: Problem) -> None:
    given = replace(problem, device=META)
    supernet = Supernet(problem.network).to(META).eval()
    original = original_runner(given, Supernet(problem.network).to(META))
    for objective in (problem.objective, problem.distillation):
        read: list[int] = []

        def parts(objective: Any = objective, read: list[int] = read) -> Iterator[tuple[TensorBatch, BatchTargets]]:
            for batch in tensor_batches(tiny_split(96, 1), 32, META):
                yield batch, targets_of(objective, batch, original)
                read.append(batch.size)

        captures = {**objective.captures, **objective.score_captures}
        run = supernet_runner(supernet, problem.network.architecture, captures)
        with Away(), NoLists(), pytest.raises((RuntimeError, WaitsError)):
            score_batches(run, objective, parts())
        assert read == [32, 32, 32]


def test_statistics_are_averaged_without_waiting(problem: Problem) -> None:
    supernet = Supernet(problem.network).to(META)
    seen: list[float | None] = []
    inner = supernet.run

    def run(*given: Any, **options: Any) -> dict[str, Tensor]:
        seen.append(options["momentum"])
        return inner(*given, **options)

    supernet.run = run  # type: ignore[method-assign]
    with Away(), NoLists(), pytest.raises((RuntimeError, WaitsError)):
        reestimate(
            supernet, problem.network.architecture, tiny_split(96, 1), META, problem.objective.captures, batch=32
        )
    assert seen == [1, 1 / 2, 1 / 3]


def test_a_minibatch_that_breaks_the_statistics_is_left_out(problem: Problem) -> None:
    """Wherever it is among the others: what is left has the mean over those."""
    split = tiny_split(96, 1)
    beta, captures = problem.network.architecture, problem.objective.captures
    for broken in range(3):
        images = split.inputs["image"].copy()
        images[32 * broken] = np.nan
        others = np.delete(split.inputs["image"], slice(32 * broken, 32 * (broken + 1)), 0)
        found: list[list[Tensor]] = []
        for given in (images, others):
            supernet = Supernet(problem.network)
            data = replace(split, inputs={"image": given}, targets=None)
            reestimate(supernet, beta, data, CPU, captures, batch=32)
            found.append([value.clone() for value in supernet.statistics()])
        assert all(map(torch.equal, *found))
        assert all(bool(value.isfinite().all()) for value in found[0])


class Elsewhere(Tensor):
    """A tensor that is not on the CPU, as far as it says itself."""

    is_cpu = False


def test_a_step_that_an_accelerator_takes_back_leaves_nothing() -> None:
    """The same bits as without a flag where it is true; nothing at all, momentum included, where it is not."""

    def run(flags: Sequence[bool | None], gradients: list[Tensor]) -> list[Tensor]:
        weight = torch.linspace(-1, 1, 5).requires_grad_()
        optimizer = SGD([{"params": [weight], "weight_decay": 0.1}], 0.1, 0.9)
        for flag, gradient in zip(flags, gradients, strict=True):
            weight.grad = gradient.clone()
            optimizer.step(None if flag is None else torch.tensor(flag).as_subclass(Elsewhere))
        state = optimizer.state_dict()["state"]
        return [weight.detach(), state[0]["momentum_buffer"]]

    first, second = torch.linspace(1, 2, 5), torch.linspace(-3, 1, 5)
    broken = torch.tensor([np.nan, np.inf, 1.0, -np.inf, 0.0])
    expected = run([None, None], [first, second])
    assert all(map(torch.equal, run([True, True], [first, second]), expected))
    for flags, gradients in (
        ([False, True, True], [broken, first, second]),
        ([True, False, True], [first, broken, second]),
        ([True, True, False], [first, second, broken]),
    ):
        assert all(map(torch.equal, run(flags, gradients), expected))


class Decided(TorchFunctionMode):
    """Answers what is read away: numbers that fall, and no to every question."""

    def __init__(self) -> None:
        super().__init__()
        self._reads = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is Tensor.__float__:
            self._reads += 1
            return 1.0 / self._reads
        if func is Tensor.__bool__:
            return False
        return func(*args, **(kwargs or {}))


def test_a_refit_computes_where_the_model_is(problem: Problem) -> None:
    """Sums and least squares in double precision there; the host decides by a few numbers of each operator."""
    supernet = Supernet(problem.network).to(META).eval()
    generator = torch.Generator().manual_seed(0)
    drawn = draw(RandomPolicy(most=4.0), problem.network.architecture, 6, generator).architectures
    batches = [batch.inputs for batch in tensor_batches(tiny_split(64, 1), 32, META)]
    with Away(), NoLists(), Decided():
        refit = Refit(supernet, batches)
        changed = [refit.run(alpha)[0] for alpha in drawn]
    assert any(changed)
    assert all(value.device == META for found in changed for value in found.values())
