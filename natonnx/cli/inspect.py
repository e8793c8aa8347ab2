"""`natonnx inspect`."""

from pathlib import Path

import click

from natonnx.cli.options import input_shape_option, json_option, model_argument, print_json

__all__ = ["inspect_command"]


@click.command("inspect")
@model_argument
@input_shape_option
@json_option
def inspect_command(model: Path, input_shapes: dict[str, tuple[int, ...]], as_json: bool) -> None:
    """Show MODEL as NAT sees it: feature maps, edges, what may become what and why not, parameters, MAdds."""
    from natonnx.api import inspect

    payload = inspect(model, input_shapes)
    if as_json:
        print_json(payload)
        return
    from rich.console import Console

    from natonnx.report.console import show_inspection

    show_inspection(Console(), payload)
