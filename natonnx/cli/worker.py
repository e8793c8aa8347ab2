"""`natonnx worker`."""

from pathlib import Path
from typing import Any

import click

from natonnx.cli.help import Command, Section, option
from natonnx.cli.logs import log_options
from natonnx.cli.options import device_option, threads_option

__all__ = ["worker_command"]


@click.command(
    "worker",
    cls=Command,
    short_help="Help a search, from any machine.",
    examples=(
        ("natonnx optimize model.onnx --data set.npz --journal shared/", "the search, on one machine"),
        ("natonnx worker --journal shared/", "a worker, on any other that sees the folder"),
    ),
)
@log_options
@option(
    Section.MACHINE,
    "--journal",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="FOLDER",
    help="What natonnx optimize --journal FOLDER posts to; it may not be there yet.",
)
@option(
    Section.MACHINE,
    "--data",
    metavar="DATA",
    show_default="where the search has it",
    help="Where the data is on this machine.",
)
@threads_option
@device_option
@option(
    Section.MACHINE,
    "--idle",
    type=float,
    metavar="SECONDS",
    show_default="never",
    help="End after so long without work.",
)
@option(
    Section.MACHINE,
    "--lease",
    type=click.FloatRange(1),
    default=30.0,
    metavar="SECONDS",
    help="What this worker has begun others carry out, once it has given no sign of life for so long.",
)
def worker_command(journal: Path, data: str | None, device: Any, threads: int | None, **patience: Any) -> int:
    """Carry out look-ups and trainings of searches, on any machine that sees the journal's folder.

    Any number of workers may help a search, come at any time, and be killed at any time: what is found is the same.
    """
    from natonnx.verbs.work import work

    work(journal, data=data, device=device, threads=threads, **patience)
    return 0
