"""`natonnx apply`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from natonnx.cli.help import Command, Section, option
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
from natonnx.files import read_bytes, text_of

if TYPE_CHECKING:
    from natonnx.frontend import ParseOptions

__all__ = ["apply_command"]


@click.command(
    "apply",
    cls=Command,
    short_help="Replay edits on a model, without training.",
    examples=(
        ("natonnx apply model.onnx edits.json -o edited.onnx", "a list of edits, or the report of optimize --json"),
        ("natonnx apply model.onnx --torch model.pt", "the model as it is, as a torch module"),
    ),
)
@uncollected()
@log_options
@model_argument
@click.argument("edits", type=click.Path(path_type=Path, allow_dash=True), required=False)
@option(
    Section.EDITS, "--pick", type=int, metavar="K", help="Take the K-th model of the report's front, not the output."
)
@option(
    Section.EDITS,
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the weights from a .safetensors file, or from what torch.save wrote of a state_dict.",
)
@reading_options
@output_option
@json_option
@option(
    Section.OUTPUT,
    "--torch",
    "module",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the result as a torch module, by torch.save.",
)
@force_option
def apply_command(
    model: Path,
    edits: Path | None,
    output: Path | None,
    pick: int | None,
    weights: Path | None,
    module: Path | None,
    reading: "ParseOptions",
    force: bool,
    as_json: bool,
) -> None:
    """Replay EDITS on MODEL without training.

    EDITS is a JSON file (- for stdin): a list of {"edge": name, "from": "O", "to": "S"}, or the report of
    `natonnx optimize --json`. An empty list copies the model; with --weights or --torch it may be left out. Weights
    stay the file's own, but for --weights.
    """
    if edits is None and weights is None and module is None:
        raise click.UsageError("Missing argument 'EDITS'.")
    from natonnx.contract.apply import apply_report
    from natonnx.contract.edits import parse_edits
    from natonnx.rewrite.write import default_output
    from natonnx.verbs.apply import apply

    changes = () if edits is None else tuple(parse_edits(_read(edits), str(edits), pick))
    if module is not None:
        from natonnx.verbs.torch_module import check_module, save_module, to_torch

        check_module(module, output or default_output(model), force=force)
    if weights is None:
        path, checks = apply(model, changes, output, force=force, reading=reading)
    else:
        from natonnx.verbs.load_weights import load_weights

        path, checks = load_weights(model, weights, changes, output, force=force, reading=reading)
    if module is not None:
        save_module(to_torch(path), module)
    if as_json:
        print_json(apply_report(path, len(changes), checks))
    else:
        for check in checks:
            notice(f"{check.name}: {check.detail}")
        notice(f"{path}: {len(changes)} edits" + (f", the weights of {weights}" if weights else ""))


def _read(path: Path) -> str:
    if str(path) == "-" and sys.stdin is None:
        raise InputError("-: the edit list cannot be read, stdin is closed; name a file")
    try:
        return text_of(sys.stdin.buffer.read() if str(path) == "-" else read_bytes(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: the edit list cannot be read ({reason}); give a JSON file, or - for stdin") from None
