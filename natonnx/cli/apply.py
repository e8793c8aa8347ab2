"""`natonnx apply`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from natonnx.cli.logs import log_options, notice
from natonnx.cli.options import (
    force_option,
    json_option,
    model_argument,
    output_option,
    print_json,
    reading_options,
)
from natonnx.cli.process import uncollected
from natonnx.errors import InputError
from natonnx.files import read_bytes

if TYPE_CHECKING:
    from natonnx.frontend import ParseOptions

__all__ = ["apply_command"]


@click.command("apply")
@log_options
@model_argument
@click.argument("edits", type=click.Path(path_type=Path, allow_dash=True))
@output_option
@click.option("--pick", type=int, metavar="K", help="Take the K-th model of the report's front, not the output.")
@click.option(
    "--torch",
    "module",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the result as a torch module, by torch.save.",
)
@reading_options
@force_option
@json_option
@uncollected()
def apply_command(
    model: Path,
    edits: Path,
    output: Path | None,
    pick: int | None,
    module: Path | None,
    reading: "ParseOptions",
    force: bool,
    as_json: bool,
) -> None:
    """Replay EDITS on MODEL without training.

    EDITS is a JSON file (- for stdin): a list of {"edge": name, "from": "O", "to": "S"}, or the report of
    `natonnx optimize --json`. An empty list copies the model. Weights stay the file's own.
    """
    from natonnx.contract.apply import apply_report
    from natonnx.contract.edits import parse_edits
    from natonnx.verbs.apply import apply

    changes = parse_edits(_read(edits), str(edits), pick)
    path, checks = apply(model, changes, output, force=force, reading=reading)
    if module is not None:
        from natonnx.verbs.load_weights import save_module
        from natonnx.verbs.torch_module import to_torch

        save_module(to_torch(path), module, force=force)
    if as_json:
        print_json(apply_report(path, len(changes), checks))
    else:
        for check in checks:
            notice(f"{check.name}: {check.detail}")
        notice(f"{path}: {len(changes)} edits")


def _read(path: Path) -> str:
    if str(path) == "-" and sys.stdin is None:
        raise InputError("-: the edit list cannot be read, stdin is closed; name a file")
    try:
        return (sys.stdin.buffer.read() if str(path) == "-" else read_bytes(path)).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: the edit list cannot be read ({reason}); give a JSON file, or - for stdin") from None
