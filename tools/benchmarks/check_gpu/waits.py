"""Whether training steps and scoring wait for the host: CUDA raises where they do."""

import contextlib
from collections.abc import Callable, Iterator

import torch

from natonnx.data.batches import ArrayBatches
from natonnx.errors import first_line
from natonnx.search import Agreement, Labels, Problem
from natonnx.search.assess import original_runner
from natonnx.search.outputs import judged_outputs
from natonnx.search.price import Madds
from natonnx.search.runner import TensorBatch, supernet_runner, tensor_batches
from natonnx.search.score import BatchTargets, score_batches, targets_of
from natonnx.search.train import Trainer
from natonnx.supernet import Supernet
from tools.benchmarks.bench_supernet import models

__all__ = ["HEADER", "look"]

HEADER = ("network", "training", "scoring")
_STEPS, _WARM_UP = 10, 3

_Part = Callable[[Problem, int, torch.device], None]


def _problem(name: str, samples: int, device: torch.device) -> Problem:
    """Return a search of a network, on random inputs and labels."""
    _, supernet, inputs = models(name, samples)
    network = supernet.network
    judged = judged_outputs(network, network.outputs[0])
    arrays = {name: value.numpy() for name, value in zip(network.inputs, inputs, strict=True)}
    labels = torch.arange(samples).remainder(2).numpy()
    split = ArrayBatches(arrays, dict.fromkeys(network.inputs, 0), labels)
    prices = (Madds(network.architecture),)
    return Problem(network, split, split, Labels(judged[0]), Agreement.of(judged, list), prices, device)


def look(name: str, batch: int, device: torch.device) -> tuple[list[str], str]:
    """Return a row of the table, and what waits, "" where nothing does."""
    problem = _problem(name, batch * (_STEPS + _WARM_UP), device)
    told = [_caught(_train, problem, batch, device), _caught(_score, problem, batch, device)]
    shown = "nothing" if device.type == "cuda" else "not seen on the CPU"
    waiting = "; ".join(f"{name}, {what}: {one}" for what, one in zip(HEADER[1:], told, strict=True) if one)
    return [name, *(one or shown for one in told)], waiting


def _caught(part: _Part, problem: Problem, batch: int, device: torch.device) -> str:
    try:
        part(problem, batch, device)
    except RuntimeError as error:
        return first_line(error)
    return ""


def _train(problem: Problem, batch: int, device: torch.device) -> None:
    supernet, original = (Supernet(problem.network).to(device) for _ in range(2))
    given = original_runner(problem, original)
    trainer = Trainer(problem, supernet, given, learning_rate=1e-3, distillation=0.5)
    generator = torch.Generator().manual_seed(0)
    batches = tensor_batches(problem.train, batch, device, generator)
    with contextlib.ExitStack() as stack:
        for i, each in enumerate(batches):
            trainer.step(each, problem.network.architecture, generator)
            if i == _WARM_UP - 1:
                stack.enter_context(_refused(device))


def _score(problem: Problem, batch: int, device: torch.device) -> None:
    supernet = Supernet(problem.network).to(device).eval()
    run = supernet_runner(supernet, problem.network.architecture, problem.objective.captures)

    def parts() -> Iterator[tuple[TensorBatch, BatchTargets]]:
        with contextlib.ExitStack() as stack:
            for i, each in enumerate(tensor_batches(problem.validation, batch, device)):
                yield each, targets_of(problem.objective, each, None)
                if i == _WARM_UP - 1:
                    stack.enter_context(_refused(device))

    score_batches(run, problem.objective, parts())


@contextlib.contextmanager
def _refused(device: torch.device) -> Iterator[None]:
    """Let CUDA raise where the host waits for it."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
