"""Look-ups and trainings a second, by one process and by several: `python -m tools.benchmarks.bench_others`.

One thread each. Each round runs one process, ranks of torchrun, and a search with workers at a journal, one after the
other, so that what the machine does besides hits all of them. Data is read and a first look-up made before the clock
starts.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from natonnx import launched
from natonnx.frontend import load
from natonnx.search import Settings
from natonnx.search.finetune import Limit
from natonnx.search.keys import key
from natonnx.search.parallel.executor import Executor, InProcess
from natonnx.search.parallel.journal import Journal
from natonnx.search.parallel.ranks import Ranks, RanksExecutor, follow
from natonnx.search.parallel.tasks import LookUp
from natonnx.search.parallel.worker import Worker
from natonnx.search.propose.moves import Moves
from natonnx.search.samples import Samples
from natonnx.search.spend import Start
from natonnx.verbs.optimize.others import Posting
from natonnx.verbs.optimize.prepare import prepare, torch_settings
from natonnx.verbs.optimize.recipe import make_recipe, mark_of
from tools.command import run_command

_WAYS = ("alone", "ranks", "journal")
_SETTINGS = Settings()


class Found(NamedTuple):
    """Look-ups, and training images, a second."""

    lookups: float
    images: float


def measure(executor: Executor, worker: Worker, lookups: int, trainings: int, images: int) -> Found:
    """Time so many look-ups, and so many trainings of so many images each."""
    moves = Moves(worker.problem.network.architecture, worker.problem.prices[0]).all
    alphas = [moves[i % len(moves)].architecture for i in range(lookups)]
    begun = time.monotonic()
    executor.map([LookUp(key(alpha)) for alpha in alphas])
    looked = time.monotonic()
    pairs = [(start, worker.training(start, Limit(images))) for start in (Start(alpha, {}) for alpha in alphas)]
    before = time.monotonic()
    executor.train(pairs[:trainings], 1.0)
    return Found(lookups / (looked - begun), trainings * images / (time.monotonic() - before))


def run_child(model: Path, way: str, others: int, counts: tuple[int, int, int]) -> Found | None:
    """Measure in this process; None where it only follows."""
    source = load(model)
    with torch_settings(1):
        prepared = prepare(source, None, settings=_SETTINGS)
        worker = Worker(prepared.problem, _SETTINGS, Samples().fitting(prepared.problem))
        beta = key(prepared.problem.network.architecture)
        LookUp(beta).run(worker)
        if launched.ranks() > 1:
            ranks = Ranks(torch.device("cpu"))
            ranks.agree("ready")
            if ranks.rank:
                follow(ranks, worker)
                return None
            found = measure(RanksExecutor(ranks, worker), worker, *counts)
            ranks.tell(("done", None))
            return found
        if way == "alone":
            return measure(InProcess(worker), worker, *counts)
        with tempfile.TemporaryDirectory() as folder:
            recipe = make_recipe(
                source,
                None,
                None,
                objective="auto",
                reward=None,
                batchnorm="auto",
                class_names=None,
                settings=_SETTINGS,
            )
            posting = Posting(Journal(Path(folder)), recipe)
            with posting.journal.living():
                executor = posting.begin(mark_of(prepared, _SETTINGS, "auto"), None, worker)
                workers = [_start_worker(folder) for _ in range(others)]
                _warm_up(posting.journal, posting.run, beta, others)
                found = measure(executor, worker, *counts)
                posting.end()
            for one in workers:
                one.kill()
                one.wait()
            return found


def _start_worker(folder: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "natonnx", "worker", "--journal", folder, "--threads", "1", "-q"]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _warm_up(journal: Journal, run: str, beta: str, others: int) -> None:
    """Give look-ups of β, each as a task of its own, until all workers have made one."""
    done: set[str] = set()
    for number in count():
        if len(done) == others:
            return
        name = f"warm-up {number}"
        journal.post(run, {name: ("LookUp", {"states": beta})})
        while journal.tasks[name].result is None:
            time.sleep(0.05)
            journal.refresh()
        done.add(str(journal.tasks[name].owner))


@click.command()
@click.argument("model", default="models/resnet20-fashion.onnx", type=click.Path(exists=True, path_type=Path))
@click.option("--processes", default=2, show_default=True, type=click.IntRange(2))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--lookups", default=24, show_default=True, type=click.IntRange(1))
@click.option("--trainings", default=4, show_default=True, type=click.IntRange(1))
@click.option("--images", default=2560, show_default=True, help="Of each training.")
@click.option("--way", type=click.Choice(_WAYS), hidden=True)
def main(model: Path, processes: int, rounds: int, lookups: int, trainings: int, images: int, way: str | None) -> None:
    """Time look-ups and trainings of MODEL by one process and by several of one thread each."""
    counts = (lookups, trainings, images)
    if way is not None:
        found = run_child(model, way, processes - 1, counts)
        if found is not None:
            click.echo(json.dumps(found))
        return
    results: dict[str, list[Found]] = {name: [] for name in _WAYS}
    for _ in range(rounds):
        for name in _WAYS:
            results[name].append(_spawn(model, name, processes, counts))
    click.echo("| way | processes | look-ups a second | of one | training images a second | of one |")
    click.echo("|---|---|---|---|---|---|")
    for name in _WAYS:
        cells: list[str] = [name, "1" if name == "alone" else str(processes)]
        for position in (0, 1):
            values = [one[position] for one in results[name]]
            ratios = [one[position] / base[position] for one, base in zip(results[name], results["alone"], strict=True)]
            cells += [f"{statistics.median(values):.1f}", _spread(ratios)]
        click.echo(f"| {' | '.join(cells)} |")


def _spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _spawn(model: Path, way: str, processes: int, counts: tuple[int, int, int]) -> Found:
    module = "tools.benchmarks.bench_others"
    ranks = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))
    options = [f"--{name}={value}" for name, value in zip(("lookups", "trainings", "images"), counts, strict=True)]
    command = [sys.executable, *(ranks if way == "ranks" else ()), "-m", module, str(model), "--way", way, *options]
    command += ["--processes", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    made: Any = json.loads(done.stdout.splitlines()[-1])
    return Found(*made)


if __name__ == "__main__":
    run_command(main)
