"""What a report says of where it was made: the command line and the versions that ran it."""

import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TypedDict

from natonnx import __version__

__all__ = ["Environment", "environment"]

_PACKAGES = {
    "onnx": ("onnx",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "torch": ("torch",),
    "dgl": ("dgl",),
}


class Environment(TypedDict):
    """The command line, None where there was none, and versions by package, None where one is not installed.

    "messages", where a policy ran, says what summed its messages: dgl, or torch and why.
    """

    command: str | None
    versions: dict[str, str | None]


def environment(arguments: Sequence[str] | None = None, messages: object = None) -> Environment:
    """The command line as it can be typed again, and versions; null for a package that is not installed.

    Imports none of the packages.

    Args:
        arguments: Those of the `natonnx` command; None where there was no such command.
        messages: What `natonnx.policy.backend.served` says.
    """
    found = {name: _version(names) for name, names in _PACKAGES.items()}
    summed = {} if messages is None else {"messages": str(messages)}
    return {
        "command": None if arguments is None else shlex.join(["natonnx", *arguments]),
        "versions": {"natonnx": __version__, **found, **summed, "python": platform.python_version()},
    }


def _version(names: Sequence[str]) -> str | None:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
