"""`natonnx check`."""

import contextlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from natonnx.cli.help import Command, Section, option
from natonnx.cli.logs import log_options
from natonnx.cli.measuring import conditions_options, tell
from natonnx.cli.options import data_options, input_shape_option, json_option, model_argument, print_json
from natonnx.cli.terminal import say
from natonnx.files import write_bytes

__all__ = ["check_command"]

_CODES = {"passed": 0, "failed": 1, "undecided": 4}


@click.command(
    "check",
    cls=Command,
    short_help="Check a model against limits, for CI.",
    examples=(
        ("natonnx check new.onnx --baseline old.onnx --max-latency-ratio 0.95", "at most 0.95 of the latency"),
        (
            "natonnx check new.onnx --baseline old.onnx --data set.npz --max-drop 0.5",
            "at most half a point of accuracy lost",
        ),
    ),
)
@log_options
@model_argument
@option(
    Section.LIMITS, "--baseline", type=click.Path(path_type=Path), metavar="MODEL", help="The model to compare with."
)
@option(
    Section.LIMITS,
    "--max-madds-ratio",
    type=float,
    metavar="RATIO",
    help="Most MAdds, as a multiple of the baseline's.",
)
@option(Section.LIMITS, "--max-params-ratio", type=float, metavar="RATIO", help="Most parameters, likewise.")
@option(Section.LIMITS, "--max-size-ratio", type=float, metavar="RATIO", help="Most bytes with data files, likewise.")
@option(
    Section.LIMITS,
    "--max-memory-ratio",
    type=float,
    metavar="RATIO",
    help="Most peak memory of a fresh process, likewise.",
)
@option(
    Section.LIMITS,
    "--max-latency-ratio",
    type=float,
    metavar="RATIO",
    help="Most latency, likewise: the upper end of its 99 % interval must not be above.",
)
@option(Section.LIMITS, "--min-accuracy", type=float, metavar="FRACTION", help="Least accuracy, such as 0.88.")
@option(
    Section.LIMITS,
    "--max-drop",
    type=float,
    metavar="POINTS",
    help="Most points below the baseline, of accuracy, or of agreement without labels.",
)
@option(
    Section.LIMITS,
    "--min-agreement",
    type=float,
    metavar="FRACTION",
    help="Least agreement of every output with the baseline: samples classed alike, cosine, or explained variance.",
)
@option(
    Section.LIMITS,
    "--baseline-report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What bench --json or optimize --json printed earlier: figures to compare with instead. Of several models in"
    " it, the one whose file has MODEL's name. With --baseline too, outputs are compared with that one, and latencies"
    " through it, if the report has it.",
)
@conditions_options
@data_options(default="the built-in set that the baseline's metadata names")
@input_shape_option
@option(
    Section.OBJECTIVE,
    "--objective",
    type=click.Choice(["auto", "labels", "agreement"]),
    default="auto",
    help="What models are scored by: the labels of the data, or agreement with the baseline; auto takes labels where"
    " there are any and the baseline is a classifier.",
)
@json_option
@option(Section.OUTPUT, "--junit", type=click.Path(path_type=Path), metavar="FILE", help="Also write JUnit XML.")
@option(
    Section.OUTPUT, "--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Also write a Markdown summary."
)
def check_command(
    model: Path,
    baseline: Path | None,
    baseline_report: Path | None,
    dataset: str | None,
    preprocessing: dict[str, Any],
    loading: dict[str, Any],
    classes: Path | None,
    objective: str,
    conditions: Any,
    junit: Path | None,
    markdown: Path | None,
    as_json: bool,
    **limits: float | None,
) -> int:
    """Check MODEL against a baseline by the limits given, one line a gate; exit code 0 if all are met.

    It is 1 if one is failed, and 4 if none is, but one is undecided. Scores are those on the test split of the data,
    the validation split where there is none. A latency ratio whose interval holds the limit is measured longer, up to
    four times --seconds in all; if it still does, the gate is undecided. So leave a margin: 1.05, not 1.
    """
    from natonnx.report.check import junit_xml, lines
    from natonnx.report.check import markdown as markdown_text
    from natonnx.report.text import visible
    from natonnx.verbs.check import Thresholds, check

    thresholds = Thresholds(**limits)
    _check_reports([path for path in (model, baseline, baseline_report) if path is not None], junit, markdown)
    with contextlib.redirect_stdout(sys.stderr):  # a --data function may print
        payload = check(
            model,
            baseline,
            thresholds,
            conditions=conditions(),
            data=dataset,
            preprocessing=preprocessing,
            **loading,
            objective=objective,
            classes=classes,
            baseline_report=baseline_report,
            tell=tell,
        )
    if junit is not None:
        write_bytes(junit, junit_xml(payload))
    if markdown is not None:
        write_bytes(markdown, markdown_text(payload).encode(errors="replace"))
    if as_json:
        print_json(payload)
    else:
        say("".join(f"{visible(line)}\n" for line in lines(payload)))
    return _CODES[payload["status"]]


def _check_reports(read: Iterable[Path], junit: Path | None, markdown: Path | None) -> None:
    """Refuse, before measuring, a report that cannot be written, or that would replace what is no such report."""
    from natonnx.report.check import JUNIT_MARK, TITLE
    from natonnx.report.place import check_place

    others = tuple(read)
    for path, mark, name in ((junit, JUNIT_MARK, "--junit"), (markdown, TITLE, "--markdown")):
        if path is not None:
            check_place(path, others, mark, name)
            others = (*others, path)
