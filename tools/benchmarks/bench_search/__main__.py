"""Compare searches: `python -m tools.benchmarks.bench_search --archive ../shared/data/cifar10-jpeg.tar.xz`."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from natonnx.errors import InputError
from natonnx.files import write_bytes
from tools.benchmarks.bench_search.networks import NETWORKS, choose
from tools.benchmarks.bench_search.tables import BASELINES
from tools.command import run_command

if TYPE_CHECKING:
    from natonnx.verbs.optimize.prepare import Prepared

FOLDER = Path.home() / ".cache" / "natonnx-search"


@click.group(invoke_without_command=True)
@click.option("--network", default=",".join(NETWORKS), show_default=True, help="With commas between.")
@click.option("--method", help="With commas between; all by default.")
@click.option("--target", default="0.8,0.5,0.35", show_default=True, help="MAdds, as fractions of β's.")
@click.option("--seed", default="0,1,2", show_default=True)
@click.option("--budget", default=246_000, show_default=True, type=click.IntRange(1), help="Training images of a run.")
@click.option("--latency", default=2.0, show_default=True, help="Seconds of a latency measurement; 0 for none.")
@click.option("--folder", default=FOLDER, show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--archive", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CIFAR-10, JPEG q75.")
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path), help="FOLDER/search.jsonl by default.")
@click.option("--again", is_flag=True, help="Run what is in the results too.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the tables of all results.")
@click.option("--baseline", default=",".join(BASELINES), show_default=True, help="What those compare with.")
@click.pass_context
def main(
    context: click.Context,
    network: str,
    method: str | None,
    target: str,
    seed: str,
    budget: int,
    latency: float,
    folder: Path,
    archive: Path | None,
    results: Path | None,
    again: bool,
    markdown: Path | None,
    baseline: str,
) -> None:
    """Compare searches at the same number of training images.

    Each finished run is a line of the results; one that is there is not run again.
    """
    if context.invoked_subcommand is not None:
        return
    from natonnx.frontend import Transitions
    from tools.benchmarks.bench_search import row as rows
    from tools.benchmarks.bench_search.methods import CHEAPER, METHODS
    from tools.benchmarks.bench_search.run import key_of, measure
    from tools.benchmarks.bench_search.tables import page, summary

    methods = method.split(",") if method else list(METHODS)
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise InputError(f"no method is called {unknown[0]!r}; there are {', '.join(METHODS)}")
    path = results or folder / "search.jsonl"
    known = rows.read(path)
    for each in choose(network):
        prepared: dict[Transitions, Prepared] = {}
        for number, goal, name in itertools.product(map(int, seed.split(",")), map(float, target.split(",")), methods):
            key = key_of(each, name, goal, number, budget)
            if key in known and not again:
                continue
            transitions = Transitions.NATPP if name in CHEAPER else Transitions.NAT
            if transitions not in prepared:
                prepared[transitions] = each.prepare(folder, archive, transitions)
            known[key] = measure(key, each.data, prepared[transitions], latency)
            rows.append(path, known[key])
            print(summary(known[key]), flush=True)
    if markdown is not None:
        order = {name: position for position, name in enumerate([*NETWORKS, *METHODS])}
        chosen = [row for row in known.values() if row.budget == budget and {row.network, row.method} <= order.keys()]
        chosen.sort(key=lambda row: (order[row.network], order[row.method]))
        write_bytes(markdown, page(chosen, baseline.split(",")).encode())


@main.command()
@click.option("--network", default="resnet20,densenet", show_default=True, help="With commas between.")
@click.option("--count", default=21, show_default=True, type=click.IntRange(4), help="Of α's of a network.")
@click.option("--folder", default=FOLDER, show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--archive", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CIFAR-10, JPEG q75.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the tables.")
def ranks(network: str, count: int, folder: Path, archive: Path | None, markdown: Path | None) -> None:
    """Measure how well scores without training order α's by their accuracy after two epochs.

    What is finished is kept in FOLDER/ranks-NETWORK.jsonl.
    """
    from tools.benchmarks.bench_search.ranks import rank, table

    tables = []
    for each in choose(network):
        ranked = rank(each.prepare(folder, archive), folder / f"ranks-{each.name}.jsonl", count)
        tables.append(table(each.name, ranked))
        print(tables[-1], flush=True)
    if markdown is not None:
        write_bytes(markdown, "\n".join(tables).encode())


@main.command()
@click.option("--network", default="resnet20,resnet56,densenet", show_default=True, help="With commas between.")
@click.option("--method", default="greedy,gcn-directed,evolution,beam,random", show_default=True)
@click.option("--limit", default="30,100,300", show_default=True, help="Look-ups.")
@click.option("--target", default=0.5, show_default=True, help="MAdds, as a fraction of β's.")
@click.option("--seed", default="0,1,2", show_default=True)
@click.option("--folder", default=FOLDER, show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--archive", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CIFAR-10, JPEG q75.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the tables.")
def lookups(
    network: str,
    method: str,
    limit: str,
    target: float,
    seed: str,
    folder: Path,
    archive: Path | None,
    markdown: Path | None,
) -> None:
    """Compare what proposers find with so many look-ups, before any training.

    What is finished is kept in FOLDER/lookups-NETWORK.jsonl.
    """
    from natonnx.policy import PROPOSERS
    from tools.benchmarks.bench_search.lookups import PLAIN, look_up, table

    methods = method.split(",")
    unknown = [name for name in methods if name not in (*PROPOSERS, PLAIN)]
    if unknown:
        raise InputError(f"no proposer is called {unknown[0]!r}; there are {', '.join((*PROPOSERS, PLAIN))}")
    limits, seeds = [int(each) for each in limit.split(",")], [int(each) for each in seed.split(",")]
    tables = []
    for each in choose(network):
        path = folder / f"lookups-{each.name}.jsonl"
        rows = look_up(each.prepare(folder, archive), methods, limits, target, seeds, path)
        tables.append(table(each.name, rows))
        print(tables[-1], flush=True)
    if markdown is not None:
        write_bytes(markdown, "\n".join(tables).encode())


if __name__ == "__main__":
    run_command(main)
