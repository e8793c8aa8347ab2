"""Print what docs/tables.md shows: `python -m tools.conformance.paper costs`, `inspect` and `apply`."""

import click

from tools.command import run_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Reproduce the cost columns of the NAT paper's tables, and check natonnx on its networks."""


@cli.command()
def costs() -> None:
    """Parameters and MAdds of every row of the two comparison tables, ours against the paper's."""
    from tools.conformance.paper.costs import markdown

    for line in markdown():
        print(line, flush=True)


@cli.command()
@click.option("--names", default="", help="Only these, with commas between.")
@click.option("--narrow", is_flag=True, help="Networks of cells 8 wide: the same edges in a fraction of the time.")
def inspect(names: str, narrow: bool) -> None:
    """Operations and skips that `natonnx inspect` finds in every export, against genotype and layout."""
    from tools.conformance.paper.exports import inspections

    for line in inspections([name for name in names.split(",") if name], narrow=narrow):
        print(line, flush=True)


@cli.command()
@click.option("--names", default="", help="Only these, with commas between.")
@click.option("--channels", type=click.IntRange(2), default=8, show_default=True, help="Width of networks of cells.")
def apply(names: str, channels: int) -> None:
    """The released NAT edits by `natonnx apply` on the CIFAR networks, against networks built so."""
    from tools.conformance.paper.transformation import transformations

    for line in transformations([name for name in names.split(",") if name], channels):
        print(line, flush=True)


if __name__ == "__main__":
    run_command(cli)
