"""What can go wrong, and the exit code each kind of failure ends a command with."""

__all__ = ["InputError", "NatonnxError", "VerificationError", "first_line"]


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
