"""Check natonnx on one GPU, and print what it found in Markdown: python -m tools.benchmarks.check_gpu.

Step times and memory of the supernet against native torch, whether a training step waits for the host, whether the GPU
computes what the CPU does, look-ups per second, and a short search. Exit code 1: something waits, or differs by more
than rounding; 2: there is no GPU. `--device cpu` runs the same on the CPU, by small numbers, to check the check.
"""

import platform
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import torch

from natonnx.errors import InputError
from tools.benchmarks.bench_supernet import NETWORKS
from tools.benchmarks.check_gpu import equality, searching, steps, waits
from tools.command import run_command

_MODEL = Path(__file__).parents[3] / "models" / "resnet20-fashion.onnx"


@click.command()
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option("--networks", default=",".join(NETWORKS), show_default=True, help="With commas between.")
@click.option("--batch", type=click.IntRange(2), help="[default: 64; 4 on the CPU]")
@click.option("--rounds", type=click.IntRange(2), help="Of the clock. [default: 15; 2 on the CPU]")
@click.option("--cases", type=click.IntRange(1), help="ONNX's cases of each operator. [default: all; 1 on the CPU]")
@click.option("--lookups", type=click.IntRange(1), help="[default: 40; 2 on the CPU]")
@click.option("--model", type=click.Path(path_type=Path), default=_MODEL, help="Is searched. [default: ResNet-20]")
@click.option("--data", help="Of that model, where it does not say so itself.")
def main(
    device: str,
    networks: str,
    batch: int | None,
    rounds: int | None,
    cases: int | None,
    lookups: int | None,
    model: Path,
    data: str | None,
) -> None:
    """Check natonnx on one GPU, in under ten minutes; the result is Markdown."""
    names = networks.split(",")
    if unknown := [name for name in names if name not in NETWORKS]:
        raise InputError(f"no network is called {unknown[0]!r}; there are {', '.join(NETWORKS)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("torch sees no CUDA device here; --device cpu runs the same checks on the CPU")
    small, place, begun = device == "cpu", torch.device(device), time.monotonic()
    torch.backends.cudnn.allow_tf32 = False  # as natonnx optimize has it
    name = platform.processor() or "a CPU" if small else torch.cuda.get_device_name()
    print(f"natonnx on {name}, torch {torch.__version__}\n")
    size, turns = batch or (4 if small else 64), rounds or (2 if small else 15)
    _show("A training step against native torch in channels_last", steps.HEADER, steps.rows(names, size, turns, place))
    found = [waits.look(name, size, place) for name in names]
    _show("What waits for the host, in ten training steps and a scoring pass", waits.HEADER, (row for row, _ in found))
    operators = equality.operators(place, cases or (1 if small else None))
    copied = equality.batches(place)
    _show("The op table and batches against the CPU", equality.HEADER, [operators.row, copied.row])
    trained = [equality.training_step(name, size, place) for name in names]
    _show("The weights after a training step against the CPU", equality.HEADER, (each.row for each in trained))
    many = lookups or (2 if small else 40)
    _show("Searching", searching.HEADER, searching.rows(model, data, many, place))
    compared = (operators, copied, *trained)
    bad = [each.worst for each in compared if not each.passed] + [told for _, told in found if told]
    print(f"{time.monotonic() - begun:.0f} seconds. " + ("; ".join(bad) if bad else "All as it should be."))
    sys.exit(bool(bad))


def _show(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"## {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)
    print()


if __name__ == "__main__":
    run_command(main)
