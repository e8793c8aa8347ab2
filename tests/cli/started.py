"""Commands in the background, in processes that need not load torch and the like: see `tests.cli.warm`."""

import os
import socket
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.cli import tiny, warm
from tests.cli.tiny import Finished

__all__ = ["Started", "ranks", "wait_for"]

_PATIENCE = 250.0


class Started:
    """A command that goes on by itself, and heeds signals.

    Args:
        arguments: Of the program.
        cwd: Where it runs.
        module: The program.
        environment: Variables besides the usual ones.
    """

    def __init__(self, *arguments: str, cwd: Path, module: str = "natonnx", **environment: str) -> None:
        self._said = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]  # noqa: SIM115 - `wait` closes them
        with Path(os.devnull).open("rb") as nothing:
            streams = [nothing.fileno(), *(stream.fileno() for stream in self._said)]
            variables = {**tiny.ENVIRONMENT, **environment}
            self._command = warm.Command(module, arguments, streams, cwd=cwd, environment=variables)

    def send(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        with suppress(ProcessLookupError):
            os.kill(self._command.pid, number)

    def stderr(self) -> str:
        """What it has told so far."""
        descriptor = self._said[1].fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()

    def wait(self) -> Finished:
        """Wait until it ends; the code of one that a signal killed is negative."""
        code = self._command.wait(_PATIENCE)
        texts = []
        for stream in self._said:
            with stream:
                stream.seek(0)
                texts.append(stream.read().decode())
        return Finished(code, *texts)


def ranks(*arguments: str, cwd: Path, module: str = "natonnx") -> list[Finished]:
    """How two ranks end that are told what torchrun tells them: who they are, and where they meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = {
        "TORCHELASTIC_RUN_ID": "none",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    started = [Started(*arguments, cwd=cwd, module=module, **both, RANK=rank, LOCAL_RANK=rank) for rank in "01"]
    with ThreadPoolExecutor() as threads:
        return list(threads.map(Started.wait, started))


def wait_for(happens: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it never happens"
        time.sleep(0.01)
