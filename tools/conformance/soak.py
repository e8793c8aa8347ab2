"""Kill `natonnx optimize` again and again, resume it, and compare: `python -m tools.conformance.soak --kills 100`.

Each time a run on a tiny model is hit by a signal at a random moment, and what it leaves is judged: the input as it
was, the output whole or absent, no part of it, a traceback nowhere. Then it is resumed, and must end with the same
bytes as the run that nothing hit. Half of the runs search by refits, half by Algorithm 1.
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import onnx

from tools.command import run_command
from tools.conformance import tiny

__all__ = ["Kill", "soak"]

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
COMMANDS = {
    "refit": ("--lookups=5", "--finetune-epochs", "1", "--target-madds", "0.55", "--max-drop", "40", "--seed", "5"),
    "paper": (
        *("--algorithm", "paper", "--epochs", "2", "--finetune-epochs", "1"),
        *("--finalists", "2", "--target-madds", "0.55", "--max-drop", "40", "--seed", "5"),
    ),
}
_OUTPUT = "model.nat.onnx"
_CHECKPOINT = f"{_OUTPUT}.resume"


class Kill(NamedTuple):
    """One kill.

    Attributes:
        algorithm: What was killed.
        signal: By which signal.
        moment: As a fraction of a whole run's time.
        left: What it left of its own: nothing, a state, or the output.
        problem: What was wrong; "" for nothing.
    """

    algorithm: str
    signal: str
    moment: float
    left: str
    problem: str


def soak(kills: int, seed: int, folder: Path, tell: Callable[[str], None] = print) -> list[Kill]:
    """Kill and resume so many runs, in folders of this one."""
    generator = random.Random(seed)  # noqa: S311 - not for secrets
    whole = {name: _whole(name, folder) for name in COMMANDS}
    done: list[Kill] = []
    for number in range(kills):
        name = sorted(COMMANDS)[number % len(COMMANDS)]
        expected, seconds = whole[name]
        moment, sent = generator.uniform(0.02, 1.02), generator.choice(SIGNALS)
        place = Path(tempfile.mkdtemp(dir=folder))
        found = _kill(name, sent, moment * seconds, tiny.fill(place), expected)
        done.append(Kill(name, sent.name, moment, *found))
        tell(f"{number + 1}: {name} {sent.name} at {moment:.2f}, left {found[0]}{': ' * bool(found[1])}{found[1]}")
    return done


def _start(name: str, folder: Path, *options: str) -> "subprocess.Popen[str]":
    command = ("optimize", "model.onnx", "--data", "data.npz", *COMMANDS[name], *options)
    return tiny.start(*command, cwd=folder, stdout=subprocess.DEVNULL)


def _whole(name: str, folder: Path) -> tuple[bytes, float]:
    """Return what a run that nothing hits writes, and how many seconds it takes."""
    place = tiny.fill(Path(tempfile.mkdtemp(dir=folder)))
    begun = time.monotonic()
    process = _start(name, place)
    _, stderr = process.communicate()
    if process.returncode:
        raise click.ClickException(f"{name}: ended with {process.returncode}: {stderr[-500:]}")
    return (place / _OUTPUT).read_bytes(), time.monotonic() - begun


def _kill(name: str, sent: signal.Signals, delay: float, folder: Path, expected: bytes) -> tuple[str, str]:
    """Kill one run and resume it; return what it left, and what is wrong."""
    given = tiny.snapshot(folder)
    process = _start(name, folder)
    time.sleep(delay)
    process.send_signal(sent)
    _, stderr = process.communicate()
    seen = tiny.snapshot(folder)
    visible = {file for file in seen.keys() - given.keys() if not file.startswith(".")}
    left = "the output" if _OUTPUT in visible else "a state" if _CHECKPOINT in visible else "nothing"
    if not given.items() <= seen.items():
        return left, "the input changed"
    if not visible <= {_OUTPUT, _CHECKPOINT}:
        return left, f"left {', '.join(sorted(visible))}"
    if "Traceback" in stderr:
        return left, f"a traceback: {stderr.splitlines()[-1]}"
    if _OUTPUT in visible:
        onnx.checker.check_model(onnx.load(folder / _OUTPUT), full_check=True)
    resumed = _start(name, folder, *(["--resume"] if _CHECKPOINT in visible else []))
    _, stderr = resumed.communicate()
    if resumed.returncode:
        return left, f"resumed, it ended with {resumed.returncode}: {stderr.splitlines()[-1:]}"
    if (folder / _OUTPUT).read_bytes() != expected:
        return left, "resumed, it ended with other bytes"
    rest = tiny.snapshot(folder).keys() - given.keys() - {_OUTPUT}
    return left, f"behind the end there is {', '.join(sorted(rest))}" if _CHECKPOINT in rest else ""


@click.command()
@click.option("--kills", default=100, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the moments and signals.")
def main(kills: int, seed: int) -> None:
    """Kill and resume runs of `natonnx optimize`; fail if anything is lost or differs."""
    with tempfile.TemporaryDirectory(prefix="natonnx-soak.") as folder:
        done = soak(kills, seed, Path(folder), click.echo)
    for what, count in sorted(Counter(f"{one.algorithm} {one.signal}, left {one.left}" for one in done).items()):
        click.echo(f"{what}: {count}")
    wrong = [one for one in done if one.problem]
    if wrong:
        sys.exit(f"{len(wrong)} of {kills} kills: something is wrong")


if __name__ == "__main__":
    run_command(main)
