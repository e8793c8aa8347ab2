"""`natonnx diff`."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from natonnx.cli.help import Command, Section, option
from natonnx.cli.logs import log_options
from natonnx.cli.measuring import tell
from natonnx.cli.options import data_options, json_option, print_json, reading_options
from natonnx.cli.terminal import page

if TYPE_CHECKING:
    from natonnx.frontend import ParseOptions

__all__ = ["diff_command"]

_DIFFERENT = 1


@click.command(
    "diff",
    cls=Command,
    short_help="Show what changed between two models.",
    examples=(
        ("natonnx diff old.onnx new.onnx", "interface, cost, edges, weights, outputs"),
        (
            "natonnx diff old.onnx new.onnx --exit-code -q > changes.txt",
            "for a script: exit code 1 unless both compute the same",
        ),
    ),
)
@log_options
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@data_options(default="no scores")
@reading_options
@option(
    Section.DATA,
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    metavar="N",
    help="Of the random inputs, and of the division of --data.",
)
@json_option
@option(
    Section.OUTPUT,
    "--exit-code",
    "strict",
    is_flag=True,
    help="Exit with 1 unless both models compute the same, as proved.",
)
def diff_command(
    before: Path,
    after: Path,
    reading: "ParseOptions",
    dataset: str | None,
    preprocessing: dict[str, Any],
    loading: dict[str, Any],
    classes: Path | None,
    seed: int,
    strict: bool,
    as_json: bool,
) -> int:
    """Show what changed from model BEFORE to model AFTER: interface, cost, edges, weights, outputs on the same inputs.

    The two compute the same if every output is made by the same operators, in the same versions and with the same
    attributes, from bit-identical constants, and inputs and outputs have the same names, types and sizes. Names within,
    metadata, IR version, unused nodes and where the weights lie do not count. With --exit-code anything else is 1.
    """
    from natonnx.verbs.diff.diff import diff

    with contextlib.redirect_stdout(sys.stderr):  # a --data function may print
        payload = diff(
            before,
            after,
            reading=reading,
            seed=seed,
            data=dataset,
            preprocessing=preprocessing,
            **loading,
            classes=classes,
            tell=tell,
        )
    if as_json:
        print_json(payload)
    else:
        from natonnx.report.diff import show_diff

        with page() as console:
            show_diff(console, payload)
    return _DIFFERENT if strict and payload["differs_in"] else 0
