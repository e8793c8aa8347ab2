"""Options of the commands that measure, and what these say while they do."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from natonnx.cli.options import add_options, input_shape_option

__all__ = ["conditions_options", "tell", "warn_of_providers"]

_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Of onnxruntime."),
    click.option(
        "--provider",
        default="cpu",
        show_default=True,
        metavar="cpu|cuda|...",
        help="onnxruntime's execution provider; it is said which one really ran.",
    ),
    click.option("--batch", type=click.IntRange(1), help="Batch size, where the file leaves it open.  [default: 1]"),
    click.option(
        "--seconds",
        type=float,
        default=10.0,
        show_default=True,
        help="Of measuring latency, all models together; longer where ten sessions a model take longer.",
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

    Called, that makes the `natonnx.contest.Conditions`: what it imports is heavy.
    """

    def run(**arguments: Any) -> Any:
        fields = {name: arguments.pop(name) for name in _FIELDS}

        def conditions() -> Any:
            from natonnx.contest import Conditions

            return Conditions(**fields)

        return command(conditions=conditions, **arguments)

    return add_options(command, run, _OPTIONS)


def tell(message: str) -> None:
    """Say on stderr what is being done, if that is a terminal.

    In a line and not by a bar: what draws one would take time from what is timed.
    """
    if sys.stderr.isatty():
        click.echo(f"{message} ...", err=True)


def warn_of_providers(payload: Mapping[str, Any]) -> None:
    """Say it on stderr where a model did not run on the provider that was asked for."""
    asked = payload["conditions"]["provider"]
    for row in payload["models"]:
        if row["provider"] != asked:
            click.echo(
                f"natonnx: warning: {row['path']}: {asked} cannot be used here; onnxruntime took {row['provider']}",
                err=True,
            )
