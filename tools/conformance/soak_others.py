"""Kill workers and ranks again and again: `python -m tools.conformance.soak_others --kills 100`.

Half of the runs post to a journal that two workers help with, half are two ranks of torchrun. A process is killed at
random moments, and another one comes in its place: a worker, the search itself by --resume, or all ranks, as torchrun
starts them anew. Each run must end with the same bytes as one that nothing hits.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click

from tools.command import run_command
from tools.conformance import tiny

__all__ = ["soak_journal", "soak_ranks"]

_SEARCH = (
    *("optimize", "model.onnx", "--data", "data.npz", "--threads", "1", "--lookups", "24", "--finetune-epochs", "8"),
    *("--target-madds", "0.55", "--max-drop", "40", "--seed", "5", "--json"),
)
_OUTPUT = "model.nat.onnx"
_WORKERS = 2
_PATIENCE = 600.0
_STEPS = (0.3, 4.0)
"""Seconds between two kills: least and most."""


def _in(folder: Path) -> Path:
    return tiny.fill(Path(tempfile.mkdtemp(dir=folder)))


def _expected(folder: Path, command: tuple[str, ...]) -> bytes:
    place = _in(folder)
    subprocess.run(command, cwd=place, env=_environment(), check=True, capture_output=True)
    return (place / _OUTPUT).read_bytes()


def _environment() -> dict[str, str]:
    return {**tiny.ENVIRONMENT, "OMP_NUM_THREADS": "1"}


def _alone() -> tuple[str, ...]:
    return (sys.executable, "-m", "natonnx", *_SEARCH)


def _on_ranks() -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("--max-restarts", "1000", "--monitor-interval", "0.1", "-m", "natonnx", *_SEARCH, "--force"),
    )


def soak_journal(kills: int, chance: random.Random, folder: Path, tell: Callable[[str], None]) -> list[str]:
    """Kill workers, and now and then the search, so many times in all; return what went wrong."""
    expected, done, wrong = _expected(folder, _alone()), 0, list[str]()
    while done < kills:
        place = _in(folder)
        workers = [_worker(place) for _ in range(_WORKERS)]
        search, begun, hits = tiny.start(*_SEARCH, "--journal", "journal", cwd=place), time.monotonic(), 0
        while search.poll() is None and time.monotonic() - begun < _PATIENCE:
            time.sleep(chance.uniform(*_STEPS))
            if search.poll() is not None or done + hits >= kills:
                continue
            hits += 1
            if chance.random() < 1 / 10:
                search.kill()
                search.communicate()
                resumed = ("--resume",) if (place / f"{_OUTPUT}.resume").exists() else ()
                search = tiny.start(*_SEARCH, "--journal", "journal", *resumed, cwd=place)
                continue
            which = chance.randrange(_WORKERS)
            workers[which].kill()
            workers[which].communicate()
            workers[which] = _worker(place)
        _, stderr = search.communicate()
        for worker in workers:
            worker.kill()
            worker.communicate()
        done += hits
        wrong += _judge("journal", place, search.returncode, stderr, expected, hits, done, tell)
    return wrong


def _worker(place: Path) -> "subprocess.Popen[str]":
    return tiny.start("worker", "--journal", "journal", "--threads", "1", "--lease", "3", cwd=place)


def soak_ranks(kills: int, chance: random.Random, folder: Path, tell: Callable[[str], None]) -> list[str]:
    """Kill ranks, which torchrun starts anew, so many times in all; return what went wrong."""
    expected, done, wrong = _expected(folder, _on_ranks()), 0, list[str]()
    while done < kills:
        place, hits = _in(folder), 0
        search = subprocess.Popen(
            _on_ranks(), cwd=place, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        begun = time.monotonic()
        while search.poll() is None and time.monotonic() - begun < _PATIENCE:
            time.sleep(chance.uniform(2.0, 10.0))  # they load torch for some seconds each time
            ranks = _children(search.pid)
            if ranks and search.poll() is None and done + hits < kills:
                hits += 1
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(ranks), signal.SIGKILL)
        if search.poll() is None:
            search.kill()
        _, stderr = search.communicate()
        done += hits
        wrong += _judge("ranks", place, search.returncode, stderr, expected, hits, done, tell)
    return wrong


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    return []


def _judge(
    kind: str,
    place: Path,
    code: int,
    stderr: str,
    expected: bytes,
    hits: int,
    done: int,
    tell: Callable[[str], None],
) -> list[str]:
    output = place / _OUTPUT
    same = code == 0 and output.exists() and output.read_bytes() == expected
    tell(f"{kind}: a run with {hits} kills ended with {code}, {'the same bytes' if same else 'OTHER'}; {done} in all")
    return [] if same else [f"{kind}: code {code}: {json.dumps(stderr[-1500:])}"]


@click.command()
@click.option("--kills", default=100, show_default=True, help="In all: half of workers and searches, half of ranks.")
@click.option("--seed", default=0, show_default=True)
def command(kills: int, seed: int) -> int:
    """Kill workers and ranks again and again, and compare what they find with a run that nothing hits."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    with tempfile.TemporaryDirectory() as folder:
        wrong = soak_journal(kills - kills // 2, chance, Path(folder), click.echo)
        wrong += soak_ranks(kills // 2, chance, Path(folder), click.echo)
    click.echo(f"{kills} kills: {len(wrong)} runs ended with anything else")
    for line in wrong:
        click.echo(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    run_command(command)
