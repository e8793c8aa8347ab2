"""`natonnx bench`."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from natonnx.cli.help import Command, Section, option
from natonnx.cli.logs import log_options
from natonnx.cli.measuring import conditions_options, tell
from natonnx.cli.options import data_options, input_shape_option, json_option, print_json
from natonnx.cli.terminal import page, say

__all__ = ["bench_command"]


@click.command(
    "bench",
    cls=Command,
    short_help="Measure models side by side.",
    examples=(
        ("natonnx bench old.onnx new.onnx", "latency, size, memory, cost"),
        ("natonnx bench old.onnx new.onnx --data set.npz --json > bench.json", "scores too, and all as JSON"),
    ),
)
@log_options
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@conditions_options
@data_options(default="no scores")
@input_shape_option
@option(
    Section.OBJECTIVE,
    "--objective",
    type=click.Choice(["auto", "labels", "agreement"]),
    default="auto",
    help="What models are scored by: the labels of the data, or agreement with the first model; auto takes labels where"
    " there are any and that is a classifier.",
)
@option(
    Section.MEASURING, "--profile", "profiled", is_flag=True, help="Also show where the time goes, by operator type."
)
@json_option
@option(Section.OUTPUT, "--csv", "as_csv", is_flag=True, help="CSV on stdout, nothing else there.")
def bench_command(
    models: tuple[Path, ...],
    conditions: Any,
    dataset: str | None,
    preprocessing: dict[str, Any],
    loading: dict[str, Any],
    classes: Path | None,
    objective: str,
    profiled: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Measure MODELS side by side in onnxruntime: latency, size, peak memory, cost, scores on --data.

    The models run in turn on the same random inputs, so that what else the machine does hits all of them alike, and in
    many fresh sessions. The ratio is that of the latency to the first one's, with a 99 % bootstrap interval. Of models
    that one thread runs on the CPU there is the CPU time of the same runs too: latency without others' turns.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other; choose one")
    from natonnx.verbs.bench import benchmark

    with contextlib.redirect_stdout(sys.stderr):  # a --data function may print
        payload = benchmark(
            models,
            conditions=conditions(),
            data=dataset,
            preprocessing=preprocessing,
            **loading,
            objective=objective,
            classes=classes,
            profiled=profiled,
            tell=tell,
        )
    if as_json:
        print_json(payload)
        return
    from natonnx.report.bench import show_benchmark, to_csv

    if as_csv:
        say(to_csv(payload))
    else:
        with page() as console:
            show_benchmark(console, payload)
