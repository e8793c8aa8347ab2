"""`natonnx worker`."""

from pathlib import Path
from typing import Any

import click

from natonnx.cli.logs import log_options

__all__ = ["worker_command"]


@click.command("worker")
@log_options
@click.option(
    "--journal",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="FOLDER",
    help="What `natonnx optimize --journal FOLDER` posts to; it may not be there yet.",
)
@click.option("--data", metavar="SPEC", help="Where the data is on this machine.  [default: where the search has it]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads.  [default: torch's choice]")
@click.option("--idle", type=float, metavar="SECONDS", help="End after so long without work.  [default: never]")
@click.option(
    "--lease",
    type=click.FloatRange(1),
    default=30.0,
    show_default=True,
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
