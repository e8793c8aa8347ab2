"""`natonnx doctor`."""

import click

from natonnx.cli.help import Command, Section, option
from natonnx.cli.logs import log_options, notice
from natonnx.cli.options import json_option, print_json
from natonnx.cli.terminal import say

__all__ = ["doctor_command"]

_UNREADY = 1


@click.command(
    "doctor",
    cls=Command,
    short_help="Say what runs here, and what is amiss.",
    examples=(
        ("natonnx doctor", "versions, providers, devices, memory, a line each"),
        ("natonnx doctor --json > doctor.json", "the same for programs, or for a report of a defect"),
    ),
)
@log_options
@json_option
@option(
    Section.MACHINE,
    "--timeout",
    type=click.FloatRange(1),
    default=120,
    metavar="SECONDS",
    help="What loads or runs for longer counts as hanging.",
)
def doctor_command(timeout: float, as_json: bool) -> int:
    """Say what of natonnx runs here: versions, onnxruntime's providers, torch's devices, conflicts, memory.

    Each is loaded and run in a process of its own, and has a line: ok, missing or broken, why, and what to do. The exit
    code is 1 if natonnx optimize could not run here.
    """
    from natonnx.report.doctor import diagnosis_text
    from natonnx.verbs.doctor.doctor import doctor

    notice("loading onnxruntime, torch and the like, each in a process of its own")
    payload = doctor(timeout)
    if as_json:
        print_json(payload)
    else:
        say(diagnosis_text(payload))
    return 0 if payload["ready"] else _UNREADY
