"""Programs under a real pseudo-terminal."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.cli import tiny, warm

__all__ = ["Shown", "Terminal", "natonnx"]

_PATIENCE = 60.0
"""Seconds after which a program that says nothing of what is awaited has failed."""


class Shown(NamedTuple):
    """How a program ended, and all that it wrote to the terminal, stdout and stderr, with `\\n` between lines."""

    code: int
    text: str


class Terminal:
    """A program whose stdin, stdout and stderr are a terminal.

    Args:
        command: The program and its arguments.
        cwd: Where it runs.
        columns: Width of the terminal.
        environment: Beside the tests' own; without COLUMNS, which would hide the width.
    """

    def __init__(
        self, command: Sequence[str], *, cwd: Path, columns: int = 80, environment: Mapping[str, str] | None = None
    ) -> None:
        self.text = ""
        master, slave = _opened(columns)
        self.pid = os.fork()
        if not self.pid:
            try:
                os.close(master)
                _log_in(slave)
                tiny.heed_signals()
                os.chdir(cwd)
                os.execvpe(command[0], list(command), _variables(environment))  # noqa: S606
            finally:
                os._exit(127)
        os.close(slave)
        self._terminal = master
        self._code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self._terminal)

    def send(self, text: str) -> None:
        """Type."""
        os.write(self._terminal, text.encode())

    def wait_for(self, text: str) -> str:
        """Read until the text comes; returns what came before and with it, and forgets it."""
        end = time.monotonic() + _PATIENCE
        while text not in self.text:
            assert self._read(end - time.monotonic()), f"{text!r} never came: {self.text!r}"
        before, _, self.text = self.text.partition(text)
        return before + text

    def finish(self) -> Shown:
        """Read to the end."""
        end = time.monotonic() + _PATIENCE
        while self._read(end - time.monotonic()):
            pass
        self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return Shown(self._code, self.text.replace("\r\n", "\n"))

    def _read(self, seconds: float) -> bool:
        part = _read(self._terminal, seconds)
        self.text += part
        return bool(part)


def natonnx(
    *arguments: str | Path, cwd: Path, columns: int = 80, environment: Mapping[str, str] | None = None
) -> Shown:
    """Run the command line on a terminal."""
    master, slave = _opened(columns)
    variables = _variables(environment)
    started = warm.Command(
        "natonnx", [*map(str, arguments)], 3 * [slave], cwd=cwd, environment=variables, terminal=True
    )
    os.close(slave)
    end, text = time.monotonic() + _PATIENCE, ""
    while part := _read(master, end - time.monotonic()):
        text += part
    os.close(master)
    return Shown(started.wait(_PATIENCE), text.replace("\r\n", "\n"))


def _opened(columns: int) -> tuple[int, int]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    return master, slave


def _variables(environment: Mapping[str, str] | None) -> dict[str, str]:
    hidden = {"COLUMNS", "NO_COLOR", "FORCE_COLOR"}
    inherited = {name: value for name, value in tiny.ENVIRONMENT.items() if name not in hidden}
    return {**inherited, "TERM": "xterm-256color", **(environment or {})}


def _read(terminal: int, seconds: float) -> str:
    """What has been written; nothing where nobody holds the other end any more."""
    ready, _, _ = select.select([terminal], [], [], max(seconds, 0))
    assert ready, "it hangs"
    try:
        return os.read(terminal, 1 << 16).decode(errors="replace")
    except OSError:  # Linux's way to say so
        return ""


def _log_in(slave: int) -> None:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for descriptor in range(3):
        os.dup2(slave, descriptor)
    if slave > 2:
        os.close(slave)
