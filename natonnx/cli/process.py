"""The process around a command: its signals, its streams, and how it ends."""

import _thread
import contextlib
import errno
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

from natonnx import launched
from natonnx.report.text import visible

__all__ = [
    "Terminated",
    "abandon",
    "fail",
    "is_closed_pipe",
    "is_out_of_memory",
    "is_output_failure",
    "open_streams",
    "signals",
    "uncollected",
    "write_line",
]

_TERMINATING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
"""A terminal that closes says SIGHUP; Windows says SIGBREAK for ^Break, by which its CI systems cancel a job."""
_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


_LOADING, _AGAIN = 10.0, 0.05
"""Seconds that a signal waits for modules to be loaded, and after which it is sent again."""
_NO_MEMORY = ("can't allocate memory", "out of memory", "bad_alloc", "bfc_arena")


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Look for no cycles of garbage meanwhile: what a short command loads and makes lives to its end.

    Nor does Python look for them as it ends. Of `inspect` that alone takes 0.06 s, while it loads onnx 0.04 s.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Terminated(KeyboardInterrupt):
    """A signal that ends the process. What handles ^C, handles this: files are whole, and a search can be resumed."""

    def __init__(self, number: int) -> None:
        super().__init__("terminated")
        self.number = number


@contextlib.contextmanager
def signals() -> Iterator[list[KeyboardInterrupt]]:
    """Signals that end the process become exceptions, where nobody decided otherwise (`nohup` ignores SIGHUP).

    One that comes while modules load waits until they are.

    Yields:
        The exceptions so far: code that they hit may make another one of them, as the import of an extension does.
    """
    heard: list[KeyboardInterrupt] = []
    until: dict[int, float] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        until.setdefault(number, now + _LOADING)
        if _is_importing(frame) and now < until[number]:
            again = threading.Timer(_AGAIN, _send_again, (number,))
            again.daemon = True
            again.start()
            return
        heard.append(KeyboardInterrupt() if number == signal.SIGINT else Terminated(number))
        raise heard[-1]

    usual: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler}
    usual |= dict.fromkeys(_TERMINATING, signal.SIG_DFL)
    changed = []
    with contextlib.suppress(ValueError):  # not the main thread: signals are not ours
        for number, handler in usual.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, stop)
                changed.append(number)
    try:
        yield heard
    finally:
        for number in changed:
            signal.signal(number, usual[number])


def _send_again(number: int) -> None:
    if sys.platform == "win32":  # where `os.kill` ends a process, whatever it would do about a signal
        _thread.interrupt_main(signal.Signals(number))
    else:
        os.kill(os.getpid(), number)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being loaded: an exception in the midst of a library's own C++ may abort the process."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def open_streams() -> None:
    """Let nothing that is printed fail by its encoding, and no file that is opened be taken for a stream.

    A character that the encoding lacks is written as its escape, and lines end alike on all systems. A standard stream
    that the caller closed would lend its number to the next file, which whatever writes to that stream would then
    destroy.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace", newline="\n")


def is_closed_pipe(error: OSError) -> bool:
    """Whether whoever read the output stopped reading; of a pipe, Windows then says that the argument is invalid."""
    is_stream = error.filename is None
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and is_stream and error.errno == errno.EINVAL)


def is_output_failure(error: OSError) -> bool:
    """Whether there is no room to write, or the disk fails: the machine's fault, not the program's."""
    return error.errno in _OUTPUT


def is_out_of_memory(error: Exception) -> bool:
    """Whether there is no memory left, on this machine or its device."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _NO_MEMORY)


def abandon(stream: TextIO | None) -> None:
    """Send what a stream still holds to nowhere, so that the interpreter does not fail on it as it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())  # type: ignore[union-attr]
        os.close(null)


def fail(message: str) -> None:
    """Say what went wrong, in one line on stderr. Of several ranks, only the first one says it."""
    if launched.rank():
        return
    with contextlib.suppress(BrokenPipeError):
        write_line(f"natonnx: error: {visible(' '.join(message.split()))}")


def write_line(line: str) -> None:
    """Write a line to stderr. One that is closed or has no room is no reason to fail.

    Raises:
        BrokenPipeError: If whoever read it stopped reading.
    """
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError as error:
        abandon(sys.stderr)
        if is_closed_pipe(error):
            raise BrokenPipeError from error
