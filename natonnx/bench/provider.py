"""onnxruntime's execution providers: which one is asked for, which one is really used, and why another one is not."""

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from natonnx.errors import InputError
from natonnx.session import CPU

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["CPU", "find_provider", "open_saying", "provider_used", "why_not"]

_SUFFIX = "ExecutionProvider"
_REASONS = (r"with error: (.+)", r"(CUDA failure .+?)\s*;", r"EP Error (?:\S+ .*\) )?(.+)")
"""What onnxruntime says of a provider that it cannot load: the linker's words, the driver's, its own."""


def find_provider(name: str) -> str:
    """Find onnxruntime's own name of a provider: `cuda` is CUDAExecutionProvider.

    That this build of onnxruntime has it does not say that it works here; `provider_used` does.

    Args:
        name: In any case, with or without "ExecutionProvider".

    Raises:
        InputError: If this build of onnxruntime has no such provider.
    """
    import onnxruntime

    built = onnxruntime.get_available_providers()
    wanted = name.lower().removesuffix(_SUFFIX.lower())
    for provider in built:
        if provider.removesuffix(_SUFFIX).lower() == wanted:
            return str(provider)
    known = ", ".join(provider.removesuffix(_SUFFIX).lower() for provider in built)
    raise InputError(f"--provider {name}: this build of onnxruntime has {known}; choose one, or install another build")


def provider_used(runtime: "InferenceSession") -> str:
    """The provider that a session prefers, of those that could be loaded; nodes that it lacks run on the CPU."""
    return str(runtime.get_providers()[0])


def open_saying(opener: "Callable[[], InferenceSession]") -> "tuple[InferenceSession, str]":
    """Open a session, and return what onnxruntime says meanwhile instead of letting it onto stderr."""
    said = io.StringIO()
    with tempfile.TemporaryFile() as file:
        with _diverted(file.fileno()), contextlib.redirect_stderr(said):
            runtime = opener()
        file.seek(0)
        return runtime, file.read().decode(errors="replace") + said.getvalue()


@contextlib.contextmanager
def _diverted(target: int) -> Iterator[None]:
    """Lead file descriptor 2 elsewhere: onnxruntime's C++ writes there, past `sys.stderr`."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    os.dup2(target, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def why_not(said: str) -> str | None:
    """Find, in what onnxruntime said, why it does not use a provider; None where it did not say."""
    for pattern in _REASONS:
        if match := re.search(pattern, said):
            return match[1].strip()
    return None
