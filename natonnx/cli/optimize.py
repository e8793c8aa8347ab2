"""`natonnx optimize`."""

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from natonnx import launched
from natonnx.cli.help import Command, Section, option
from natonnx.cli.logs import log_options, shows_progress
from natonnx.cli.options import (
    data_options,
    device_option,
    html_option,
    json_option,
    model_argument,
    output_option,
    print_json,
    reading_options,
    threads_option,
    transitions_option,
    write_report,
)
from natonnx.cli.searching import search_options
from natonnx.cli.terminal import page, stderr_console

if TYPE_CHECKING:
    from natonnx.contract.optimize import OptimizeReport
    from natonnx.frontend import ParseOptions

__all__ = ["optimize_command"]

_UNCHANGED = 1


@click.command(
    "optimize",
    cls=Command,
    short_help="Search a better architecture, and write it.",
    examples=(
        (
            "natonnx optimize model.onnx --data images/ --target-madds 0.7",
            "at most 0.7 of the multiply-adds, by labelled images",
        ),
        (
            "natonnx optimize model.onnx --data set.npz --target-latency 0.7 --max-drop 1",
            "at most 0.7 of the latency, for 1 point of accuracy",
        ),
        (
            "natonnx optimize model.onnx --data set.npz --target-madds 0.7 --no-training",
            "in seconds, without labels or training",
        ),
        (
            "natonnx optimize model.onnx --data set.npz --target-latency 5ms --dry-run",
            "only what can be reached, and what it would take",
        ),
    ),
)
@log_options
@model_argument
@threads_option
@device_option
@option(
    Section.MACHINE,
    "--amp",
    type=click.Choice(["off", "bf16"]),
    default="off",
    help="bf16: train in bfloat16 where torch.autocast does; all that is scored and written stays in float32.",
)
@option(
    Section.MACHINE,
    "--journal",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Let others help, on any machine that sees the folder: natonnx worker --journal FOLDER.",
)
@data_options(default="the built-in set that the model's metadata names")
@search_options
@reading_options
@transitions_option
@output_option
@json_option
@html_option
@option(
    Section.OUTPUT,
    "--markdown",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write a summary in Markdown, for CI.",
)
@option(
    Section.OUTPUT,
    "--front",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Also write every model that was made, into a folder.",
)
@option(
    Section.OUTPUT,
    "--force",
    is_flag=True,
    help="Overwrite a file that natonnx did not write; go on where validation can tell next to nothing.",
)
@option(
    Section.OUTPUT,
    "--save-policy",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the policy's weights as the search leaves them, for --policy.",
)
@option(
    Section.OUTPUT,
    "--sync-navigation",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write which nodes of the input and of the output belong together, for Model Explorer.",
)
def optimize_command(
    model: Path,
    output: Path | None,
    dataset: str | None,
    preprocessing: dict[str, Any],
    loading: dict[str, Any],
    classes: Path | None,
    objective: str,
    reward: str | None,
    augment: str | None,
    batchnorm: Any,
    device: Any,
    threads: int | None,
    reading: "ParseOptions",
    dry_run: bool,
    resume: bool,
    force: bool,
    front: Path | None,
    save_policy: Path | None,
    journal: Path | None,
    html: Path | None,
    sync_navigation: Path | None,
    markdown: Path | None,
    as_json: bool,
    latency_provider: str,
    latency_threads: int,
    latency_batch: int | None,
    **search: Any,
) -> int:
    """Search a better architecture for MODEL, a trained model of any inputs and outputs, and write it.

    Every operation may become a skip or null, and shortcuts may be added, so that the result never costs more. It is
    verified before it is written, and never worse than the input on validation data by more than --max-drop.
    """
    # Before torch loads OpenMP: threads that wait for each other must not spin for long, or another process on the same
    # cores slows the search several times.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    from natonnx.importing import import_named
    from natonnx.report.console import show_optimization
    from natonnx.report.progress import ConsoleProgress
    from natonnx.rewrite.write import default_output
    from natonnx.search import REWARDS, Settings, silent
    from natonnx.verbs.optimize.optimize import optimize
    from natonnx.verbs.optimize.resume import saved_state
    from natonnx.verbs.optimize.stopwatch import CONDITIONS

    output, leads = output or default_output(model), not launched.rank()
    if leads:
        _check_reports(model, output, html, sync_navigation, markdown)
    bars = ConsoleProgress(stderr_console(), search["time_budget"])
    shown = bars if shows_progress() and leads else contextlib.nullcontext(silent)
    own = None if reward is None or reward in REWARDS else import_named(reward, "--reward")
    search["reward"] = reward if own is None else None
    _check_algorithm(search)
    settings = Settings(**{name: value for name, value in search.items() if value is not None})
    shared: dict[str, Any] = {
        "objective": objective,
        "reward": own,
        "settings": settings,
        "preprocessing": {**preprocessing, "augment": augment},
        "classes": classes,
        **loading,
        "batchnorm": batchnorm,
        "device": device,
        "threads": threads,
        "reading": reading,
        "force": force,
        "latency": replace(CONDITIONS, threads=latency_threads, provider=latency_provider, batch=latency_batch),
    }
    if dry_run and not leads:
        return 0
    if dry_run:
        return _dry_run(as_json, model, dataset, **shared)
    try:
        with shown as progress, contextlib.redirect_stdout(sys.stderr):  # a --data function may print
            result = optimize(
                model,
                dataset,
                output,
                **shared,
                front=front,
                save_policy=save_policy,
                resume=resume,
                journal=journal,
                progress=progress,
            )
    except KeyboardInterrupt as error:
        if saved_state(output).exists():
            error.add_note("run the same command with --resume to go on from where it was saved")
        raise
    code = 0 if result.output or launched.ranks() > 1 else _UNCHANGED  # which torchrun would take for a failure
    if not leads:
        return code
    if sync_navigation is not None and result.output is not None:
        _write_mapping(sync_navigation, model, result.output)
    if html is not None:
        write_report(html, result.inspection, result.report)
    if markdown is not None:
        _write_summary(markdown, result.report)
    if as_json:
        print_json(result.report)
    else:
        with page() as console:
            show_optimization(console, result.report)
    return code


def _dry_run(as_json: bool, *arguments: Any, **options: Any) -> int:
    """Print the plan; see `natonnx.plan` for the arguments."""
    from natonnx.report.console import show_plan
    from natonnx.verbs.optimize.dry_run import plan

    with contextlib.redirect_stdout(sys.stderr):  # a --data function may print
        payload = plan(*arguments, **options)
    if as_json:
        print_json(payload)
    else:
        with page() as console:
            show_plan(console, payload)
    return 0


def _check_algorithm(search: dict[str, Any]) -> None:
    """Refuse an option that the algorithm would not look at."""
    from natonnx.errors import InputError

    of_paper = search["algorithm"] == "paper"
    for name in ("lookups",) if of_paper else ("epochs", "reward"):
        if search[name] is not None:
            other, value = ("refit", "") if of_paper else ("paper", f" {search[name]}" if name == "reward" else "")
            raise InputError(f"--{name}{value} is for --algorithm {other}: leave it out, or give that as well")


def _check_reports(model: Path, output: Path, html: Path | None, mapping: Path | None, markdown: Path | None) -> None:
    if html is None and mapping is None and markdown is None:
        return
    from natonnx.report.html import check_report
    from natonnx.report.markdown import check_summary
    from natonnx.report.sync_navigation import check_sync_navigation

    others: tuple[Path, ...] = (model, output)
    for path, check in ((html, check_report), (mapping, check_sync_navigation), (markdown, check_summary)):
        if path is not None:
            check(path, *others)
            others = (*others, path)


def _write_mapping(path: Path, before: Path, after: Path) -> None:
    import json

    import onnx

    from natonnx.files import write_bytes
    from natonnx.report.sync_navigation import sync_navigation

    models = (onnx.load(model, load_external_data=False) for model in (before, after))
    write_bytes(path, json.dumps(sync_navigation(*models), indent=1).encode())


def _write_summary(path: Path, payload: "OptimizeReport") -> None:
    from natonnx.files import write_bytes
    from natonnx.report.markdown import optimization

    write_bytes(path, optimization(payload).encode(errors="replace"))  # a path may hold bytes that are no text
