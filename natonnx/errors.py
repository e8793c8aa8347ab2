"""What can go wrong, and the exit code each kind of failure ends a command with."""

__all__ = ["InputError", "NatonnxError", "VerificationError"]


class NatonnxError(Exception):
    """A failure that is told to the user in one line: what happened, where, and what to do."""

    exit_code = 3


class InputError(NatonnxError):
    """A bad option, model, data set or edit list: the user can mend it."""

    exit_code = 2


class VerificationError(NatonnxError):
    """A model that natonnx made failed one of its own checks; nothing was written."""

    exit_code = 3
