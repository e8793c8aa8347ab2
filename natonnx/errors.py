"""What can go wrong, and the exit code each kind of failure ends a command with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["InputError", "NatonnxError", "VerificationError", "first_line", "naming"]


class NatonnxError(Exception):
    """A failure that is told to the user in one line: what happened, where, and what to do."""

    exit_code = 3


class InputError(NatonnxError):
    """A bad option, model, data set or edit list: the user can mend it."""

    exit_code = 2


class VerificationError(NatonnxError):
    """A model that natonnx made failed one of its own checks; nothing was written."""

    exit_code = 3


def first_line(error: Exception) -> str:
    """The first line of another library's message that says anything; the exception's type where none does."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What is wrong within is said to be wrong with that file."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{path}: {error}") from None
