"""What can go wrong, and the exit code each kind of failure ends a command with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "InputError",
    "NatonnxError",
    "SampleError",
    "VerificationError",
    "first_line",
    "naming",
    "restoring",
    "running",
    "what_ran",
]

_RUNNING = "natonnx was running "


class NatonnxError(Exception):
    """A failure that is told to the user in one line: what happened, where, and what to do."""

    exit_code = 3


class InputError(NatonnxError):
    """A bad option, model, data set or edit list: the user can mend it."""

    exit_code = 2


class SampleError(InputError):
    """A sample of the data that is bad, whatever was done as it was read."""


class VerificationError(NatonnxError):
    """A model that natonnx made failed one of its own checks; nothing was written."""

    exit_code = 3


def first_line(error: Exception) -> str:
    """The first line of another library's message that says anything; the exception's type where none does."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What is wrong within is said to be wrong with that file, but for samples of data."""
    try:
        yield
    except SampleError:
        raise
    except InputError as error:
        raise type(error)(f"{path}: {error}") from None


@contextmanager
def restoring() -> Iterator[None]:
    """What a saved state of another form makes the code within raise is told as an `InputError`."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"the saved state is not one of this search ({reason}); start the search anew") from None


@contextmanager
def running(what: str) -> Iterator[None]:
    """Note on an exception of the user's own code whose it is, and pass it on; see `what_ran`.

    Raises:
        InputError: If that code would end the program, whose exit codes are its own.
    """
    try:
        yield
    except NatonnxError:
        raise
    except SystemExit as error:
        raise InputError(f"{what}: ended the program ({error.code}): return or raise instead") from error
    except Exception as error:
        error.add_note(f"{_RUNNING}{what}")
        raise


def what_ran(error: Exception) -> str | None:
    """The user's own code that raised an exception; None where that was natonnx."""
    notes = (str(note) for note in getattr(error, "__notes__", ()))
    return next((note.removeprefix(_RUNNING) for note in notes if note.startswith(_RUNNING)), None)
