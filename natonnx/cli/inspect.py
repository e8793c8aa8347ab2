"""`natonnx inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from natonnx.cli.help import Command
from natonnx.cli.logs import log_options
from natonnx.cli.options import (
    html_option,
    json_option,
    model_argument,
    print_json,
    reading_options,
    transitions_option,
    write_report,
)
from natonnx.cli.process import uncollected
from natonnx.cli.terminal import page

if TYPE_CHECKING:
    from natonnx.frontend import ParseOptions

__all__ = ["inspect_command"]


@click.command(
    "inspect",
    cls=Command,
    short_help="Show what may change in a model.",
    examples=(
        ("natonnx inspect model.onnx", "edges, what may become what and why not, what each costs"),
        ("natonnx inspect model.onnx --granularity branch --html model.html", "by whole branches, and as a page"),
    ),
)
@uncollected()
@log_options
@model_argument
@reading_options
@transitions_option
@json_option
@html_option
def inspect_command(model: Path, reading: "ParseOptions", html: Path | None, as_json: bool) -> None:
    """Show MODEL as NAT sees it: feature maps, edges, what may become what and why not, parameters, MAdds."""
    from natonnx.verbs.inspect import inspect

    if html is not None:
        from natonnx.report.html import check_report

        check_report(html)
    payload = inspect(model, reading)
    if html is not None:
        write_report(html, payload)
    if as_json:
        print_json(payload)
        return
    from natonnx.report.console import show_inspection

    with page() as console:
        show_inspection(console, payload)
