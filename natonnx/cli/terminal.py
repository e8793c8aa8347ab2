"""What stdout and stderr can show, and the one way by which results reach stdout."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["is_terminal", "page", "say", "stderr_console"]

_UNLIMITED = 1_000_000
"""Columns of what is no terminal: a line in a file or pipe ends where its text does."""


def is_terminal(stream: TextIO | None) -> bool:
    """Whether lines may be redrawn and the cursor moved: on a terminal that is not dumb, if NO_COLOR is not set."""
    return stream is not None and stream.isatty() and not _is_dumb() and not os.environ.get("NO_COLOR")


def say(text: str) -> None:
    """Write to stdout at once, so that what cannot be written is known while it can still be told."""
    if sys.stdout is not None:  # closed by the caller
        sys.stdout.write(text)
        sys.stdout.flush()


@contextlib.contextmanager
def page() -> Iterator["Console"]:
    """A console for a result; what it was given reaches stdout in one piece at the end."""
    text = io.StringIO()
    yield _console(sys.stdout, text)
    say(text.getvalue())


def stderr_console() -> "Console":
    """A console for progress."""
    return _console(sys.stderr, None)


def _console(stream: TextIO | None, file: TextIO | None) -> "Console":
    """A console that shows what a stream can.

    Colours: on a terminal, or with FORCE_COLOR; none with NO_COLOR (https://no-color.org, https://force-color.org).
    """
    from rich.console import Console, detect_legacy_windows

    class _Console(Console):
        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 - called while the error is handled; `main` knows how to end

    terminal = is_terminal(stream)
    is_plain = file is not None and detect_legacy_windows()  # whose colours are calls, and no characters
    forced = bool(os.environ.get("FORCE_COLOR")) and not os.environ.get("NO_COLOR")
    return _Console(
        file=file,
        stderr=stream is sys.stderr,
        force_terminal=terminal,
        force_jupyter=False,
        color_system=None if is_plain else "auto" if terminal else "standard" if forced else None,
        width=_width(stream),
        highlight=False,
        emoji=False,
    )


def _width(stream: TextIO | None) -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    if stream is None or not stream.isatty():
        return _UNLIMITED
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def _is_dumb() -> bool:
    return os.environ.get("TERM", "").lower() in ("dumb", "unknown")
