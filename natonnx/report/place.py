"""Where a report may be written: nowhere that a file of another's would be lost."""

from pathlib import Path

from natonnx.errors import InputError
from natonnx.files import check_writable, is_same

__all__ = ["check_place"]

_HEAD_BYTES = 1024
"""Where the mark is looked for, from the start of a file."""


def check_place(path: Path, others: tuple[Path, ...], mark: str, option: str) -> None:
    """Refuse, before long work starts, a path where a report may not be written.

    Args:
        path: Where the report should go.
        others: Paths that are read or written beside it.
        mark: What every report of the kind has near its start.
        option: Of the command line, for messages.

    Raises:
        InputError: If it cannot be written, is one of the others, or holds something that is no such report.
    """
    if any(is_same(path, other) for other in others):
        raise InputError(f"{path}: is also the model, or another output of this command; choose another {option}")
    check_writable(path)
    if path.exists():
        if not path.is_file():
            raise InputError(f"{path}: is a device or pipe, which writing would replace; choose another {option}")
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); choose another {option}") from None
        if head and mark.encode() not in head:
            raise InputError(f"{path}: exists and natonnx did not write it; choose another {option}, or remove it")
