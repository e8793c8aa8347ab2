"""Options of the commands that measure, and what these say while they do."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from natonnx.cli.logs import notice
from natonnx.cli.options import add_options, input_shape_option

__all__ = ["conditions_options", "tell"]

_log = logging.getLogger(__name__)


def _names(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Names, each in an option of its own or several with commas."""
    return tuple(name.strip() for value in values or ("cpu",) for name in value.split(","))


_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Of onnxruntime."),
    click.option(
        "--provider",
        multiple=True,
        callback=_names,
        metavar="cpu|cuda|...",
        shell_complete=lambda _context, _parameter, start: [n for n in ("cpu", "cuda") if n.startswith(start)],
        help="onnxruntime's execution provider; it is said which one really ran. May be repeated: each is measured."
        "  [default: cpu]",
    ),
    click.option("--batch", type=click.IntRange(1), help="Batch size, where the file leaves it open.  [default: 1]"),
    click.option(
        "--seconds",
        type=float,
        default=10.0,
        show_default=True,
        help="Of measuring latency, all models together, on each provider; longer where ten sessions a model take"
        " longer.",
    ),
    click.option(
        "--warm-up", type=click.IntRange(0), default=3, show_default=True, help="Untimed runs of each fresh session."
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        default=0,
        show_default=True,
        help="Of the random inputs, of the resampling, and of the division of --data.",
    ),
    input_shape_option,
)
_FIELDS = ("threads", "provider", "batch", "seconds", "warm_up", "seed", "input_shapes")


def conditions_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how models are measured; the command gets `conditions`.

    Called, that makes the `natonnx.verbs.model_comparison.Conditions`: what it imports is heavy.
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
