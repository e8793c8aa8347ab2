"""Peak memory of a process that loads and runs a model."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from natonnx.bench import fresh
from natonnx.errors import InputError

__all__ = ["peak_memory"]


def peak_memory(
    path: Path, inputs: Mapping[str, npt.NDArray[np.generic]], *, threads: int, provider: str
) -> int | None:
    """Load a model file in onnxruntime in a fresh process, run it once, and ask how large the process became.

    Args:
        path: The model.
        inputs: Its inputs.
        threads: onnxruntime's threads.
        provider: onnxruntime's name of the provider; its memory on a device is not counted.

    Returns:
        Bytes, with Python's, numpy's and onnxruntime's own; None where the system does not tell.

    Raises:
        InputError: If the process failed.
    """
    arrays = {f"name{i}": np.array(name) for i, name in enumerate(inputs)}
    arrays |= {f"value{i}": np.asarray(value) for i, value in enumerate(inputs.values())}
    with tempfile.TemporaryDirectory(prefix="natonnx.") as folder:
        archive = Path(folder) / "inputs.npz"
        np.savez(archive, allow_pickle=False, **arrays)
        command = [sys.executable, "-P", "-X", "utf8", fresh.__file__]
        command += [str(path.absolute()), str(archive), str(threads), provider]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)  # noqa: S603
    if done.returncode:
        *_, reason = [f"exit code {done.returncode}", *filter(None, map(str.strip, done.stderr.splitlines()))]
        raise InputError(f"{path}: a process that loads and runs it failed: {reason}")
    *_, last = ["", *done.stdout.split("\n")]
    return int(last) if last else None
