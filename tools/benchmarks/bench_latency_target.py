"""How often `--target-latency` is met where `natonnx optimize` says that it is: measured again by a loop of its own.

The loop knows nothing of natonnx's: plain sessions of the two files, opened anew again and again, run in turn on the
same input (the first validation sample of an archive, or random numbers), timed by the CPU time of the thread that runs
them.

    python -m tools.benchmarks.bench_latency_target models/resnet20-fashion.onnx models/vgg-fashion.onnx --runs 20
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime

from natonnx import Conditions, Settings, optimize
from natonnx.data import Data
from natonnx.data.shipped import BUILTIN, read_builtin

__all__ = ["Run", "main", "ratio"]

_TARGETS = (0.9, 0.8, 0.7, 0.6)
_PAIRS, _ROUNDS = 16, 15


class Run(NamedTuple):
    """One run of `optimize`.

    Attributes:
        model: The file and its folder.
        target: Most latency, as a fraction of the input's.
        seed: Of the search.
        said: The upper end of its interval; None where no model was written.
        found: What the independent loop measured; None where there was nothing to measure.
        seconds: That the run took.
    """

    model: str
    target: float
    seed: int
    said: float | None
    found: float | None
    seconds: float


def ratio(first: Path, second: Path, archive: str = "", *, seed: int = 0) -> float:
    """Return the CPU time of one file's runs over another's: the median over fresh pairs of sessions."""
    found = []
    for _ in range(_PAIRS):
        sessions = [_open(first), _open(second)]
        inputs = _inputs(sessions[0], archive, seed)
        times: list[list[float]] = [[], []]
        for round_ in range(_ROUNDS + 2):
            for i in (0, 1) if round_ % 2 else (1, 0):
                begun = time.thread_time()
                sessions[i].run(None, inputs)
                if round_ > 1:
                    times[i].append(time.thread_time() - begun)
        found.append(float(np.median(times[1]) / np.median(times[0])))
    return float(np.median(found))


def _open(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _inputs(session: onnxruntime.InferenceSession, archive: str, seed: int) -> dict[str, np.ndarray]:
    if archive:
        with np.load(archive) as arrays:
            return {one.name: arrays[f"val/{one.name}"][:1] for one in session.get_inputs()}
    generator = np.random.default_rng(seed)
    return {
        one.name: generator.standard_normal([n if isinstance(n, int) else 1 for n in one.shape]).astype(np.float32)
        for one in session.get_inputs()
    }


def _name(path: Path) -> str:
    return "/".join(path.with_suffix("").parts[-2:])


def thinned(samples: int | None) -> Data | None:
    """Return so many samples of each part of the built-in data; None, as the model's metadata says, for None."""
    return None if samples is None else {name: rows[:samples] for name, rows in read_builtin(BUILTIN[0], None).items()}


def measure(path: Path, archive: str, builtin: Data | None, target: float, seed: int, spent: float) -> Run:
    """Optimize a model without training, with so many seconds for latencies, and measure what was written."""
    settings = Settings(target_latency=target, training=False, lookups=12, max_drop=100, seed=seed)
    conditions = Conditions(seconds=spent)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.onnx"
        result = optimize(path, archive or builtin, output, settings=settings, latency=conditions, force=True)
        seconds = time.monotonic() - begun
        if result.output is None:
            return Run(_name(path), target, seed, None, None, seconds)
        (limit,) = [row for row in result.report["constraints"] if row["name"] == "latency_ms"]
        said = None if limit["interval"] is None else limit["interval"][1] / limit["limit"] * target
        return Run(_name(path), target, seed, said, ratio(path, output, archive, seed=seed), seconds)


def table(runs: list[Run]) -> str:
    """Counts by model, as Markdown."""
    lines = [
        "| model | runs | written | met, measured again | mean of target less measured | largest excess |",
        "|" + "---|" * 6,
    ]
    for model in [*dict.fromkeys(run.model for run in runs), "all"]:
        own = [run for run in runs if model in (run.model, "all")]
        written = [run for run in own if run.found is not None]
        gaps = [run.target - (run.found or 0.0) for run in written]
        met = sum(gap >= 0 for gap in gaps)
        mean, excess = (float(np.mean(gaps)), max(0.0, -min(gaps))) if gaps else (float("nan"), 0.0)
        lines.append(f"| {model} | {len(own)} | {len(written)} | {met} | {mean:.3f} | {excess:.3f} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="MODEL, or MODEL=DATA where its metadata names no built-in data.")
    parser.add_argument("--runs", type=int, default=20, help="Of each model.")
    parser.add_argument("--samples", type=int, help="Of the built-in data's parts, for shorter runs.  [default: all]")
    parser.add_argument("--seconds", type=float, default=6.0, help="Of measuring two models.  [default: %(default)s]")
    parser.add_argument("--results", type=Path, help="Runs of before are kept there, and not repeated.")
    given = parser.parse_args(arguments)
    runs, builtin = list[Run](), thinned(given.samples)
    if given.results is not None and given.results.exists():
        runs = [Run(*json.loads(line)) for line in given.results.read_text(encoding="utf-8").splitlines()]
    done = {(run.model, run.target, run.seed) for run in runs}
    for number in range(given.runs):
        for one in given.models:
            model, _, data = one.partition("=")
            target, seed = _TARGETS[number % len(_TARGETS)], number // len(_TARGETS)
            if (_name(Path(model)), target, seed) in done:
                continue
            runs.append(measure(Path(model), data, builtin, target, seed, given.seconds))
            print(runs[-1], file=sys.stderr, flush=True)
            if given.results is not None:
                with given.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(runs[-1]) + "\n")
    print(table(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
