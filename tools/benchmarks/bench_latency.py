"""Predicted against measured latency of edited models: how well the price of `--target-latency` knows them.

For each model the table of the price is measured as `natonnx optimize` does it, and then α's that are not in it, each
by three fresh pairs of sessions. What MAdds would say stands beside it.

    python -m tools.benchmarks.bench_latency models/*.onnx SUBJECTS/*/model.onnx --markdown prediction.md
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from natonnx.bench import random_inputs
from natonnx.errors import InputError, NatonnxError
from natonnx.frontend import ParseOptions, Source, load
from natonnx.search.latency_model import LatencyModel
from natonnx.search.price import prices_of, share
from natonnx.search.propose.sample import sample_architectures
from natonnx.verbs.model_comparison import Conditions
from natonnx.verbs.optimize.stopwatch import Stopwatch

__all__ = ["Row", "main"]

_TABLE, _TRIED, _REPEATS = 60, 10, 3
_LOWEST = 0.4


class Row(NamedTuple):
    """One model.

    Attributes:
        model: Its name.
        milliseconds: Of one inference of the input.
        measured: Architectures in the table.
        seconds: That the table took.
        error: Median relative error of the predictions.
        rank: Spearman's correlation of predicted and measured latencies.
        madds_error: The same error, were latency in proportion to MAdds.
        madds_rank: The same correlation of MAdds.
        noise: Median relative standard error of what is called measured here.
    """

    model: str
    milliseconds: float
    measured: int
    seconds: float
    error: float
    rank: float
    madds_error: float
    madds_rank: float
    noise: float


def measure(source: Source, name: str, seed: int) -> Row:
    """Measure a model."""
    network, beta = source.network, source.network.architecture
    shapes = network.options.input_shapes
    inputs = random_inputs(network.model, name, input_shapes=shapes, seed=seed, axes=network.batch_axes.inputs)
    stopwatch, counted = Stopwatch(network, inputs, Conditions(seed=seed)), prices_of(beta)[0]
    full = stopwatch.full()
    begun = time.monotonic()
    alphas = sample_architectures(beta, counted, _TABLE, lowest=_LOWEST, seed=seed)
    each = 20.0 / max(1, len(alphas))
    table = stopwatch.rough(alphas, each, lambda: time.monotonic() < begun + 40)
    seconds = time.monotonic() - begun
    known = {one.architecture.states for one in table}
    hidden = sample_architectures(beta, counted, _TABLE + _TRIED, lowest=_LOWEST, seed=seed + 1)
    hidden = [alpha for alpha in hidden if alpha.states not in known][:_TRIED]
    if len(hidden) < _TRIED:
        raise InputError(f"has {len(known)} architectures, too few to try {_TRIED} that are not in the table")
    found = np.array([[one.ratio for one in stopwatch.rough(hidden, 2 * each)] for _ in range(_REPEATS)])
    truth, model = np.median(found, axis=0), LatencyModel(beta, table)
    predicted = np.array([model.predict(alpha)[0] for alpha in hidden])
    madds = np.array([share(counted, alpha) for alpha in hidden])
    noise = float(np.median(found.std(0, ddof=1) / truth / _REPEATS**0.5))
    return Row(
        name, full, len(table), seconds, _error(predicted, truth), _rank(predicted, truth), _error(madds, truth),
        _rank(madds, truth), noise,
    )  # fmt: skip


def _error(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(np.median(np.abs(predicted / truth - 1)))


def _rank(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation."""
    first, second = (np.argsort(np.argsort(values)).astype(float) for values in (one, other))
    return float(np.corrcoef(first, second)[0, 1])


def table(rows: list[Row]) -> str:
    """The rows as Markdown, and their medians."""
    head = (
        "| model | ms | α's in the table | s | error | Spearman | error by MAdds | Spearman | noise |\n|" + "---|" * 9
    )
    lines = [
        f"| {r.model} | {r.milliseconds:.2f} | {r.measured} | {r.seconds:.0f} | {100 * r.error:.1f} % | {r.rank:.3f} | "
        f"{100 * r.madds_error:.1f} % | {r.madds_rank:.3f} | {100 * r.noise:.1f} % |"
        for r in rows
    ]
    middle = [float(np.median([row[i] for row in rows])) for i in range(4, 9)]
    lines.append(
        f"| **median** | | | | {100 * middle[0]:.1f} % | {middle[1]:.3f} | {100 * middle[2]:.1f} % | {middle[3]:.3f} | "
        f"{100 * middle[4]:.1f} % |"
    )
    return "\n".join([head, *lines]) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--input-shape", action="append", default=[], metavar="NAME:SIZES")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="Rows of earlier runs are kept there, and not measured again.")
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args(arguments)
    shapes = {one.partition(":")[0]: tuple(map(int, one.partition(":")[2].split(","))) for one in given.input_shape}
    rows = {}
    if given.results is not None and given.results.exists():
        kept = (Row(*json.loads(line)) for line in given.results.read_text(encoding="utf-8").splitlines())
        rows = {row.model: row for row in kept}
    for path in given.models:
        name = path.stem if path.stem != "model" else path.parent.name
        if name in rows:
            continue
        try:
            source = load(path, ParseOptions())
            fitting = {key: size for key, size in shapes.items() if key in source.network.inputs}
            row = measure(load(path, ParseOptions(input_shapes=fitting)), name, given.seed)
        except NatonnxError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
            continue
        rows[name] = row
        print(f"{name}: error {row.error:.3f}, Spearman {row.rank:.3f}, {row.seconds:.0f} s", file=sys.stderr)
        if given.results is not None:
            with given.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    text = table(list(rows.values()))
    print(text)
    if given.markdown is not None:
        given.markdown.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
