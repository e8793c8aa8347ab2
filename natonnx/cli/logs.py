"""-v, -q and --log-file: what is told beside the result. The one place where logging is configured.

All modules log to loggers named after them. On stderr come warnings, and notices unless -q is given, with -v what
happens (info), with -vv how (debug). A log file gets all of it, with times.
"""

import contextlib
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from natonnx import launched
from natonnx.cli.help import Section, option
from natonnx.cli.options import Arguments, add_options
from natonnx.cli.process import write_line
from natonnx.cli.terminal import is_terminal
from natonnx.errors import InputError, NatonnxError
from natonnx.notices import NOTICE
from natonnx.report.text import visible

__all__ = ["log_options", "notice", "shows_progress"]

_LEVELS = {-1: logging.WARNING, 0: NOTICE, 1: logging.INFO, 2: logging.DEBUG}
_LOGGERS = ("natonnx", "py.warnings")
_MARK = "natonnx log"
_ELSEWHERE = {"elsewhere": True}
"""Marks a record that stderr is told in another way."""

_log = logging.getLogger(__name__)

_OPTIONS = (
    option(
        Section.MESSAGES,
        "-v",
        "--verbose",
        count=True,
        show_default=False,
        help="Also say on stderr what is done; -vv: all that a developer may ask.",
    ),
    option(Section.MESSAGES, "-q", "--quiet", is_flag=True, help="Say nothing on stderr but warnings and errors."),
    option(
        Section.MESSAGES,
        "--log-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Append all that -vv says to a log, with times; a file that is no log of natonnx is refused.",
    ),
)


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how much is told; the command runs with logging set up accordingly."""

    def run(verbose: int, quiet: bool, log_file: Path | None, **arguments: Any) -> Any:
        if verbose and quiet:
            raise click.UsageError("--verbose and --quiet exclude each other; choose one")
        level = logging.CRITICAL if launched.rank() else _LEVELS[min(_verbosity(), 2)]
        with _logging(level), contextlib.nullcontext() if log_file is None else _file(log_file):
            return command(**arguments)

    return add_options(command, run, _OPTIONS)


def notice(message: str) -> None:
    """Say a line on stderr, unless -q is given."""
    _log.log(NOTICE, "%s", message)


def shows_progress() -> bool:
    """Whether progress is shown: not with -q; with -v, which tells of every step, only as bars."""
    return _verbosity() == 0 or (_verbosity() > 0 and is_terminal(sys.stderr))


def _verbosity() -> int:
    given = click.get_current_context().params
    return -1 if given["quiet"] else int(given["verbose"])


class _Line(logging.Formatter):
    """A record in one line for people."""

    def format(self, record: logging.LogRecord) -> str:
        line = visible(" ".join(record.getMessage().split()))
        return f"natonnx: {record.levelname.lower()}: {line}" if record.levelno >= logging.WARNING else line


class _Entry(logging.Formatter):
    """A record in one line of a log, then its traceback if it has one."""

    def format(self, record: logging.LogRecord) -> str:
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(record.created))}.{int(record.msecs):03d}"
        zone = time.strftime("%z", time.localtime(record.created))
        line = f"{at}{zone} {record.levelname} {record.name}: {visible(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Stderr(logging.Handler):
    """Writes to what `sys.stderr` is at the time: while there are bars, that is what prints above them."""

    def emit(self, record: logging.LogRecord) -> None:
        if not hasattr(record, "elsewhere"):
            write_line(self.format(record))


class _File(logging.FileHandler):
    """A log that says once that it cannot go on, and lets the command do so."""

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self)
        error = sys.exc_info()[1]
        reason = error.strerror if isinstance(error, OSError) else error
        _log.warning("%s: cannot be written any more (%s); the log ends here", self.baseFilename, reason)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what there was no room for is tried again
            super().close()


@contextlib.contextmanager
def _logging(level: int) -> Iterator[None]:
    """Log to stderr, Python's own warnings too; then put everything back."""
    logging.addLevelName(NOTICE, "NOTICE")
    handler = _Stderr(level)
    handler.setFormatter(_Line())
    logging.captureWarnings(True)
    try:
        with _attached(handler):
            yield
    finally:
        logging.captureWarnings(False)


@contextlib.contextmanager
def _file(path: Path) -> Iterator[None]:
    """Log to a file too: the command, its environment, all records, and how it ends."""
    handler = _open(path)
    with contextlib.closing(handler), _attached(handler):
        _tell_environment()
        begun = time.monotonic()
        try:
            yield
        except BaseException as error:
            is_defect = isinstance(error, Exception) and not isinstance(error, NatonnxError | click.ClickException)
            what = f"{type(error).__name__}: {error}".rstrip(": ")
            _log.error("ended by %s", what, exc_info=is_defect, extra=_ELSEWHERE)
            raise
        finally:
            _log.debug("ended after %.1f s", time.monotonic() - begun, extra=_ELSEWHERE)


def _open(path: Path) -> _File:
    from natonnx.report.place import check_place

    check_place(path, (), _MARK, "--log-file")
    try:
        handler = _File(path, mode="a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another --log-file") from None
    handler.setFormatter(_Entry())
    return handler


def _tell_environment() -> None:
    from natonnx.report.environment import environment

    made = environment(click.get_current_context().find_object(Arguments) or ())
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in made["versions"].items())
    _log.debug("%s of: %s", _MARK, made["command"], extra=_ELSEWHERE)
    _log.debug("versions: %s", versions, extra=_ELSEWHERE)
    _log.debug("machine: %s, %d CPUs; folder: %s", platform.platform(), os.cpu_count(), Path.cwd(), extra=_ELSEWHERE)


@contextlib.contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(min(handler.level or logging.DEBUG, logger.level or logging.CRITICAL))
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
