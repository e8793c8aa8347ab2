"""Try mutated models one by one in a process with limits, and count what comes of them."""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.conformance.fuzz import trial
from tools.conformance.fuzz.corpus import corpus
from tools.conformance.fuzz.mutations import mutated

__all__ = ["SECONDS", "Process", "fuzz", "made"]

SECONDS = 20.0
"""Time that `inspect`, and time that `apply` may take: both together, twice that."""

_START = 120.0


def made(seed: int, number: int) -> tuple[str, bytes]:
    """Return the name of the model that an input is made of, and the input; the same for the same numbers."""
    generator = random.Random(f"{seed} {number}")  # noqa: S311 - not for secrets
    models = corpus()
    name = generator.choice(sorted(models))
    return name, mutated(models[name], generator)


class Process:
    """The process in which inputs are tried; another one takes its place when it had to be stopped, or died."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def attempt(self, path: Path) -> dict[str, str]:
        """Try a file; return what came of each command, "hang" or "died" among it, and the last words."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", trial.__name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
            self._line(_START)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path}\n".encode())
        self._process.stdin.flush()
        line = self._line(2 * self._seconds)
        if line:
            answer: dict[str, str] = json.loads(line)
            return answer
        outcome = "hang" if line is None else "died"
        self._stop()
        return {"inspect": outcome, "said": ""}

    def _line(self, seconds: float) -> bytes | None:
        """Wait for a line; b"" where the process died, None where none came in time."""
        assert self._process is not None
        assert self._process.stdout is not None
        deadline, received = time.monotonic() + seconds, b""
        while not received.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                return None
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece:
                return b""
            received += piece
        return received

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def fuzz(
    numbers: range, seed: int, folder: Path, *, seconds: float = SECONDS, tell: Callable[[str], None] = print
) -> Counter[str]:
    """Try inputs; those of which something wrong comes stay in the folder, with what was said.

    Returns:
        How many there were of each outcome, by "COMMAND OUTCOME".
    """
    counts: Counter[str] = Counter()
    folder.mkdir(parents=True, exist_ok=True)
    with Process(seconds) as process:
        for number in numbers:
            name, data = made(seed, number)
            path = folder / f"{seed}-{number}-{name}.onnx"
            path.write_bytes(data)
            begun = time.monotonic()
            answer = process.attempt(path)
            outcomes = {command: outcome for command, outcome in answer.items() if command != "said"}
            counts.update(f"{command} {outcome}" for command, outcome in outcomes.items())
            wrong = {command: one for command, one in outcomes.items() if one not in trial.SUCCESS}
            if time.monotonic() - begun > seconds and not wrong:
                wrong = {"both": "slow"}
                counts["both slow"] += 1
            if wrong:
                path.with_suffix(".txt").write_text(f"{wrong}\n{answer['said']}\n", encoding="utf-8")
                tell(f"{path}: {wrong}: {answer['said'].splitlines()[-1:]}")
            else:
                path.unlink()
            if (number + 1) % 500 == 0:
                tell(f"{number + 1}: {dict(sorted(counts.items()))}")
    return counts
