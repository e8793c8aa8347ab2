"""`natonnx optimize`."""

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from natonnx import launched
from natonnx.cli.completion import names_or_files
from natonnx.cli.logs import log_options, shows_progress
from natonnx.cli.options import (
    data_options,
    html_option,
    json_option,
    model_argument,
    output_option,
    print_json,
    reading_options,
    transitions_option,
    write_report,
)
from natonnx.cli.terminal import page, stderr_console
from natonnx.policy import PROPOSERS

if TYPE_CHECKING:
    from natonnx.contract.optimize import OptimizeReport
    from natonnx.frontend import ParseOptions

__all__ = ["optimize_command"]

_UNCHANGED = 1


@click.command("optimize")
@log_options
@model_argument
@output_option
@data_options(default="the built-in set that the model's metadata names")
@click.option("--augment", type=click.Choice(["none", "shift", "shift-flip"]), help="What training does to images.")
@click.option(
    "--algorithm",
    type=click.Choice(["refit", "paper"]),
    default="refit",
    show_default=True,
    help="refit: architectures are compared by weights that are refitted in closed form, and training goes into the few"
    " that are worth it; paper: Algorithm 1 of NAT, a supernet that is trained with the policy.",
)
@click.option(
    "--learner",
    default=PROPOSERS[0],
    show_default=True,
    metavar=f"{'|'.join(PROPOSERS)}|package.module:Policy",
    shell_complete=lambda _context, _option, start: [name for name in PROPOSERS if name.startswith(start)],
    help="What proposes architectures: a policy, a baseline, or a policy of your own.",
)
@click.option("--lookups", type=int, help="Architectures that are compared.  [default: by the number of transitions]")
@click.option(
    "--policy",
    metavar="pretrained|scratch|FILE",
    shell_complete=names_or_files("pretrained", "scratch"),
    help="Weights that the policy starts from: trained on NAS-Bench-201, none, or a file's.  [default: scratch]",
)
@click.option(
    "--target-madds",
    metavar="FRACTION|AMOUNT[,…]",
    help="Most MAdds, as a fraction of the input's, or 50M; of several, each gives a model.  [default: as few as"
    " --max-drop lets]",
)
@click.option("--target-latency", metavar="FRACTION|MS[,…]", help="Most latency in onnxruntime, likewise: 0.7 or 5ms.")
@click.option("--target-params", metavar="FRACTION|AMOUNT[,…]", help="Most parameters, likewise: 0.7 or 1.5M.")
@click.option("--target-size", metavar="FRACTION|BYTES[,…]", help="Most bytes of the file, likewise: 0.7 or 2MB.")
@click.option("--target-memory", metavar="FRACTION|BYTES[,…]", help="Most peak memory, likewise: 0.9 or 150MB.")
@click.option("--latency-provider", default="cpu", show_default=True, metavar="cpu|cuda|...", help="Of onnxruntime.")
@click.option("--latency-threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Of onnxruntime.")
@click.option("--latency-batch", type=click.IntRange(1), help="Samples of an inference that is timed.  [default: 1]")
@click.option(
    "--front",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Also write every model that was made.",
)
@click.option(
    "--save-policy",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the policy's weights as the search leaves them, for --policy.",
)
@click.option(
    "--objective",
    default="auto",
    show_default=True,
    metavar="auto|labels|agreement|package.module:object",
    shell_complete=names_or_files("auto", "labels", "agreement"),
    help="What is good: the labels of the data, the outputs of MODEL itself, or an object of your own that scores"
    " samples; auto takes labels where there are any and MODEL is a classifier.",
)
@click.option(
    "--max-drop",
    type=float,
    metavar="POINTS",
    help="Most that validation may lose, in the unit that is printed.  [default: 0.5 points; 5 points of agreement]",
)
@click.option(
    "--confidence",
    type=float,
    metavar="SHARE",
    help="Write only what samples that nothing was selected on prove: that no more than --max-drop is lost, at this"
    " confidence, such as 0.95.  [default: what validation loses decides]",
)
@click.option(
    "--reward",
    metavar="score|likelihood|package.module:function",
    shell_complete=names_or_files("score", "likelihood"),
    help="A function of your own that judges a model by running it, in place of the objective; or what Algorithm 1"
    " compares architectures by: the objective's score, or its loss.",
)
@click.option(
    "--training/--no-training",
    default=True,
    show_default=True,
    help="Train the model that is written; without, its weights are refitted in closed form, in seconds.",
)
@click.option(
    "--weights",
    type=click.Choice(["file", "scratch"]),
    default="file",
    show_default=True,
    help="Where training starts: from the file's weights or refitted ones; or from scratch, and the input is trained so"
    " too, equally long.",
)
@click.option(
    "--finetune-epochs", type=float, help="Passes over the training data for each model.  [default: 6; from scratch 60]"
)
@click.option(
    "--finetune-learning-rate", type=float, help="The highest; it falls to 0.  [default: 0.03; from scratch 0.1]"
)
@click.option(
    "--distillation",
    type=float,
    help="Share of the loss that follows MODEL's outputs.  [default: 0.5; from scratch 0]",
)
@click.option("--weight-decay", type=float, help="Of what is trained, but biases and scales.  [default: 0.0005]")
@click.option("--batch", type=int, help="Training batch.  [default: 32]")
@click.option("--finalists", type=int, help="Architectures of a target whose training begins.  [default: 2]")
@click.option("--epochs", type=int, help="Passes of Algorithm 1.  [default: 8]")
@click.option(
    "--time-budget",
    type=float,
    metavar="SECONDS",
    help="Of all: there are fewer look-ups then, and less training.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Makes a run repeatable.")
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads.  [default: torch's choice]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--journal",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Let others help, on any machine that sees the folder: natonnx worker --journal FOLDER.",
)
@click.option(
    "--amp",
    type=click.Choice(["off", "bf16"]),
    default="off",
    show_default=True,
    help="bf16: train in bfloat16 where torch.autocast does; all that is scored and written stays in float32.",
)
@click.option(
    "--batchnorm",
    type=click.Choice(["auto", "keep", "unfold"]),
    default="auto",
    show_default=True,
    help="Train with BatchNormalization behind each convolution, and fold it back; auto: if the file has none and"
    " leaves the batch open.",
)
@transitions_option
@reading_options
@click.option("--dry-run", is_flag=True, help="Only say what would be done, what can be reached, and what it takes.")
@click.option("--resume", is_flag=True, help="Go on from where an interrupted run of the same command was.")
@click.option(
    "--force",
    is_flag=True,
    help="Overwrite a file that natonnx did not write; go on where validation can tell next to nothing.",
)
@html_option
@click.option(
    "--sync-navigation",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write which nodes of the input and of the output belong together, for Model Explorer.",
)
@click.option(
    "--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Also write a summary in Markdown, for CI."
)
@json_option
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
