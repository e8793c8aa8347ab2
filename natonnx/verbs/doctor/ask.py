"""Ask probes, each in a process of its own: one that crashes or hangs is an answer like any other."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path

from natonnx.verbs.doctor.answer import Answer, answer

__all__ = ["Asker"]

_TOGETHER = 2
"""Processes at once: each may take 300 MiB, and a processor."""
_PARTING = 2.0
"""Seconds that a killed process is waited for: one that is stuck in a driver does not end."""


class Asker:
    """Asks probes; made where an event loop runs.

    Args:
        seconds: That a probe may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._room = asyncio.Semaphore(_TOGETHER)

    async def ask(self, probe: str, argument: str = "") -> Answer:
        """Run a probe of `natonnx.verbs.doctor.probe` and return what it answers, or how it failed to."""
        async with self._room:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "natonnx.verbs.doctor.probe", probe, argument),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                env={**os.environ, "PYTHONPATH": _path()},
            )
            try:
                said, errors = await asyncio.wait_for(process.communicate(), self._seconds)
            except TimeoutError:
                return answer("broken", f"does not answer within {self._seconds:g} s (--timeout)")
            finally:
                await _end(process)
        return _read(said, errors, process.returncode or 0)


def _path() -> str:
    """Where this process finds modules: probes find the same ones."""
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)


async def _end(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _PARTING)


def _read(said: bytes, errors: bytes, code: int) -> Answer:
    """What a probe that ended answered."""
    ending = f"ends with exit code {code}"
    if code < 0:
        with suppress(ValueError):
            ending = f"crashes by {signal.Signals(-code).name}"
    try:
        found: Answer = json.loads(said)
    except ValueError:
        *_, reason = ["", *filter(None, map(str.strip, errors.decode(errors="replace").splitlines()))]
        return answer("broken", f"{ending}: {reason}" if reason else ending)
    return answer("broken", f"{found['detail']}, but then it {ending}") if code else found
