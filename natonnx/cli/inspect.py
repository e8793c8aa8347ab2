"""`natonnx inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from natonnx.cli.options import json_option, model_argument, print_json, reading_options

if TYPE_CHECKING:
    from natonnx.frontend import ParseOptions

__all__ = ["inspect_command"]


@click.command("inspect")
@model_argument
@reading_options
@json_option
def inspect_command(model: Path, reading: "ParseOptions", as_json: bool) -> None:
    """Show MODEL as NAT sees it: feature maps, edges, what may become what and why not, parameters, MAdds."""
    from natonnx.api import inspect

    payload = inspect(model, reading)
    if as_json:
        print_json(payload)
        return
    from rich.console import Console

    from natonnx.report.console import show_inspection

    show_inspection(Console(), payload)
