"""Tables in Markdown and plots of what runs measured."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.research.nasbench.measure import Measures
from tools.research.nasbench.regret import BUDGETS, LOOK_UPS, Regret
from tools.research.nasbench.runs import CHOICES, REWARD, Run
from tools.research.nasbench.table import DATASETS
from tools.research.nasbench.training import Recipe

__all__ = [
    "Measured",
    "choices_table",
    "grid_table",
    "learners_table",
    "optimizers_table",
    "plot_curves",
    "plot_efficiency",
    "regret_table",
    "variants_table",
]

Measured = Mapping[str, Mapping[str, Measures]]
"""By data set and way to choose."""
_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16": "ImageNet16-120"}
_WAYS = {
    "zero_shot": "most probable α",
    "never_worse": "that or β",
    "best_of_samples": "best of 10 samples",
    "both": "best of all of these",
}


def grid_table(runs: Sequence[Run]) -> str:
    """Settings that were tried for each learner; the best in bold."""
    rows = []
    for learner, group in _by(runs, "learner"):
        best = max(group, key=lambda run: run.tuning)
        for run in group:
            recipe = run.job.recipe
            assert isinstance(recipe, Recipe), "NAO has no grid"
            mark = "**" if run is best else ""
            cells = (learner, f"{recipe.learning_rate:g}", f"{recipe.entropy:g}", f"{mark}{run.tuning:.2f}{mark}")
            rows.append(cells)
    return _table(("learner", "learning rate", "λ", "validation accuracy of the tuning cells' α's, %"), rows)


def learners_table(runs: Sequence[Run]) -> str:
    """Zero-shot results by learner and data set: means over seeds, ± their standard deviation."""
    header = (
        "data",
        "learner",
        "β, test %",
        "α, test %",
        "best, test %",
        "captured",
        "of the better half",
        "not worse (test)",
        "not worse (validation)",
        "parameters",
        "MAdds",
        "look-ups",
        "cells seen",
        "training, s",
    )
    rows = []
    for name in DATASETS:
        for learner, group in _by(runs, "learner"):
            found = [run.measures[name]["zero_shot"] for run in group]
            rows.append(
                (
                    _NAMES[name],
                    learner,
                    *(f"{_mean(found, key):.2f}" for key in ("beta", "alpha", "best")),
                    _spread(found, "captured"),
                    f"{_mean(found, 'captured_good'):.3f}",
                    *(f"{_mean(found, key):.3f}" for key in ("not_worse", "not_worse_validation")),
                    *(f"{100 * _mean(found, key):+.1f} %" for key in ("params", "madds")),
                    f"{group[0].queries:,}" if name == REWARD else "0",
                    f"{np.mean([run.cells for run in group]):,.0f}" if name == REWARD else "0",
                    f"{np.mean([run.seconds for run in group]):.0f}" if name == REWARD else "0",
                )
            )
    return _table(header, rows)


def optimizers_table(found: Sequence[tuple[str, Measured]]) -> str:
    """Optimizers that may raise the cost, and those that may not, by how α is chosen: means over seeds ± deviation."""
    header = (
        "data",
        "optimizer",
        "α is",
        "α, test %",
        "captured",
        "not worse (test)",
        "parameters",
        "MAdds",
        "β's whose α costs more",
    )
    rows = []
    for name in DATASETS:
        for optimizer in dict.fromkeys(optimizer for optimizer, _ in found):
            for choice in CHOICES:
                own = [measures[name][choice] for one, measures in found if one == optimizer]
                rows.append(
                    (
                        _NAMES[name],
                        optimizer,
                        _WAYS[choice],
                        f"{_mean(own, 'alpha'):.2f}",
                        _spread(own, "captured"),
                        f"{_mean(own, 'not_worse'):.3f}",
                        *(f"{100 * _mean(own, key):+.1f} %" for key in ("params", "madds")),
                        f"{_mean(own, 'dearer'):.3f}",
                    )
                )
    return _table(header, rows)


def choices_table(runs: Sequence[Run]) -> str:
    """Captured share, and share not worse on the test set, by how the α is chosen."""
    header = ("data", "learner", *(_WAYS[choice] for choice in CHOICES))
    rows = []
    for name in DATASETS:
        for learner, group in _by(runs, "learner"):
            cells = []
            for choice in CHOICES:
                found = [run.measures[name][choice] for run in group]
                cells.append(f"{_mean(found, 'captured'):.3f} / {_mean(found, 'not_worse'):.3f}")
            rows.append((_NAMES[name], learner, *cells))
    return _table(header, rows)


def variants_table(runs: Sequence[Run]) -> str:
    """Zero-shot captured shares of variants, by label and look-ups."""
    header = ("variant", *(_NAMES[name] for name in DATASETS), "not worse (test)", "look-ups", "training, s")
    rows = []
    for label, labelled in _by(runs, "label"):
        for queries, group in _by(labelled, "queries"):
            shares = [_spread([run.measures[name]["zero_shot"] for run in group], "captured") for name in DATASETS]
            kept = _mean([run.zero_shot for run in group], "not_worse")
            seconds = np.mean([run.seconds for run in group])
            rows.append((label, *shares, f"{kept:.3f}", f"{queries:,}", f"{seconds:.0f}"))
    return _table(header, rows)


def regret_table(found: Sequence[Regret], *, together: bool) -> str:
    """Regrets in points by proposer and look-ups: means over networks, ± their standard error.

    Args:
        found: Of any searches.
        together: Whether of those for all budgets at once, or of those for one each.
    """
    groups: dict[tuple[str, int, float], dict[str, list[float | None]]] = {}
    for one in found:
        if one.together == together:
            networks = groups.setdefault((one.of.proposer, one.look_ups, one.budget), {})
            networks.setdefault(one.of.digits, []).append(one.points)
    rows = [
        (proposer, str(count), *(_regret(groups[proposer, count, budget]) for budget in BUDGETS))
        for proposer in dict.fromkeys(one.of.proposer for one in found)
        for count in LOOK_UPS
    ]
    return _table(("proposer", "look-ups", *(f"{budget:g}" for budget in BUDGETS)), rows)


def plot_curves(runs: Sequence[Run], path: Path) -> None:
    """Mean reward of the α's drawn in training against look-ups, one line a learner, the band between seeds."""
    figure, axes = _figure("look-ups of the table", "mean reward of α's drawn, accuracy points")
    for learner, group in _by(runs, "learner"):
        if not group[0].curve:
            continue
        steps = np.array([point[0] for point in group[0].curve])
        rewards = np.array([[point[1] for point in run.curve] for run in group])
        axes.plot(steps, rewards.mean(0), label=learner)
        axes.fill_between(steps, rewards.min(0), rewards.max(0), alpha=0.2)
    axes.set_xscale("log")
    axes.legend()
    _save(figure, path)


def plot_efficiency(runs: Sequence[Run], path: Path) -> None:
    """Captured share, zero-shot, against the look-ups that training was allowed, one line a label."""
    figure, axes = _figure("look-ups in training", "share of the reachable gain captured, CIFAR-10")
    for learner, group in _by(runs, "label"):
        points = [(queries, [run.zero_shot.captured for run in same]) for queries, same in _by(group, "queries")]
        queries, shares = zip(*sorted(points, key=lambda point: point[0]), strict=True)
        axes.plot(queries, [np.mean(share) for share in shares], marker="o", label=learner)
        axes.fill_between(queries, [min(share) for share in shares], [max(share) for share in shares], alpha=0.2)
    axes.set_xscale("log")
    axes.set_ylim(bottom=max(-0.5, axes.get_ylim()[0]), top=1.0)
    axes.legend()
    _save(figure, path)


def _figure(across: str, up: str):  # type: ignore[no-untyped-def] # matplotlib is optional
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    axes.set(xlabel=across, ylabel=up)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure, path: Path) -> None:  # type: ignore[no-untyped-def]
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _by(runs: Sequence[Run], key: str) -> list[tuple[Any, list[Run]]]:
    """Runs in groups of equal learner, label or look-ups, in order of appearance."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(getattr(run, key) if key == "queries" else getattr(run.job, key), []).append(run)
    return list(groups.items())


def _regret(networks: Mapping[str, Sequence[float | None]]) -> str:
    """Mean and standard error of what searches of networks, several seeds each, came to; how many came to nothing."""
    points = [[one for one in seeds if one is not None] for seeds in networks.values()]
    means = [float(np.mean(seeds)) for seeds in points if seeds]
    none = sum(map(len, networks.values())) - sum(map(len, points))
    if none * 2 > sum(map(len, networks.values())):
        return "–"
    error = f" ± {np.std(means, ddof=1) / len(means) ** 0.5:.3f}" if len(means) > 1 else ""
    return f"{np.mean(means):.3f}{error}" + (f" ({none} without)" if none else "")


def _mean(found: Sequence[Measures], key: str) -> float:
    return float(np.mean([getattr(one, key) for one in found]))


def _spread(found: Sequence[Measures], key: str) -> str:
    values = [getattr(one, key) for one in found]
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 and not math.isnan(values[0]) else ""
    return f"{np.mean(values):.3f}{deviation}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
