"""Options that several commands share."""

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from natonnx.cli.completion import names_or_files
from natonnx.cli.help import Section, option
from natonnx.cli.terminal import say
from natonnx.errors import InputError

if TYPE_CHECKING:
    from natonnx.contract.inspect import Inspection
    from natonnx.contract.optimize import OptimizeReport

__all__ = [
    "Arguments",
    "add_options",
    "data_options",
    "device_option",
    "force_option",
    "html_option",
    "input_shape_option",
    "json_option",
    "model_argument",
    "output_option",
    "print_json",
    "reading_options",
    "threads_option",
    "transitions_option",
    "write_report",
]


class Arguments(tuple[str, ...]):
    """The command line as it was typed, without the name of the program: the object of click's context."""

    __slots__ = ()


_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

model_argument: _Decorator = click.argument("model", type=click.Path(path_type=Path))
output_option: _Decorator = option(
    Section.OUTPUT,
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    show_default="MODEL with .nat.onnx",
    help="Where to write the model.",
)
force_option: _Decorator = option(
    Section.OUTPUT, "--force", is_flag=True, help="Overwrite a file that natonnx did not write."
)
json_option: _Decorator = option(
    Section.OUTPUT, "--json", "as_json", is_flag=True, help="JSON on stdout, nothing else there."
)
html_option: _Decorator = option(
    Section.OUTPUT,
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write a report: one page, no network.",
)

threads_option: _Decorator = option(
    Section.MACHINE,
    "--threads",
    type=click.IntRange(1, 1024),
    metavar="N",
    show_default="torch's choice",
    help="Threads of the CPU.",
)
device_option: _Decorator = option(
    Section.MACHINE,
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="Where the search and the training run.",
)


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
            raise InputError(f"--input-shape {value}: write name:1,3,32,32, positive sizes with the batch in its place")
    return shapes


input_shape_option: _Decorator = option(
    Section.DATA,
    "--input-shape",
    "input_shapes",
    multiple=True,
    metavar="NAME:N,C,H,W",
    callback=_parse_shapes,
    help="Sizes of an input that the file leaves open; may be repeated.",
)

_READING: tuple[_Decorator, ...] = (
    input_shape_option,
    option(
        Section.DATA,
        "--free-batch",
        is_flag=True,
        help="Let a batch of 1 that the exporter baked into the file be of any size.",
    ),
    option(
        Section.CHANGES,
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Change only edges with a node of such a name, such as 'layer3*'; may be repeated.",
    ),
    option(
        Section.CHANGES,
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="Keep edges with a node of such a name; may be repeated.",
    ),
    option(
        Section.CHANGES,
        "--freeze-outputs-of",
        multiple=True,
        metavar="PATTERN",
        help="Keep what nodes of such a name compute: nothing that leads to them changes, nor is trained.",
    ),
    option(
        Section.CHANGES,
        "--granularity",
        type=click.Choice(["layer", "branch", "auto"]),
        default="layer",
        help="What one edge carries: a layer; a whole branch between two joins; auto, a branch where its layers cannot"
        " be edited one by one.",
    ),
    option(
        Section.CHANGES,
        "--window",
        type=click.IntRange(0),
        default=4,
        metavar="N",
        help="How many feature maps back a new shortcut may start.",
    ),
)
transitions_option: _Decorator = option(
    Section.CHANGES,
    "--transitions",
    type=click.Choice(["nat", "nat++"]),
    default="nat",
    help="What an operation may become: a skip or nothing; by nat++ also a cheaper operation (a smaller kernel, a"
    " separable convolution, a pooling).",
)
_FIELDS = ("input_shapes", "granularity", "window", "include", "exclude", "freeze_outputs_of", "free_batch")


def add_options(
    command: Callable[..., Any], run: Callable[..., Any], options: Sequence[_Decorator]
) -> Callable[..., Any]:
    """Give a command options by way of `run`, which gets what they say and calls it with what it makes of that."""
    made: Callable[..., Any] = functools.wraps(command)(run)
    for each in reversed(options):
        made = each(made)
    return made


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how a model is read; the command gets them as one `natonnx.frontend.ParseOptions`, `reading`.

    What `transitions_option` says, if the command has it, is among them.
    """

    def run(transitions: str = "nat", **arguments: Any) -> Any:
        from natonnx.frontend import Granularity, ParseOptions, Transitions

        fields = {name: arguments.pop(name) for name in _FIELDS}
        fields |= {"granularity": Granularity(fields["granularity"]), "transitions": Transitions(transitions)}
        reading = ParseOptions(**fields)
        return command(reading=reading, **arguments)

    return add_options(command, run, _READING)


def _numbers(_context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    try:
        return None if value is None else tuple(float(number) for number in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r}: write numbers with commas, such as 0.49,0.48,0.45", None, parameter
        ) from None


_PREPROCESSING = ("mean", "std", "scale", "layout")
_LOADING = ("workers", "cache", "memory")


def data_options(*, default: str) -> _Decorator:
    """Options that name data; the command gets `dataset`, and `preprocessing` and `loading`.

    These are fields of `natonnx.data.Preprocessing` and of `natonnx.data.LoadOptions`.

    Args:
        default: What happens without --data.
    """
    options = (
        option(
            Section.DATA,
            "--data",
            "dataset",
            metavar="DATA",
            shell_complete=names_or_files("fashion-mnist"),
            show_default=default,
            help="A folder of class folders, of pictures, or of .npz or .npy files; a .npz; a list of pictures (.txt,"
            " .csv); tar archives of them; package.module:function; or fashion-mnist, which is built in.",
        ),
        option(
            Section.DATA,
            "--mean",
            callback=_numbers,
            metavar="X,...",
            help="Subtracted from the images, after --scale: a number, or one a channel.",
        ),
        option(Section.DATA, "--std", callback=_numbers, metavar="X,...", help="Divides the images then, likewise."),
        option(
            Section.DATA,
            "--scale",
            type=float,
            metavar="X",
            show_default="1/255 for uint8",
            help="Multiplies the images first.",
        ),
        option(
            Section.DATA,
            "--layout",
            type=click.Choice(["NCHW", "NHWC"]),
            help="Order of the axes of the model's input, where its shape leaves that open.",
        ),
        option(
            Section.DATA,
            "--classes",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Which of the model's classes each class folder is: a name and an index a line, or JSON.",
        ),
        option(
            Section.MACHINE,
            "--workers",
            type=click.IntRange(0, 1024),
            metavar="N",
            show_default="a thread a processor, 4 at most",
            help="Threads that decode pictures while the model runs, or processes that read a torch data set; 0: none.",
        ),
        option(
            Section.MACHINE,
            "--cache",
            metavar="SHARE|BYTES",
            show_default="0.25",
            help="Most memory for decoded samples: 0.25 of what is free, or 4GiB; what does not fit is read in each"
            " pass.",
        ),
        option(
            Section.MACHINE,
            "--memory",
            metavar="SHARE|BYTES",
            show_default="no limit",
            help="Most memory for the process as a whole, such as 1GiB: samples and whatever else is held to save work"
            " are fixed parts of it.",
        ),
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def run(**arguments: Any) -> Any:
            preprocessing, loading = (
                {name: arguments.pop(name) for name in names} for names in (_PREPROCESSING, _LOADING)
            )
            return command(preprocessing=preprocessing, loading=loading, **arguments)

        return add_options(command, run, options)

    return decorate


def write_report(path: Path, inspection: "Inspection", optimization: "OptimizeReport | None" = None) -> None:
    """Write the HTML report of the command that runs.

    Raises:
        InputError: If it cannot be written.
    """
    from natonnx.files import write_bytes
    from natonnx.policy.backend import served
    from natonnx.report.environment import environment
    from natonnx.report.html import html_report

    arguments = click.get_current_context().find_object(Arguments)
    page = html_report(inspection, environment(arguments or sys.argv[1:], served()), optimization)
    write_bytes(path, page.encode(errors="backslashreplace"))  # a path may hold bytes that are no text


def print_json(payload: object) -> None:
    """Print a payload to stdout as JSON; in ASCII alone where stdout is not UTF-8."""
    from natonnx.contract.schema import to_json

    is_unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
    say(to_json(payload, ascii_only=not is_unicode) + "\n")
