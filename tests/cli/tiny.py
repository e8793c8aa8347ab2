"""What `tools.conformance.tiny` has, and the command run in a process of its own."""

import os
import subprocess
import sys
import tempfile
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
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        started = warm.Command(
            module, command, [source.fileno(), out_end, err_end], cwd=cwd, environment={**ENVIRONMENT, **environment}
        )
    os.close(out_end)
    os.close(err_end)
    with os.fdopen(out) as stdout, os.fdopen(err) as stderr, ThreadPoolExecutor() as readers:
        said = [readers.submit(stream.read) for stream in (stdout, stderr)]
        code = started.wait(_PATIENCE)
    return Finished(code, *(text.result() for text in said))
