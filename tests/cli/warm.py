"""Processes that need not load torch and the like: each is forked from one that has, and loads natonnx itself.

Only what reads nothing as the interpreter starts can be run so: no PYTHON... and no locale of its own.
"""

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["finish", "start"]

LIBRARIES = ("PIL.Image", "click", "dgl", "onnx_graphsurgeon", "rich.console", "torch")
_ROOT = Path(__file__).parents[2]


def start(
    arguments: Sequence[str],
    streams: Sequence[int],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    terminal: bool = False,
) -> int:
    """Start `python -m natonnx`; `finish` must follow.

    Args:
        arguments: Of natonnx.
        streams: Descriptors of its stdin, stdout and stderr.
        cwd: Where it runs.
        environment: All of its variables.
        terminal: Whether stdin is a terminal that becomes its own.

    Returns:
        The process's id.
    """
    request = {"arguments": list(arguments), "cwd": str(cwd), "environment": dict(environment), "terminal": terminal}
    link = _server()
    link.settimeout(120)  # it may have to load first
    socket.send_fds(link, [json.dumps(request).encode() + b"\n"], list(streams))
    return int(_line(link))


def finish(pid: int, seconds: float) -> int:
    """Wait until the process that was started last ends, or end it; returns its exit code, as `subprocess` does."""
    link = _server()
    link.settimeout(seconds)
    try:
        return int(_line(link))
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        link.settimeout(None)
        _line(link)
        raise


@functools.cache
def _server() -> socket.socket:
    mine, its = socket.socketpair()
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(its.fileno())],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            start_new_session=True,  # ^C is not for it
        )

    @atexit.register
    def stop() -> None:
        mine.close()
        process.wait()

    return mine


def _line(link: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        part = link.recv(1)
        assert part, "the process that commands are forked from has ended"
        line += part
    return line


def _requests(link: socket.socket) -> Iterator[tuple[dict[str, object], list[int]]]:
    while True:
        text, streams, _, _ = socket.recv_fds(link, 1 << 16, 3)
        while text and not text.endswith(b"\n"):
            text += link.recv(1 << 16)
        if not text:
            return
        yield json.loads(text), streams


def _serve(link: socket.socket) -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.collect()
    gc.freeze()
    for request, streams in _requests(link):
        pid = os.fork()
        if not pid:
            link.close()
            _run(streams, **request)  # type: ignore[arg-type]
            return
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(BrokenPipeError):
            link.sendall(f"{pid}\n".encode())
            link.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())


def _run(streams: list[int], arguments: list[str], cwd: str, environment: dict[str, str], *, terminal: bool) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    if terminal:
        fcntl.ioctl(streams[0], termios.TIOCSCTTY, 0)
    for descriptor, stream in enumerate(streams):
        os.dup2(stream, descriptor)
        os.close(stream)
    for name, mode, buffering in (("stdin", "r", -1), ("stdout", "w", -1), ("stderr", "w", 1)):
        before = getattr(sys, name)
        after = os.fdopen(before.fileno(), mode, buffering, before.encoding, before.errors, closefd=False)
        setattr(sys, name, after)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    sys.path[0] = cwd
    runpy.run_module("natonnx", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
