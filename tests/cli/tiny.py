"""What `tools.conformance.tiny` has, and the command run in a process of its own."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.cli import warm
from tools.conformance.tiny import (
    CLASSES,
    ENVIRONMENT,
    INPUT,
    ROOT,
    arrays,
    data_bytes,
    fill,
    heed_signals,
    model,
    model_bytes,
    snapshot,
    start,
)

__all__ = [
    "CLASSES",
    "ENVIRONMENT",
    "INPUT",
    "ROOT",
    "Finished",
    "Running",
    "arrays",
    "data_bytes",
    "fill",
    "heed_signals",
    "model",
    "model_bytes",
    "natonnx",
    "program",
    "snapshot",
    "start",
]

_PATIENCE = 300.0


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def natonnx(*arguments: str | Path, cwd: Path, stdin: str | bytes = b"", **environment: str) -> Finished:
    """Run the command line in a process of its own."""
    return program("natonnx", *arguments, cwd=cwd, stdin=stdin, **environment)


def program(module: str, *arguments: str | Path, cwd: Path, stdin: str | bytes = b"", **environment: str) -> Finished:
    """Run `python -m MODULE` in a process of its own."""
    command = [*map(str, arguments)]
    given = stdin.encode() if isinstance(stdin, str) else stdin
    if any(name.startswith(("PYTHON", "LC_")) for name in environment):  # the interpreter reads them as it starts
        done = subprocess.run(
            [sys.executable, "-m", module, *command],
            cwd=cwd,
            env={**ENVIRONMENT, **environment},
            input=given,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())
    with tempfile.TemporaryFile() as source:
        source.write(given)
        source.seek(0)
        running = Running(module, command, source.fileno(), cwd=cwd, environment={**ENVIRONMENT, **environment})
    return running.finish()


class Running:
    """A `python -m MODULE` that is forked (`tests/cli/warm.py`) and goes on in the background.

    Args:
        module: Its name.
        arguments: Of the program.
        stdin: Descriptor of what it reads; nothing unless it is given.
        cwd: Where it runs.
        environment: All of its variables.

    Attributes:
        stderr: What it says there.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        stdin: int | None = None,
        *,
        cwd: Path,
        environment: Mapping[str, str] = ENVIRONMENT,
    ) -> None:
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        with contextlib.ExitStack() as closing:
            for end in (out_end, err_end):
                closing.callback(os.close, end)
            source = closing.enter_context(open(os.devnull)).fileno() if stdin is None else stdin  # noqa: PTH123
            self._command = warm.Command(
                module, arguments, [source, out_end, err_end], cwd=cwd, environment=environment
            )
        self._stdout, self.stderr = os.fdopen(out), os.fdopen(err)

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._command.pid, number)

    def finish(self, patience: float = _PATIENCE) -> Finished:
        """Wait until it ends, or end it; returns what it has said since what was read."""
        with self._stdout as stdout, self.stderr as stderr, ThreadPoolExecutor() as readers:
            said = [readers.submit(stream.read) for stream in (stdout, stderr)]
            code = self._command.wait(patience)
        return Finished(code, *(text.result() for text in said))
