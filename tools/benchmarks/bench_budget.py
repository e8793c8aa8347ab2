"""Whether `natonnx optimize` keeps its time budget, and how soon it says what it will do, with much data.

`python -m tools.benchmarks.bench_budget` runs it on models and 60,000 training pictures: those that come with natonnx,
several times over, each copy with noise of its own.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from natonnx.data.shipped import read_builtin
from tools.command import run_command

_NOISE = 4
"""Grey levels, at most, either way."""
_MODELS = ("models/resnet20-fashion.onnx", "models/vgg-fashion.onnx", "models/mobilenetv2-fashion.onnx")


class Timed(NamedTuple):
    """A run: seconds until its first line, seconds in all, exit code, and the last line of its output."""

    first: float
    seconds: float
    code: int
    last: str


@click.command()
@click.argument("models", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--budget", default="30,60,120", show_default=True, help="Seconds, with commas between.")
@click.option("--samples", default=60_000, show_default=True, type=click.IntRange(1), help="Of training data.")
@click.option("--more", default="--target-madds 0.65", show_default=True, help="Further options of `optimize`.")
def main(models: Sequence[Path], budget: str, samples: int, more: str) -> None:
    """Run `natonnx optimize` on MODELS, those of models/ by default, with each budget."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        write_data(data, samples)
        click.echo(f"{samples:,} training pictures; {more}")
        click.echo("| model | budget, s | first line, s | in all, s | of the budget | last line |")
        click.echo("|---|---|---|---|---|---|")
        for model in models or [Path(model) for model in _MODELS]:
            for seconds in map(float, budget.split(",")):
                options = ["--data", str(data), "-o", str(Path(folder) / "out.onnx"), *more.split()]
                found = run(["optimize", str(model), *options, "--time-budget", str(seconds)])
                cells = [model.stem, f"{seconds:g}", f"{found.first:.1f}", f"{found.seconds:.1f}"]
                last = found.last if found.code == 0 else f"exit {found.code}: {found.last}"
                click.echo(f"| {' | '.join(cells)} | {found.seconds / seconds:.2f} | {last} |")


def write_data(path: Path, samples: int) -> None:
    """Write training data of so many samples; validation and test are the built-in ones."""
    arrays = read_builtin("fashion-mnist", None)
    chosen = np.arange(samples) % len(arrays["x_train"])
    images = arrays["x_train"][chosen].astype(np.int16)
    images += np.random.default_rng(0).integers(-_NOISE, _NOISE + 1, images.shape, np.int16)
    arrays |= {"x_train": images.clip(0, 255).astype(np.uint8), "y_train": arrays["y_train"][chosen]}
    np.savez(path, allow_pickle=False, **arrays)


def run(arguments: Sequence[str]) -> Timed:
    """Run natonnx, and time its first line of stderr and its end."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "natonnx", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines, first = [], 0.0
        for line in process.stdout:
            first = first or time.monotonic() - begun
            lines.append(line.strip())
    lines = [line for line in lines if line]
    return Timed(first, time.monotonic() - begun, process.returncode, lines[-1] if lines else "")


if __name__ == "__main__":
    run_command(main)
