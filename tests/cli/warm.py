"""Processes that need not load torch and the like: each is forked from one that has, and loads our own modules.

Those are compiled already, once for all of them, though none has been run.

Only what reads nothing as the interpreter starts can be run so: no PYTHON... of its own, but
for where bytecode lies, and no locale.
"""

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import importlib.machinery
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType
from typing import Any, NoReturn

__all__ = ["Command", "folder"]

LIBRARIES = ("PIL.Image", "click", "onnx_graphsurgeon", "rich.console", "torch")
"""And DGL where there is one. Those that start threads, as onnxruntime does, cannot be forked."""
_ROOT = Path(__file__).parents[2]
_PROGRAM = """#!{python}
import os, sys
sys.path.insert(0, {root!r})
from tests.cli.warm import Command
code = Command("natonnx", sys.argv[1:], range(3), cwd=os.getcwd(), environment=os.environ, folder={folder!r}).wait(3600)
sys.exit(code if code >= 0 else 128 - code)
"""


class Command:
    """A started `python -m MODULE`.

    Args:
        module: Its name.
        arguments: Of the program.
        streams: Descriptors of its stdin, stdout and stderr.
        cwd: Where it runs.
        environment: All of its variables.
        terminal: Whether stdin is a terminal that becomes its own.
        folder: Of the process that it is forked from; else that is started where there is none.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        streams: Sequence[int],
        *,
        cwd: str | Path,
        environment: Mapping[str, str],
        terminal: bool = False,
        folder: str | None = None,
    ) -> None:
        given = {
            "module": module,
            "arguments": list(arguments),
            "cwd": str(cwd),
            "environment": dict(environment),
            "terminal": terminal,
        }
        self._link = socket.socket(socket.AF_UNIX)
        self._link.settimeout(120)  # the other process may have to load first
        self._link.connect(f"{folder or _server()}/socket")
        socket.send_fds(self._link, [json.dumps(given).encode() + b"\n"], list(streams))
        self.pid = self._number()

    def wait(self, seconds: float) -> int:
        """Wait until it ends, or end it; returns its exit code, as `subprocess` does."""
        self._link.settimeout(seconds)
        with self._link:
            try:
                return self._number()
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
                raise

    def _number(self) -> int:
        line = b""
        while not line.endswith(b"\n"):
            part = self._link.recv(1)
            assert part, "the process that commands are forked from has ended"
            line += part
        return int(line)


def folder() -> Path:
    """Where a program `natonnx` lies that is run so."""
    return Path(_server())


@functools.cache
def _server() -> str:
    """Start the process that others are forked from; returns its folder."""
    folder = tempfile.mkdtemp(prefix="natonnx-")
    program = Path(folder, "natonnx")
    program.write_text(_PROGRAM.format(python=sys.executable, root=str(_ROOT), folder=folder), encoding="utf-8")
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/socket")
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(listener.fileno())],
            cwd=_ROOT,
            env={**os.environ, "DGLBACKEND": "pytorch"},  # else DGL prints, and writes to the home folder
            stdin=subprocess.PIPE,  # it ends when this is closed
            stdout=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,  # ^C is not for it
        )

    @atexit.register
    def stop() -> None:
        process.communicate()
        shutil.rmtree(folder)

    return folder


def _links(listener: socket.socket) -> Iterator[socket.socket]:
    while 0 not in select.select([0, listener.fileno()], [], [])[0]:  # until stdin is closed
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        yield listener.accept()[0]


def _request(link: socket.socket) -> tuple[dict[str, Any], list[int]]:
    text, streams, _, _ = socket.recv_fds(link, 1 << 16, 3)
    while not text.endswith(b"\n"):
        text += link.recv(1 << 16)
    return json.loads(text), streams


def _serve(listener: socket.socket) -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    with contextlib.suppress(Exception):  # natonnx does without
        importlib.import_module("dgl")
    _compile()
    gc.collect()
    gc.freeze()
    for link in _links(listener):
        if os.fork():
            link.close()
            continue
        listener.close()
        request, streams = _request(link)
        pid = os.fork()
        if not pid:
            link.close()
            _run(streams, **request)
        for stream in streams:
            os.close(stream)
        link.sendall(f"{pid}\n".encode())
        link.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())
        os._exit(0)


def _compile() -> None:
    """Have our modules' code at hand: where no bytecode is kept, a command would compile hundreds of them anew."""
    loader = importlib.machinery.SourceFileLoader
    find = loader.get_code
    paths = [str(path) for path in (_ROOT / "natonnx").rglob("*.py")]
    kept = {path: find(loader("", path), "") for path in paths}

    def get_code(self: importlib.machinery.SourceFileLoader, fullname: str) -> CodeType | None:
        return kept[self.path] if self.path in kept else find(self, fullname)

    loader.get_code = get_code  # type: ignore[assignment, method-assign]


def _run(
    streams: list[int], module: str, arguments: list[str], cwd: str, environment: dict[str, str], *, terminal: bool
) -> NoReturn:
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
    sys.pycache_prefix = environment.get("PYTHONPYCACHEPREFIX")
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in environment
    sys.argv[1:] = arguments
    sys.path[:1] = [cwd, str(_ROOT)]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        code = end.code
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # to free all that was loaded takes a quarter of a second


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
