"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from natonnx.errors import InputError

__all__ = ["force_option", "input_shape_option", "json_option", "model_argument", "output_option", "print_json"]

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

model_argument: _Decorator = click.argument("model", type=click.Path(path_type=Path))
output_option: _Decorator = click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where to write.  [default: MODEL with .nat.onnx]"
)
force_option: _Decorator = click.option("--force", is_flag=True, help="Overwrite a file that natonnx did not write.")
json_option: _Decorator = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, nothing else there.")


def _parse_shapes(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for value in values:
        name, _, sizes = value.rpartition(":")
        try:
            shapes[name] = tuple(int(size) for size in sizes.split(","))
        except ValueError:
            name = ""
        if not name or any(size < 1 for size in shapes[name]):
            raise InputError(f"--input-shape {value}: write name:1,3,32,32, positive sizes with the batch first")
    return shapes


input_shape_option: _Decorator = click.option(
    "--input-shape",
    "input_shapes",
    multiple=True,
    metavar="NAME:N,C,H,W",
    callback=_parse_shapes,
    help="Sizes of an input that the file leaves open; may be repeated.",
)


def print_json(payload: object) -> None:
    """Print a payload to stdout as JSON."""
    import json

    from natonnx.report.payload import finite

    click.echo(json.dumps(finite(payload), indent=2, ensure_ascii=False))
