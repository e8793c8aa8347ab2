"""What `tools.conformance.tiny` has, and the command run in a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

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
    "snapshot",
    "start",
]


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def natonnx(*arguments: str | Path, cwd: Path, stdin: str | bytes = b"", **environment: str) -> Finished:
    """Run the command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "natonnx", *map(str, arguments)],
        cwd=cwd,
        env={**ENVIRONMENT, **environment},
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=300,
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())
