"""CPU time of look-ups against onnxruntime's own for the same images of the same α's, side by side in one process.

The α's are those that a search looks up: single transitions, then what its proposer makes of them. Of each, in turn,
it times the refit on 160 samples, the score on 500, the building of α's file, a session of it, and its runs in
onnxruntime on both. One thread; quartiles are over the α's.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click
import numpy as np
import torch

from natonnx.architecture import Architecture
from natonnx.data.batches import Array, ArrayBatches
from natonnx.frontend import Network, parse
from natonnx.rewrite import build
from natonnx.search import Agreement, Problem
from natonnx.search.assess import original_runner
from natonnx.search.effort import LADDER
from natonnx.search.look import Looker, as_arrays, refit_on
from natonnx.search.lookup import Lookups
from natonnx.search.outputs import judged_outputs
from natonnx.search.price import prices_of
from natonnx.search.propose import make_proposer
from natonnx.session import run, session
from natonnx.supernet import Supernet
from natonnx.supernet.ops.operands import as_array
from tools.benchmarks.bench_supernet import NETWORKS
from tools.command import run_command
from tools.upkeep.export import export

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Made = TypeVar("Made")

CALIBRATED, HELD_OUT, ROWS, PER_FEATURE = 160, 500, 4096, 2.0
BATCHES = (25, 50, 125, 250)
"""Of which onnxruntime runs by the one that it is fastest with."""


class Times(NamedTuple):
    """CPU seconds of an α's look-up, and of what it is compared with."""

    refit: float
    score: float
    build: float
    session: float
    runtime: float
    runtime_held_out: float


@click.command()
@click.option("--networks", default="resnet20,mobilenetv2,densenet,vit,bert", show_default=True)
@click.option("--count", default=60, show_default=True, type=click.IntRange(4), help="Look-ups of a network.")
def main(networks: str, count: int) -> None:
    """Print what a look-up takes as a share of onnxruntime's time for the images that it runs."""
    torch.set_num_threads(1)
    unknown = [name for name in networks.split(",") if name not in NETWORKS]
    if unknown:
        raise click.UsageError(f"no network is called {unknown[0]!r}; there are {', '.join(NETWORKS)}")
    print(f"CPU time of {count} look-ups, one thread; onnxruntime's for {CALIBRATED} and {HELD_OUT} samples is 1\n")
    columns = ("network", "look-up", "quartiles", "score / its samples", "quartiles")
    print(f"| {' | '.join((*columns, 'refit ms', 'score ms', 'build ms', 'session ms'))} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in networks.split(","):
        print(row(name, measure(problem_of(name), count)), flush=True)


def problem_of(name: str) -> Problem:
    """Make a problem of a network with random weights and random samples, judged by agreement."""
    torch.manual_seed(0)
    module, make = NETWORKS[name]
    model = export(module().eval(), make(2), "script", 17, keep_norm=True)
    network = parse(model)
    axes = dict.fromkeys(network.inputs, 0)
    train, validation = (
        ArrayBatches({info: as_array(x) for info, x in zip(network.inputs, make(count), strict=True)}, axes)
        for count in (CALIBRATED, HELD_OUT)
    )
    judged = judged_outputs(network, network.outputs[0])
    agreement = Agreement.of(judged, list)
    return Problem(network, train, validation, agreement, agreement, prices_of(network.architecture))


def measure(problem: Problem, count: int) -> list[Times]:
    """Time the look-ups of a search."""
    given = Supernet(problem.network).eval()
    looker = Looker(problem, given, original_runner(problem, given), 0)
    refit, _ = refit_on(problem, given, CALIBRATED, 0, ROWS, PER_FEATURE)
    splits = [split.inputs for split in (problem.train, problem.validation) if isinstance(split, ArrayBatches)]
    batch = _best_batch(problem.network, splits[1])
    found: list[Times] = []

    def look_up(alpha: Architecture) -> float:
        refitted, (changed, _) = _timed(lambda: refit.run(alpha))
        scored, score = _timed(lambda: looker.score(alpha, changed))
        built, model = _timed(lambda: build(problem.network, alpha, as_arrays(changed)))
        made, runtime = _timed(lambda: session(model))
        runs = [_timed(lambda: _run(runtime, split, batch))[0] for split in splits]  # noqa: B023 - called at once
        found.append(Times(refitted, scored, built, made, sum(runs), runs[1]))
        return score.ranking

    lookups = Lookups(problem.network.architecture, problem.prices[0], look_up, count)
    make_proposer("gcn-directed", seed=0).propose(lookups, LADDER, torch.Generator().manual_seed(0))
    return found


def row(name: str, times: Sequence[Times]) -> str:
    """Render a line of the table: ratios of sums, and quartiles over the α's."""
    whole = _ratios(times, lambda one: (one.refit + one.score, one.runtime))
    score = _ratios(times, lambda one: (one.score, one.runtime_held_out))
    parts = (1000 * statistics.mean(column) for column in list(zip(*times, strict=True))[:4])
    return f"| {name} | {whole} | {score} | {' | '.join(f'{part:.0f}' for part in parts)} |"


def _ratios(times: Sequence[Times], pair: Callable[[Times], tuple[float, float]]) -> str:
    pairs = [pair(one) for one in times]
    ours, theirs = (sum(column) for column in zip(*pairs, strict=True))
    low, _, high = statistics.quantiles([own / other for own, other in pairs], n=4)
    return f"{ours / theirs:.2f} | {low:.2f}, {high:.2f}"


def _best_batch(network: Network, samples: Mapping[str, Array]) -> int:
    runtime = session(network.model)
    return min(BATCHES, key=lambda batch: min(_timed(lambda: _run(runtime, samples, batch))[0] for _ in range(3)))


def _run(runtime: "InferenceSession", samples: Mapping[str, Array], batch: int) -> None:
    count = len(next(iter(samples.values())))
    for start in range(0, count, batch):
        run(runtime, {name: np.ascontiguousarray(value[start : start + batch]) for name, value in samples.items()})


def _timed(call: Callable[[], Made]) -> tuple[float, Made]:
    begun = time.process_time()
    made = call()
    return time.process_time() - begun, made


if __name__ == "__main__":
    run_command(main)
