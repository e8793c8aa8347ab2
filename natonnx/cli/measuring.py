"""Options of the commands that measure, and what these say while they do."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from natonnx.cli.help import Section, option
from natonnx.cli.logs import notice
from natonnx.cli.options import add_options

__all__ = ["conditions_options", "tell"]

_log = logging.getLogger(__name__)


def _names(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Names, each in an option of its own or several with commas."""
    return tuple(name.strip() for value in values or ("cpu",) for name in value.split(","))


_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    option(
        Section.MACHINE,
        "--threads",
        type=click.IntRange(1, 1024),
        default=1,
        metavar="N",
        help="Threads of onnxruntime for each model.",
    ),
    option(
        Section.MACHINE,
        "--provider",
        multiple=True,
        callback=_names,
        metavar="NAME",
        show_default="cpu",
        shell_complete=lambda _context, _parameter, start: [n for n in ("cpu", "cuda") if n.startswith(start)],
        help="Where onnxruntime runs the models, such as cuda; it is said which one really ran. May be repeated: each"
        " is measured.",
    ),
    option(
        Section.MEASURING,
        "--seconds",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="How long latency is measured, all models together, on each provider; longer where ten sessions a model"
        " take longer.",
    ),
    option(
        Section.MEASURING,
        "--batch",
        type=click.IntRange(1),
        metavar="N",
        show_default="1",
        help="Samples of an inference, where the file leaves that open.",
    ),
    option(
        Section.MEASURING,
        "--warm-up",
        type=click.IntRange(0),
        default=3,
        metavar="N",
        help="Untimed runs of each fresh session.",
    ),
    option(
        Section.MEASURING,
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        default=0,
        metavar="N",
        help="Of the random inputs, of the resampling, and of the division of --data.",
    ),
)
_FIELDS = ("threads", "provider", "batch", "seconds", "warm_up", "seed", "input_shapes")


def conditions_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how models are measured; the command gets `conditions`.

    What `input_shape_option` says, which the command must have too, is among them. Called, that makes the
    `natonnx.verbs.model_comparison.Conditions`: what it imports is heavy.
    """

    def run(**arguments: Any) -> Any:
        fields = {name: arguments.pop(name) for name in _FIELDS}

        def conditions() -> Any:
            from natonnx.verbs.model_comparison import Conditions

            return Conditions(**fields)

        return command(conditions=conditions, **arguments)

    return add_options(command, run, _OPTIONS)


def tell(message: str) -> None:
    """Say what is being done: on a terminal, or with -v.

    In a line and not by a bar: what draws one would take time from what is timed.
    """
    if sys.stderr is not None and sys.stderr.isatty():
        notice(f"{message} ...")
    else:
        _log.info("%s ...", message)
