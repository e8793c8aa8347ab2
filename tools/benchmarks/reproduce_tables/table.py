"""The table of all runs, and a plot of it."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ttest_rel

from tools.benchmarks.reproduce_tables.networks import NETWORKS
from tools.benchmarks.reproduce_tables.run import BETA, NAO, Row

__all__ = ["NAMES", "gains", "plot", "read_all", "tables"]

NAMES = {
    BETA: "β, trained alike",
    NAO: "NAO",
    "random": "Random",
    "lstm": "LSTM",
    "gcn-max": "Maximum-GCN",
    "gcn": "Sampling-GCN",
    "gcn-directed": "ours (gcn-directed)",
}
"""What the paper calls the learners, in the order of its table."""


def read_all(folder: Path) -> list[Row]:
    """Read the rows of all runs of a folder: networks in the paper's order, then learners, then seeds."""
    rows: list[Row] = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    order = {name: position for position, name in enumerate([*NETWORKS, *NAMES])}

    def place(row: Row) -> tuple[int, int, int]:
        job = row["job"]
        return order.get(job["network"], len(order)), order.get(job["learner"], len(order)), job["seed"]

    return sorted(rows, key=place)


def tables(rows: Sequence[Row]) -> str:
    """Accuracy and MAdds by learner and network, and differences between learners pair by pair, in Markdown."""
    networks, learners = _order(rows)
    accuracy = [[_name(each), *(_accuracy(_of(rows, one, each)) for one in networks)] for each in learners]
    cost = [[_name(each), *(_share(_of(rows, one, each)) for one in networks)] for each in learners]
    pairs = [[f"{_name(one)} − {_name(other)}", *_difference(rows, one, other)] for other, one in _pairs(learners)]
    parts = (
        _markdown(["test accuracy, %", *networks], accuracy),
        _markdown(["MAdds, of β", *networks], cost),
        _markdown(["difference of accuracy, points", "mean ± standard error", "pairs", "p", "better on"], pairs),
    )
    return "\n\n".join(parts) + "\n"


def _name(learner: str) -> str:
    return NAMES.get(learner, learner)


def _pairs(learners: Sequence[str]) -> Iterator[tuple[str, str]]:
    return itertools.combinations(learners, 2)


def _order(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Networks as they come, learners as the paper has them."""
    networks = list(dict.fromkeys(row["job"]["network"] for row in rows))
    present = list(dict.fromkeys(row["job"]["learner"] for row in rows))
    known = [learner for learner in NAMES if learner in present]
    return networks, [*known, *(learner for learner in present if learner not in NAMES)]


def _of(rows: Sequence[Row], network: str, learner: str) -> list[Row]:
    return [row for row in rows if row["job"]["network"] == network and row["job"]["learner"] == learner]


def _accuracy(rows: Sequence[Row]) -> str:
    """Mean and standard deviation over seeds, in per cent."""
    return _spread([100 * row["accuracy"] for row in rows], "{:.2f}")


def _share(rows: Sequence[Row]) -> str:
    return _spread([row["share"] for row in rows], "{:.3f}")


def _spread(values: Sequence[float], form: str) -> str:
    if not values:
        return "–"
    deviation = f" ± {form.format(np.std(values, ddof=1))}" if len(values) > 1 else ""
    return form.format(np.mean(values)) + deviation


def gains(rows: Sequence[Row], learner: str, over: str = BETA) -> list[float]:
    """Points that a learner's model is better than another's of the same network and seed, where both were run."""
    own, other = (
        {(row["job"]["network"], row["job"]["seed"]): row["accuracy"] for row in rows if row["job"]["learner"] == one}
        for one in (learner, over)
    )
    return [100 * (own[pair] - other[pair]) for pair in own if pair in other]


def _difference(rows: Sequence[Row], learner: str, over: str) -> tuple[str, ...]:
    """Mean gain with its standard error, the pairs, what a paired t-test makes of it, and on how many networks."""
    found = gains(rows, learner, over)
    if len(found) < 2:
        return "–", str(len(found)), "–", "–"
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    p = float(ttest_rel(found, np.zeros(len(found))).pvalue)
    shown = f"{p:.2f}" if p >= 0.01 else f"{p:.1g}"
    return f"{np.mean(found):+.2f} ± {error:.2f}", str(len(found)), shown, _networks(rows, learner, over)


def _networks(rows: Sequence[Row], learner: str, over: str) -> str:
    """On how many networks the mean gain is above zero, of how many."""
    networks, _ = _order(rows)
    parts = (gains([row for row in rows if row["job"]["network"] == each], learner, over) for each in networks)
    means = [float(np.mean(part)) for part in parts if part]
    return f"{sum(mean > 0 for mean in means)} of {len(means)}"


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *lines))


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw each run's gain over β by learner, a dot a run, a bar for the mean; needs matplotlib."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    networks, learners = _order(rows)
    learners = [learner for learner in learners if learner != BETA]
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    axes.axhline(0, color="black", linewidth=0.8)
    for number, network in enumerate(networks):
        across: list[float] = []
        up: list[float] = []
        for position, learner in enumerate(learners):
            found = gains([row for row in rows if row["job"]["network"] == network], learner)
            across += [position + 0.08 * (number - len(networks) / 2)] * len(found)
            up += found
        axes.scatter(across, up, s=18, label=network)
    for position, learner in enumerate(learners):
        mean: Any = np.mean(gains(rows, learner) or [0.0])
        axes.hlines(mean, position - 0.35, position + 0.35, color="black")
    axes.set_xticks(range(len(learners)), [_name(learner) for learner in learners])
    axes.set_ylabel("test accuracy over β's, both from scratch, points")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
