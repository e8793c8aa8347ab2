"""`natonnx demo`."""

import contextlib
import shlex
import sys
from pathlib import Path
from typing import Any, TextIO, cast

import click

from natonnx.cli.completion import PROGRAM
from natonnx.cli.help import Command, Section, option
from natonnx.cli.options import Arguments, force_option
from natonnx.cli.terminal import page
from natonnx.errors import InputError

__all__ = ["NEXT", "demo_command"]

_SEARCH = ("--target-madds", "0.8", "--max-drop", "1", "--lookups", "10", "--finetune-epochs", "2")
NEXT = {
    "inspect model.onnx": "",
    "optimize model.onnx --data images/ --mean 0.5 --std 0.25": "# a folder of class folders",
    "optimize model.onnx --data pictures/ --no-training": "# no labels, seconds",
    "help optimize": "# what --data takes, and all options",
}
"""What to type after the demo, and what there is to say of it."""
_FIRST, _LAST = 14, 2
"""Lines of a long output that are shown, at its start and at its end."""


@click.command(
    "demo",
    cls=Command,
    short_help="Show natonnx at work on a small model.",
    examples=(
        ("natonnx demo", "the model, a better one and a report, in natonnx-demo/"),
        ("natonnx demo first-steps --time-budget 600", "in another folder, on a slow machine"),
    ),
)
@click.argument("folder", default="natonnx-demo", type=click.Path(path_type=Path))
@option(
    Section.SEARCH,
    "--time-budget",
    type=click.FloatRange(min=0, min_open=True),
    default=180.0,
    metavar="SECONDS",
    help="For the search.",
)
@force_option
@click.pass_context
def demo_command(context: click.Context, folder: Path, time_budget: float, force: bool) -> int:
    """Show natonnx at work on a small model, in a minute or so.

    The model comes with natonnx; it is copied into FOLDER, and goes through inspect, optimize and bench there. Each
    command is shown as one would type it, and is really run: what it prints is what it found, here and now. Exit codes
    are those of optimize.
    """
    from natonnx.rewrite.write import default_output

    model = _lay_out(folder, force=force)
    better, report = default_output(model), folder / "report.html"

    def run(*words: str | Path) -> int:
        return _run(context.find_root().command, [*map(str, words)])

    _tell(
        "A small ResNet that recognises clothing on pictures of 28 × 28, trained on 8,000 of them.",
        "",
        "1. What it is made of, and what may become what: an operation (O), a skip (S) or nothing (N).",
    )
    with contextlib.redirect_stdout(_Excerpt.of(sys.stdout)):
        run("inspect", model)
    _tell(
        "",
        "2. A better architecture: at most 0.8 of the multiply-adds (MAdds), at most one point of accuracy lost.",
        "Architectures are looked up, the best ones trained, and what comes out is verified before it is written.",
    )
    searching = ("--data", "fashion-mnist", *_SEARCH, "--time-budget", f"{time_budget:g}", "--html", report)
    if run("optimize", model, *searching, *(["--force"] if force else [])):
        _tell("", "On a slow or busy machine the time is too short for it: --time-budget 600 gives more.")
        return 1
    _tell("", "3. Both models side by side in onnxruntime, with their accuracy on the test images.")
    run("bench", model, better, "--data", "fashion-mnist", "--seconds", "3")
    _tell(
        "",
        "4. What there is now:",
        f"  {model}  # the model that came with natonnx",
        f"  {better}  # the better one; what changed: {shlex.join([PROGRAM, 'diff', str(model), str(better)])}",
        f"  {report}  # graph, models, candidates and checks, for a browser",
        "",
        "Next, a model of your own:",
        *(f"  {PROGRAM} {command:<60}  {comment}".rstrip() for command, comment in NEXT.items()),
    )
    return 0


def _lay_out(folder: Path, *, force: bool) -> Path:
    """Copy the shipped model into the folder, which is made where there is none; returns the copy's path.

    Raises:
        InputError: If it cannot be written, or another file is in its place.
    """
    from natonnx.data.shipped import MODEL
    from natonnx.files import check_writable, write_bytes

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{folder}: cannot be made ({reason}); name another folder") from None
    copy, content = folder / MODEL.name, MODEL.read_bytes()
    check_writable(copy)
    if copy.exists() and not force and copy.read_bytes() != content:
        raise InputError(f"{copy}: exists and is not the model of the demo; name another folder, or give --force")
    write_bytes(copy, content)
    return copy


def _run(root: click.Command, arguments: list[str]) -> int:
    """Show a command line as it would be typed, and run it here; returns its exit code."""
    _tell(f"$ {shlex.join([PROGRAM, *arguments])}", style="bold")
    with root.make_context(PROGRAM, [*arguments], obj=Arguments(arguments)) as context:
        return root.invoke(context) or 0


def _tell(*lines: str, style: str = "") -> None:
    from rich.text import Text

    from natonnx.report.text import visible

    with page() as console:
        for line in lines:
            console.print(Text(visible(line), style=style), soft_wrap=True)


class _Excerpt:
    """A stream that shows the first and the last lines of a long text that it is given, and how many are left out."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @staticmethod
    def of(stream: TextIO | None) -> TextIO | None:
        """What to write to in a stream's place; None where the caller closed it."""
        return None if stream is None else cast("TextIO", _Excerpt(stream))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        lines = text.splitlines(keepends=True)
        out = len(lines) - _FIRST - _LAST
        if out > 1:
            lines[_FIRST:-_LAST] = [f"... {out} lines more ...\n"]
        self._stream.write("".join(lines))
        return len(text)
