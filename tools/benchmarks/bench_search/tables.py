"""The page of results in Markdown."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from tools.benchmarks.bench_search.paired import Difference, Resampled, mean_difference, resample
from tools.benchmarks.bench_search.row import Row

__all__ = ["BASELINES", "page", "summary"]

BASELINES = ("greedy", "greedy-2025")
"""What every method is compared with, if nothing else is named."""

_KINDS = ("look_ups", "training", "teacher")

Runs = Mapping[tuple[str, str, float], Sequence[Row]]
"""Runs of all seeds by network, method and target."""


def summary(row: Row) -> str:
    """Say in a line what a run found."""
    used = " + ".join(f"{row.images[kind] / 1000:.1f}k {kind.replace('_', '-')}" for kind in _KINDS)
    return (
        f"{row.network} {row.method} at {row.target:g}, seed {row.seed}: {100 * row.accuracy:.2f} % "
        f"with {row.share:.3f} of the MAdds; {used}; {row.cpu_seconds:.0f} CPU s"
    )


def page(rows: Sequence[Row], baselines: Sequence[str] = BASELINES) -> str:
    """Render the tables of results of one budget.

    Args:
        rows: In any order; networks and methods keep the order in which they come first.
        baselines: Methods that every method is compared with.
    """
    runs: dict[tuple[str, str, float], list[Row]] = {}
    for row in rows:
        runs.setdefault((row.network, row.method, row.target), []).append(row)
    networks = list(dict.fromkeys(row.network for row in rows))
    lines = [*_means(runs, rows, baselines)]
    lines += [line for name in networks for line in _network(name, runs, rows, baselines)]
    return "\n".join([*lines, ""])


def _network(name: str, runs: Runs, rows: Sequence[Row], baselines: Sequence[str]) -> list[str]:
    """Render the table of one network."""
    data = next(row.data for row in rows if row.network == name)
    columns = ("target", "method", "seeds", "MAdds", "test, %", *(f"− {baseline}" for baseline in baselines))
    columns += ("latency", "images, k", "that trained the model", "CPU s")
    lines = ["", f"## {name}, {data}", "", _line(columns), "|" + "---|" * len(columns)]
    keys = [key for key in runs if key[0] == name]
    for _, same in groupby(sorted(keys, key=lambda key: -key[2]), key=lambda key: key[2]):
        lines += [_line(_cells(key, runs, baselines)) for key in same]
    return lines


def _cells(key: tuple[str, str, float], runs: Runs, baselines: Sequence[str]) -> list[str]:
    network, method, target = key
    found = runs[key]
    missed = any(row.share > target + 1e-9 for row in found)
    spent = [sum(row.images[kind] for kind in _KINDS) for row in found]
    own = [row.images["own"] for row in found]
    timed = [row.latency[0] for row in found if row.latency is not None]
    differences = [_difference(key, (network, baseline, target), runs) for baseline in baselines]
    return [
        f"{target:g}",
        method,
        str(len(found)),
        f"{np.mean([row.share for row in found]):.3f}{' (missed)' if missed else ''}",
        f"{100 * np.mean([row.accuracy for row in found]):.2f}",
        *(_points(None if each is None else mean_difference([each])) for each in differences),
        f"{np.mean(timed):.2f}" if timed else "–",
        f"{np.mean(spent) / 1000:.0f}",
        f"{np.sum(own) / np.sum(spent):.0%}" if np.sum(spent) else "–",
        f"{np.mean([row.cpu_seconds for row in found]):.0f}",
    ]


def _means(runs: Runs, rows: Sequence[Row], baselines: Sequence[str]) -> list[str]:
    """Render the mean differences over all networks."""
    columns = ("target", "method", *(f"− {name} ({what})" for name in baselines for what in ("points", "networks")))
    lines = ["## Mean of the networks", "", _line(columns), "|" + "---|" * len(columns)]
    methods = list(dict.fromkeys(row.method for row in rows))
    targets = sorted({row.target for row in rows if row.method in baselines}, reverse=True)
    networks = list(dict.fromkeys(row.network for row in rows))
    for target in targets:
        for method in methods:
            cells = []
            for baseline in baselines:
                pairs = [((name, method, target), (name, baseline, target)) for name in networks]
                found = [each for first, second in pairs if (each := _difference(first, second, runs)) is not None]
                cells += [_points(mean_difference(found) if found else None), str(len(found))]
            if any(cell != "–" for cell in cells[::2]):
                lines.append(_line([f"{target:g}", method, *cells]))
    return lines


def _difference(first: tuple[str, str, float], second: tuple[str, str, float], runs: Runs) -> Resampled | None:
    """Compare two methods on the seeds that both have; None where there are none, or the two are one."""
    ours, theirs = ({row.seed: row for row in runs.get(key, ())} for key in (first, second))
    seeds = sorted(ours.keys() & theirs.keys())
    if first == second or not seeds:
        return None
    data = ours[seeds[0]].data
    return resample([ours[seed].right() for seed in seeds], [theirs[seed].right() for seed in seeds], data)


def _points(difference: Difference | None) -> str:
    if difference is None:
        return "–"
    value, low, high = (100 * each for each in difference)
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
