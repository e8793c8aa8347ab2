"""Reproduce the paper's comparisons: `python -m tools.benchmarks.reproduce_tables learners`, `pictures` or `nao`."""

import itertools
import os
from pathlib import Path

import click

from natonnx.errors import InputError
from natonnx.files import write_bytes
from natonnx.policy import is_learner
from tools.command import run_command

FOLDER = Path.home() / ".cache" / "natonnx-tables"
_LEARNERS = "random,lstm,gcn-max,gcn,gcn-directed"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Reproduce the comparisons of the NAT paper at a scale of one's own."""


@cli.command()
@click.option("--networks", help="With commas between; all by default.")
@click.option(
    "--learners", default=_LEARNERS, show_default=True, help="With commas; β is trained beside them. Also nao."
)
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--width", default=0.25, show_default=True, help="Channels, as a fraction of the paper's.")
@click.option("--cells", default=5, show_default=True, type=click.IntRange(3), help="Of networks of cells.")
@click.option("--blocks", default=3, show_default=True, type=click.IntRange(1), help="Of each stage of ResNet.")
@click.option("--train", default=8000, show_default=True, type=click.IntRange(10), help="Pictures for weights.")
@click.option("--validation", default=2000, show_default=True, type=click.IntRange(10), help="For the policy.")
@click.option("--test", default=10_000, show_default=True, type=click.IntRange(10), help="For what is reported.")
@click.option("--epochs", default=30.0, show_default=True, help="Passes of training from scratch.")
@click.option("--rate", default=0.1, show_default=True, help="Its highest learning rate.")
@click.option("--batch", default=64, show_default=True, type=click.IntRange(2))
@click.option("--search-epochs", default=8, show_default=True, type=click.IntRange(1), help="Passes of Algorithm 1.")
@click.option("--search-rate", default=0.01, show_default=True, help="Learning rate of its shared weights.")
@click.option("--alphas", default=8, show_default=True, type=click.IntRange(2), help="That it draws for each β.")
@click.option("--reward-batch", default=125, show_default=True, type=click.IntRange(2))
@click.option("--evaluated", default=18, show_default=True, type=click.IntRange(1), help="α's of which one is trained.")
@click.option("--target-madds", type=float, help="Most MAdds, of β's.  [default: as the transitions let]")
@click.option("--archive", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CIFAR-10, JPEG q75.")
@click.option("--folder", default=FOLDER, show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Also write the tables.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Also draw the gains; needs matplotlib.")
def learners(
    networks: str | None,
    learners: str,
    seeds: int,
    width: float,
    cells: int,
    blocks: int,
    train: int,
    validation: int,
    test: int,
    epochs: float,
    rate: float,
    batch: int,
    search_epochs: int,
    search_rate: float,
    alphas: int,
    reward_batch: int,
    evaluated: int,
    target_madds: float | None,
    archive: Path | None,
    folder: Path,
    markdown: Path | None,
    plot: Path | None,
) -> None:
    """Compare learners of policies: search by Algorithm 1, derive α, train it from scratch, test it; β alike.

    Each run is a file of FOLDER, and one that is there is not run again. The tables are of all runs that are there.
    """
    from tools.benchmarks.reproduce_tables.budget import Budget
    from tools.benchmarks.reproduce_tables.networks import NETWORKS, Scale, genotype_of
    from tools.benchmarks.reproduce_tables.pictures import Counts, write_pictures
    from tools.benchmarks.reproduce_tables.run import BETA, NAO, Job, read_row, take
    from tools.benchmarks.reproduce_tables.table import plot as draw
    from tools.benchmarks.reproduce_tables.table import read_all, tables

    chosen, asked = (networks or ",".join(NETWORKS)).split(","), learners.split(",")
    if unknown := [name for name in asked if not (name == NAO or is_learner(name))]:
        raise InputError(f"no policy is called {unknown[0]!r}; there are {_LEARNERS}, and {NAO}")
    for name in chosen if NAO in asked else ():
        genotype_of(name)  # refused before anything runs
    counts, scale = Counts(train, validation, test), Scale(width, cells, blocks)
    budget = Budget(epochs, rate, batch, search_epochs, search_rate, alphas, reward_batch, evaluated, target_madds)
    pictures = write_pictures(archive, counts, folder)
    for seed, network, learner in itertools.product(range(seeds), chosen, (BETA, *asked)):
        job = Job(network, learner, seed, pictures.label, counts, scale, budget)
        if read_row(job, folder) is None:
            row = take(job, pictures, folder)
            print(f"{network} {learner} {seed}: {row['accuracy']:.4f} at {row['share']:.3f} of the MAdds", flush=True)
    rows = read_all(folder)
    print(tables(rows))
    if markdown is not None:
        write_bytes(markdown, tables(rows).encode())
    if plot is not None:
        draw(rows, plot)


@cli.command()
@click.option(
    "--folder", default=FOLDER, show_default=True, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--learner", default="gcn", show_default=True, help="Whose α's.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("-o", "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="A folder.")
def pictures(folder: Path, learner: str, seed: int, output: Path) -> None:
    """Draw β and α side by side, a file NETWORK.svg for each network of which `learners` left a run in FOLDER."""
    from tools.benchmarks.reproduce_tables.figures import figures

    output.mkdir(parents=True, exist_ok=True)
    for network, text in figures(folder, learner, seed):
        path = output / f"{network}.svg"
        write_bytes(path, text.encode())
        print(path)


@cli.command()
@click.option("--table", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The CSV.")
@click.option("--optimizers", default="nao,gcn,gcn-directed", show_default=True, help="With commas between.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--steps", type=click.IntRange(1), help="Of training.  [default: each one's own]")
@click.option("--folder", default=FOLDER / "nao", show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--processes", default=os.cpu_count() or 1, show_default=True, type=click.IntRange(1))
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Also write the table.")
def nao(
    table: Path,
    optimizers: str,
    seeds: int,
    steps: int | None,
    folder: Path,
    processes: int,
    markdown: Path | None,
) -> None:
    """Compare NAO, which may raise the cost, with policies of NAT on NAS-Bench-201: same cells, same look-ups.

    Each run is a file of FOLDER, and one that is there is not run again.
    """
    from tools.benchmarks.reproduce_tables.optimizers import compare
    from tools.research.nasbench.report import optimizers_table

    def told(run: str) -> None:
        click.echo(f"{run}: done", err=True)

    text = optimizers_table(compare(table, optimizers.split(","), seeds, steps, folder, processes, told))
    print(text)
    if markdown is not None:
        write_bytes(markdown, f"{text}\n".encode())


if __name__ == "__main__":
    run_command(cli)
