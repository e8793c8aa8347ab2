"""Several commands at once, and what is waited for meanwhile."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cli.tiny import ENVIRONMENT, Finished, Running

__all__ = ["ranks", "wait_for"]


def ranks(*arguments: str, cwd: Path, module: str = "natonnx") -> list[Finished]:
    """How two ranks end that are told what torchrun tells them: who they are, and where they meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = {
        **ENVIRONMENT,
        "TORCHELASTIC_RUN_ID": "none",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    own = [{**both, "RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
    running = [Running(module, arguments, cwd=cwd, environment=each) for each in own]
    with ThreadPoolExecutor() as threads:
        return list(threads.map(Running.finish, running))


def wait_for(happens: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it never happens"
        time.sleep(0.01)
