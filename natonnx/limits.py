"""Run other people's code over a model in a process of its own, with a limit in time and in memory.

Over a file of a few hundred bytes, onnx's checker and inference, and onnxruntime as it folds constants, can take any
time and any memory, and while they do no signal is heard. In a worker process they can be stopped. It starts at the
first call, in a fifth of a second, serves all further ones, and is replaced when it had to be stopped.

`NATONNX_LIMITS=10` in the environment grants ten times as much: a user's word that a model may take it.

Run as a program, this module is the worker: it imports what it is asked for, and nothing else.
"""

import atexit
import contextlib
import faulthandler
import functools
import hashlib
import importlib
import io
import math
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

from natonnx.errors import InputError

__all__ = ["LimitError", "limited", "memory_limited", "remedy", "renew", "scale"]

SECONDS = 3
"""CPU time for a model of no size; a third of that after each call that was stopped, until `renew`."""

TRIES = 4
"""Calls that may be stopped; then no more are made, until `renew`."""

MEMORY = 3 << 28
"""Bytes for a model of no size, beside what the worker takes itself."""

_LIBRARIES = 5 << 27
"""Bytes of address space that onnxruntime and what it infers shapes with take, loaded when they are needed."""

_SECONDS_A_BYTE = 1e-6
_MEMORY_A_BYTE = 32
_FEWER = 3
"""By which the time is divided after each call that was stopped."""
_SLACK = 4
"""Clock time for a second of CPU time: other processes may take their share."""
_START = 120.0
"""Seconds in which the worker must have started, and loaded what it is to call."""
_HEED = 0.1
"""Seconds that a signal may wait where waiting itself does not heed it, as on Windows."""
_ORPHAN = 10.0
"""Seconds beyond its time after which the worker ends by itself: nobody is there who would have stopped it."""

_SCALE = "NATONNX_LIMITS"
"""The environment variable that multiplies the limits."""

_LENGTH = struct.Struct("<Q")
_SEGMENT = 1 << 20
_READY = b"natonnx"
"""What the worker says when it has loaded what it is to call."""
_NO_MEMORY = ("bad_alloc", "bad allocation", "bfc_arena", "Failed to allocate memory", "BFCArena")
"""How C++ and onnxruntime say that there is no memory left."""


class LimitError(InputError):
    """What was asked for took too long or too much memory, or ended the worker process."""


def limited(function: str, *arguments: Any, size: int = 0, what: str) -> Any:
    """Call a function in the worker.

    Args:
        function: `package.module:name`, of natonnx.
        arguments: What it gets.
        size: Bytes that it works on; the limits grow with them.
        what: What it does, for messages.

    Returns:
        What it returns: None, numbers, text, bytes, and lists, tuples, dictionaries and sets of them.

    Raises:
        LimitError: If it exceeds a limit, or crashes.
        InputError: If it raises one itself.
    """
    seconds, memory = SECONDS + size * _SECONDS_A_BYTE, MEMORY + size * _MEMORY_A_BYTE
    return _worker().call(function, arguments, scale() * seconds, int(scale() * memory), what)


def scale() -> float:
    """Return the factor by which the user multiplies the limits; 1 where the environment says nothing.

    Raises:
        InputError: If it is no positive number.
    """
    given = os.environ.get(_SCALE) or "1"
    try:
        factor = float(given)
    except ValueError:
        factor = 0.0
    if not 0 < factor < math.inf:
        raise InputError(f"{_SCALE}={given}: is no positive number; {_SCALE}=10 multiplies the limits by ten")
    return factor


def remedy() -> str:
    """Say how the limits are raised, as the end of a refusal."""
    return f"if you trust the model, {_SCALE}={10 * scale():g} raises the limits"


@contextlib.contextmanager
def memory_limited(size: int) -> Iterator[None]:
    """Let this process take no more memory than the worker may, for what went well there and is done here too."""
    before = _address_space()
    if sys.platform != "win32" and before:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = before + int(scale() * (MEMORY + size * _MEMORY_A_BYTE))
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
            return
    yield


def renew() -> None:
    """Grant the full limits again: another model is read. What was stopped is still not tried again."""
    _worker().recent.clear()


@functools.cache
def _worker() -> "_Worker":
    worker = _Worker()
    atexit.register(worker.stop)
    return worker


class _Worker:
    """The worker process, as it is seen from here."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()
        self.stopped: dict[bytes, str] = {}
        """Why calls were stopped, by digests of them and their limits: none of them is made again."""
        self.recent: set[bytes] = set()
        """Those of them that were asked for since `renew`."""

    def call(self, function: str, arguments: tuple[Any, ...], seconds: float, memory: int, what: str) -> Any:
        """Have a call made; see `limited`."""
        with self._lock:
            call = pickle.dumps((function, arguments))
            digest = hashlib.sha256(pickle.dumps((call, seconds, memory))).digest()
            if digest not in self.stopped and len(self.recent) >= TRIES:
                raise LimitError(f"{what} is not tried: too much over this model was stopped before ({remedy()})")
            if digest not in self.stopped:
                kind, answer = self._made(call, seconds / _FEWER ** len(self.recent), memory)
                if kind == "stopped":
                    self.stopped[digest] = answer
            if digest in self.stopped:
                self.recent.add(digest)
                raise LimitError(f"{what} {self.stopped[digest]}")
        if kind == "error":
            raise InputError(answer)
        return answer

    def _made(self, call: bytes, seconds: float, memory: int) -> tuple[str, Any]:
        """Have a call made; return "done" and the answer, "error" or "stopped" and the reason."""
        process = self._started()
        try:
            kind, answer = self._answer(process, pickle.dumps((call, seconds, memory)), seconds)
        except BaseException as error:
            self.stop()
            if isinstance(error, TimeoutError):
                return "stopped", _slow(seconds)
            if isinstance(error, pickle.UnpicklingError):
                return "stopped", "crashed"
            if isinstance(error, (OSError, EOFError)):
                return "stopped", _ending(process.returncode, seconds)
            raise
        if kind == "memory":
            return "stopped", f"takes more than {memory / 2**30:.2g} GiB of memory, and was stopped ({remedy()})"
        return kind, answer

    def stop(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():  # a fork leaves it to whom it belongs
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self.stop()
            root = str(Path(__file__).absolute().parents[1])
            path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # ^C is for this process, which stops the worker
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # so says Windows
            )
            self._owner = os.getpid()
        return self._process

    @staticmethod
    def _answer(process: "subprocess.Popen[bytes]", request: bytes, seconds: float) -> tuple[str, Any]:
        """Ask, and wait for the answer; a signal is heard meanwhile.

        Raises:
            TimeoutError: If none came in time.
        """
        assert process.stdin is not None
        assert process.stdout is not None
        _send(process.stdin, request)
        said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=_pass_on, args=(process.stdout, said), daemon=True).start()
        _next(process, said, _START)
        kind, answer = _Plain(io.BytesIO(_next(process, said, _allowed(seconds)))).load()
        return str(kind), answer


def _allowed(seconds: float) -> float:
    """Clock time that so much CPU time may take."""
    return _SLACK * seconds + 1


def _pass_on(stream: IO[bytes], said: "queue.SimpleQueue[bytes | None]") -> None:
    """Read what the worker says to one call: that it is ready, and its answer; then None, as where it ends before.

    In a thread, for no system but POSIX can wait for a pipe and a clock at once.
    """
    with contextlib.suppress(OSError, ValueError, EOFError):  # it is stopped, and its pipe closed
        said.put(_exactly(stream, len(_READY)))
        (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
        said.put(_exactly(stream, length))
    said.put(None)


def _exactly(stream: IO[bytes], length: int) -> bytes:
    """Read so many bytes, taking no memory for those that do not come.

    Raises:
        EOFError: If there are not so many.
    """
    received = bytearray()
    while len(received) < length:
        chunk = stream.read(min(_SEGMENT, length - len(received)))
        if not chunk:
            raise EOFError
        received += chunk
    return bytes(received)


def _next(process: "subprocess.Popen[bytes]", said: "queue.SimpleQueue[bytes | None]", seconds: float) -> bytes:
    """Wait for what the worker says next.

    Raises:
        TimeoutError: If it does not come in time.
        EOFError: If it ended before.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = said.get(timeout=max(0.0, min(_HEED, deadline - time.monotonic())))
        except queue.Empty:
            if time.monotonic() >= deadline:
                raise TimeoutError from None
            continue
        if found is None:
            process.wait(1)
            raise EOFError
        return found


class _Plain(pickle.Unpickler):
    """Reads plain values alone: what a damaged worker sends can run nothing here."""

    def find_class(self, module_name: str, global_name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module_name}.{global_name}")


def _slow(seconds: float) -> str:
    return f"takes more than {seconds:.2g} s, and was stopped ({remedy()})"


def _ending(code: int | None, seconds: float) -> str:
    """How the worker ended, as the end of a sentence."""
    if sys.platform != "win32":
        if code == -signal.SIGXCPU:
            return _slow(seconds)
        if code == -signal.SIGKILL:
            return "was killed, perhaps for the memory that it took"
    return "crashed"


def _send(stream: IO[bytes], message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def _serve() -> None:
    """Answer calls until there are no more."""
    _die_with_parent()
    before = _address_space()
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)  # what libraries print is no answer
    while len(header := requests.read(_LENGTH.size)) == _LENGTH.size:
        call, seconds, memory = pickle.loads(requests.read(_LENGTH.unpack(header)[0]))  # noqa: S301
        _limit(None, None)  # those of the call before are not for what is loaded now
        try:
            function, arguments = pickle.loads(call)  # noqa: S301
            module, name = function.split(":")
            called = getattr(importlib.import_module(module), name)
            answers.write(_READY)
            answers.flush()
            faulthandler.dump_traceback_later(_allowed(seconds) + _ORPHAN, exit=True)
            _limit(seconds, before + _LIBRARIES + memory if before else None)
            answer = pickle.dumps(("done", called(*arguments)))
        except MemoryError:
            answer = pickle.dumps(("memory", None))
        except Exception as error:
            line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            answer = pickle.dumps(("memory" if any(sign in line for sign in _NO_MEMORY) else "error", line))
        faulthandler.cancel_dump_traceback_later()
        _send(answers, answer)


def _address_space() -> int:
    """Bytes that the process takes now; 0 where the system does not tell, as only Linux does."""
    if sys.platform != "win32":
        import resource

        with contextlib.suppress(OSError):
            return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    return 0


def _limit(seconds: float | None, memory: int | None) -> None:
    """Limit what the process may take from now on; where the system cannot, the clock of the caller is the limit.

    Args:
        seconds: CPU time; None for no limit.
        memory: Bytes of address space; None for no limit, as where it is not known how much there is already.
    """
    if sys.platform != "win32":
        import resource

        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
            until = None if seconds is None else int(used + seconds) + 1
            for kind, soft in ((resource.RLIMIT_CPU, until), (resource.RLIMIT_AS, memory)):
                hard = resource.getrlimit(kind)[1]
                resource.setrlimit(kind, (hard if soft is None else soft, hard))


def _die_with_parent() -> None:
    """On Linux, end at once when the process that started this one does, even while it hears nothing."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    _serve()
