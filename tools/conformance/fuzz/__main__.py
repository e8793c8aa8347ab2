"""Fuzz natonnx: `python -m tools.conformance.fuzz --inputs 20000 --seed 0`."""

import sys
import tempfile
from pathlib import Path

import click

from tools.command import run_command
from tools.conformance.fuzz.run import SECONDS, fuzz
from tools.conformance.fuzz.trial import SUCCESS


@click.command()
@click.option("--inputs", default=1000, show_default=True, help="How many.")
@click.option("--start", default=0, show_default=True, help="Number of the first one, to go on or to repeat one.")
@click.option("--seed", default=0, show_default=True)
@click.option("--seconds", default=SECONDS, show_default=True, help="Time that each command may take.")
@click.option(
    "--folder",
    default=Path(tempfile.gettempdir()) / "natonnx-fuzz",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where inputs stay of which something wrong comes.",
)
def main(inputs: int, start: int, seed: int, seconds: float, folder: Path) -> None:
    """Read and edit mutated models: each command ends well or refuses in one line, in time and in 2 GiB."""
    counts = fuzz(range(start, start + inputs), seed, folder, seconds=seconds, tell=click.echo)
    for what, count in sorted(counts.items()):
        click.echo(f"{what}: {count:,}")
    wrong = sum(count for what, count in counts.items() if what.split()[1] not in SUCCESS)
    if wrong:
        sys.exit(f"{wrong} of {inputs} inputs: something is wrong, see {folder}")


if __name__ == "__main__":
    run_command(main)
