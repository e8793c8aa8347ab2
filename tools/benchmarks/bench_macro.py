"""Compare natonnx's proposers on NAS-Bench-Macro, where the best that removing layers comes to is known.

A network of eight layers is to cost no more than a part of its FLOPs. A look-up tells the accuracy of what is left when
some layers are removed; the regret is what the best α looked up lacks, in points, of the best of all 256. The table
holds test accuracies alone, so a search sees what it is judged by: it tells how well is searched, and not how well what
is found generalises. With the transitions of NAT++ a dear layer may also become a cheap one.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from natonnx.policy import PROPOSERS
from tools.command import run_command
from tools.research.cells import TRANSITIONS, Transitions

if TYPE_CHECKING:
    from tools.research.nasbench.regret import Regret

_DEFAULT = ("gcn-directed", "gcn", "lstm", "random", "greedy", "beam", "evolution")


def _names(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(value.split(","))
    for name in names:
        if name not in PROPOSERS:
            raise click.BadParameter(f"unknown proposer {name!r}: choose from {', '.join(PROPOSERS)}")
    return names


@click.command()
@click.option("--table", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The JSON.")
@click.option("--proposers", default=",".join(_DEFAULT), show_default=True, callback=_names)
@click.option("--transitions", default="nat", show_default=True, type=click.Choice(TRANSITIONS), help="Of the layers.")
@click.option("--networks", default=32, show_default=True, type=click.IntRange(1, 256), help="Drawn from all 256.")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1), help="Searches of each network.")
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path), help="Keep every figure; resumes from it.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True, type=click.IntRange(1))
def main(
    table: Path,
    proposers: tuple[str, ...],
    transitions: Transitions,
    networks: int,
    seeds: int,
    results: Path | None,
    processes: int,
) -> None:
    """Compare proposers on NAS-Bench-Macro."""
    from rich.console import Console
    from rich.progress import Progress

    from tools.research.nasbench.macro import read_macro
    from tools.research.nasbench.regret import Searched, sample, search_all, worth
    from tools.research.nasbench.report import regret_table

    macro = read_macro(table)
    if transitions == "nat++":
        points = ", ".join(f"{gain:.2f} at {budget:g}" for budget, gain in worth(macro).items())
        print(f"The best by NAT++ is better than the best by NAT, on average over all networks, by points: {points}.\n")
    jobs = [
        Searched(name, digits, seed, transitions)
        for name in proposers
        for digits in sample(networks)
        for seed in range(seeds)
    ]
    found = [one for one in _read(results) if one.of in jobs]
    missing = [job for job in jobs if job not in {one.of for one in found}]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("searches", total=len(missing))

        def done(regrets: "list[Regret]") -> None:
            found.extend(regrets)
            if results:
                with results.open("a") as file:
                    file.write(json.dumps([one.to_dict() for one in regrets]) + "\n")
            progress.advance(bar)

        search_all(table, missing, processes, done)
    found.sort(key=lambda one: proposers.index(one.of.proposer))
    print(f"Regret in points on {networks} networks, each budget by itself:\n\n{regret_table(found, together=False)}\n")
    print(f"All four budgets out of the same look-ups:\n\n{regret_table(found, together=True)}")


def _read(path: Path | None) -> "list[Regret]":
    """Read what an earlier run kept, one job a line."""
    from tools.research.nasbench.regret import Regret

    if path is None or not path.exists():
        return []
    try:
        return [
            Regret.from_dict(one) for line in path.read_text(encoding="utf-8").splitlines() for one in json.loads(line)
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise click.ClickException(f"{path}: holds no results of this command ({error})") from None


if __name__ == "__main__":
    run_command(main)
