"""Compare policy learners on NAS-Bench-201, where the best legal transformation of every cell is known.

Each learner is tuned by the same small grid, unless its settings are given, trained by REINFORCE on 12,000 cells with
CIFAR-10 validation accuracy as reward, and transforms 3,125 cells that it has never seen. "Captured" is the share of
the gain in mean test accuracy from β to the best legal α, the one of highest validation accuracy.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from natonnx.policy import LEARNERS
from tools.command import run_command
from tools.research.cells import TRANSITIONS, Transitions

if TYPE_CHECKING:
    from tools.research.nasbench.runs import Job, Run
    from tools.research.nasbench.training import Recipe

_WINNER = "gcn-directed"
_RATES = (1e-3, 3e-3)
_ENTROPIES = (0.1, 0.3)
_ABLATION_STEPS = 1000
_BUDGETS = (1_000, 3_000, 10_000, 30_000, 100_000)


def _names(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(value.split(","))
    for name in names:
        if name not in LEARNERS:
            raise click.BadParameter(f"unknown learner {name!r}: choose from {', '.join(LEARNERS)}")
    return names


@click.command()
@click.option("--table", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The CSV.")
@click.option("--learners", default=",".join(LEARNERS), show_default=True, callback=_names)
@click.option("--transitions", default="nat", show_default=True, type=click.Choice(TRANSITIONS), help="Of the cells.")
@click.option("--price", default=0.0, show_default=True, help="Points that all MAdds are worth in training.")
@click.option("--division", default=0, show_default=True, help="Of the cells: which to hold out.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--first-seed", default=0, show_default=True, type=click.IntRange(0), help="The others follow it.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Of all learners, in place of the grid.")
@click.option("--entropy", type=click.FloatRange(0), help="λ at the start, likewise; the two go together.")
@click.option("--steps", default=3000, show_default=True, type=click.IntRange(1), help="Of the final trainings.")
@click.option("--grid-steps", default=1000, show_default=True, type=click.IntRange(1), help="Of the grid's trainings.")
@click.option("--json", "as_json", type=click.Path(path_type=Path), help="Write every figure here.")
@click.option("--plot", type=click.Path(path_type=Path), help="Plot reward against look-ups (.svg or .png).")
@click.option("--ablations", is_flag=True, help="Vary λ, layers, self-loops, direction, m, n, sampling too.")
@click.option("--efficiency", type=click.Path(path_type=Path), help="Plot captured share for 1k to 100k look-ups.")
@click.option("--start", default="scratch", show_default=True, metavar="pretrained|scratch|FILE", help="See below.")
@click.option("--save", type=click.Path(path_type=Path), help="Save the policy of gcn-directed, first seed, softened.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True, type=click.IntRange(1))
def main(
    table: Path,
    learners: tuple[str, ...],
    transitions: Transitions,
    price: float,
    division: int,
    seeds: int,
    first_seed: int,
    learning_rate: float | None,
    entropy: float | None,
    steps: int,
    grid_steps: int,
    as_json: Path | None,
    plot: Path | None,
    ablations: bool,
    efficiency: Path | None,
    start: str,
    save: Path | None,
    processes: int,
) -> None:
    """Compare policy learners on NAS-Bench-201.

    --start names a saved policy of gcn-directed, of which only what it says of cheaper operations is trained.
    """
    if save and _WINNER not in learners:
        raise click.UsageError(f"--save needs {_WINNER} among --learners")
    if start != "scratch" and (transitions == "nat" or learners != (_WINNER,) or ablations or efficiency):
        raise click.UsageError(f"--start needs --transitions nat++ --learners {_WINNER}, and no other trainings")
    if (learning_rate is None) is not (entropy is None):
        raise click.UsageError("--learning-rate and --entropy go together")
    from tools.research.nasbench import report
    from tools.research.nasbench.nulls import describe_nulls
    from tools.research.nasbench.table import read_table
    from tools.research.nasbench.training import Recipe

    print(describe_nulls(read_table(table)), end="\n\n", flush=True)
    bench = _Bench(table, processes, transitions=transitions, price=price, division=division, start=start)
    if learning_rate is None or entropy is None:
        tuned = bench.tune([learner for learner in learners if learner != "random"], grid_steps)
        grid = report.grid_table(bench.grid)
        print(f"Grid, {grid_steps} steps each, by the 500 tuning cells:\n\n{grid}\n", flush=True)
        recipes = {learner: replace(recipe, steps=steps) for learner, recipe in tuned.items()}
    else:
        recipes = dict.fromkeys(learners, Recipe(steps, learning_rate=learning_rate, entropy=entropy))
    chosen = range(first_seed, first_seed + seeds)
    runs = bench.compare(learners, recipes, chosen)
    print(f"The most probable α, no look-up (means of {seeds} seeds):\n\n{report.learners_table(runs)}\n")
    print(f"Captured share / share not worse, by how α is chosen:\n\n{report.choices_table(runs)}\n", flush=True)
    everything = {"grid": bench.grid, "learners": runs}
    if save:
        _save(runs, save)
    if plot:
        report.plot_curves(runs, plot)
    if ablations:
        everything["ablations"] = bench.ablations(recipes)
        print(f"Ablations, {_ABLATION_STEPS} steps:\n\n{report.variants_table(everything['ablations'])}\n", flush=True)
    if efficiency:
        everything["efficiency"] = bench.efficiency(recipes, chosen)
        print(f"Few look-ups:\n\n{report.variants_table(everything['efficiency'])}\n", flush=True)
        report.plot_efficiency(everything["efficiency"], efficiency)
    if as_json:
        data = {name: [run.to_dict() for run in found] for name, found in everything.items()}
        as_json.write_text(json.dumps(data, indent=1))


class _Bench:
    """Makes jobs and runs them, with a progress bar on stderr.

    Args:
        table: The CSV.
        processes: How many at once.
        task: What all jobs have in common, by the names of `Job`.
    """

    def __init__(self, table: Path, processes: int, **task: Any) -> None:
        self.table, self.processes, self.task = table, processes, task
        self.grid: list[Run] = []

    def tune(self, learners: Sequence[str], steps: int) -> "dict[str, Recipe]":
        """The grid's best recipe of each learner."""
        from tools.research.nasbench.runs import Job
        from tools.research.nasbench.training import Recipe

        tried = [Recipe(steps, learning_rate=rate, entropy=entropy) for rate in _RATES for entropy in _ENTROPIES]
        self.grid = self._run(
            "grid", [Job(learner, recipe, 100, measured=False) for learner in learners for recipe in tried]
        )
        best: dict[str, Run] = {}
        for run in self.grid:
            if run.job.learner not in best or run.tuning > best[run.job.learner].tuning:
                best[run.job.learner] = run
        chosen = ((learner, run.job.recipe) for learner, run in best.items())
        return {learner: recipe for learner, recipe in chosen if isinstance(recipe, Recipe)}

    def compare(self, learners: Sequence[str], recipes: "dict[str, Recipe]", seeds: Sequence[int]) -> "list[Run]":
        """Every learner by its recipe, several seeds."""
        from tools.research.nasbench.runs import Job
        from tools.research.nasbench.training import Recipe

        jobs = [Job(name, recipes.get(name, Recipe()), seed) for name in learners for seed in seeds]
        return self._run("learners", jobs)

    def ablations(self, recipes: "dict[str, Recipe]") -> "list[Run]":
        """One thing changed at a time."""
        from tools.research.nasbench.runs import Job
        from tools.research.nasbench.training import Recipe

        jobs: list[Job] = []

        def add(label: str, learner: str, options: dict[str, Any] | None = None, **changes: Any) -> None:
            recipe = replace(recipes.get(learner, Recipe()), steps=_ABLATION_STEPS, **changes)
            jobs.append(Job(learner, recipe, 0, options or {}, label))

        for learner in ("gcn", _WINNER):
            for entropy in (0.0, 0.003, 0.03, 0.1, 0.3, 1.0):
                add(f"{learner}, λ = {entropy:g}", learner, entropy=entropy)
            for layers in (1, 2, 3, 4):
                add(f"{learner}, {layers} layers", learner, {"layers": layers})
            for betas, alphas in ((512, 2), (256, 4), (128, 8), (32, 32)):
                add(f"{learner}, m = {betas}, n = {alphas}", learner, betas=betas, alphas=alphas)
            for price in (0.0, 0.001, 0.003):
                add(f"{learner}, {100 * price:g} points an edit", learner, edit_price=price)
        for directed in (False, True):
            for loops in (True, False):
                name = f"gcn, {'A' if directed else 'A + Aᵀ'}{' + I' if loops else ', no self-loops'}"
                add(name, "gcn", {"directed": directed, "loops": loops})
        add("gcn, α sampled", "gcn")
        add("gcn, α the most probable (gcn-max)", "gcn-max")
        return self._run("ablations", jobs)

    def efficiency(self, recipes: "dict[str, Recipe]", seeds: Sequence[int]) -> "list[Run]":
        """Few look-ups: REINFORCE on the table, and on what a predictor makes of as many look-ups."""
        from tools.research.nasbench.runs import Job
        from tools.research.nasbench.training import Recipe

        jobs: list[Job] = []
        for learner in (_WINNER, "gcn", "lstm"):
            for budget in _BUDGETS:
                recipe = recipes.get(learner, Recipe()).within(budget)
                jobs += [Job(learner, recipe, seed, label=learner) for seed in seeds]
        for budget in _BUDGETS[:3]:
            recipe = replace(recipes.get(_WINNER, Recipe()), steps=_ABLATION_STEPS, predicted_from=budget)
            jobs += [Job(_WINNER, recipe, seed, label=f"{_WINNER}, reward predicted") for seed in seeds]
        return self._run("efficiency", jobs)

    def _run(self, title: str, jobs: "Sequence[Job]") -> "list[Run]":
        from rich.console import Console
        from rich.progress import Progress

        from tools.research.nasbench.runs import run_all

        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task(title, total=len(jobs))
            jobs = [replace(job, **self.task) for job in jobs]
            return run_all(self.table, jobs, self.processes, lambda _run: progress.advance(bar))


def _save(runs: "Sequence[Run]", path: Path) -> None:
    from natonnx.policy.pretrained import save_policy
    from tools.research.nasbench.saved import SOFTENED, soften

    run = next(run for run in runs if run.job.learner == _WINNER)
    source = f"NAS-Bench-201, transitions {run.job.transitions}, CIFAR-10 validation accuracy, {run.queries} look-ups"
    if run.job.start != "scratch":
        source += ", of cheaper operations alone"
    weights = soften(run.weights, _WINNER, run.job.start)
    save_policy(weights, _WINNER, path, f"REINFORCE on {source}, logits × {SOFTENED}")


if __name__ == "__main__":
    run_command(main)
