"""Policies without a look-up, on NAS-Bench-201 and on NAS-Bench-Macro, trained on one of them alone.

On Macro, layers are removed until a budget of FLOPs is met: each policy's most probable α at the least tilt at which it
does, and its regret in points of the best that there is. On NAS-Bench-201 there is no budget: the most probable α, and
the share of the reachable gain that it captures, at what change of MAdds.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from natonnx.policy import make_policy
from tools.command import run_command
from tools.research.cells import TRANSITIONS, Transitions

if TYPE_CHECKING:
    from natonnx.policy.base import Policy
    from tools.research.nasbench.table import Table

_LEARNER = "gcn-directed"


@click.command()
@click.option("--macro", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The JSON.")
@click.option("--cells", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The CSV.")
@click.option("--transitions", default="nat", show_default=True, type=click.Choice(TRANSITIONS), help="Of both.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--steps", default=1000, show_default=True, type=click.IntRange(1), help="Of training on Macro.")
@click.option("--price", default=6.0, show_default=True, help="Points that all FLOPs are worth in training on Macro.")
def main(macro: Path, cells: Path, transitions: Transitions, seeds: int, steps: int, price: float) -> None:
    """Compare policies without a look-up."""
    from natonnx.policy.pretrained import load_policy
    from tools.research.nasbench.chains import Chains
    from tools.research.nasbench.macro import FULL_DEPTH, read_macro
    from tools.research.nasbench.table import read_table
    from tools.research.nasbench.training import Recipe
    from tools.research.nasbench.transfer import chance, divide, regrets, train_on_macro

    table, space = read_macro(macro), read_table(cells, transitions)
    training, held_out = divide()
    shipped = make_policy(_LEARNER)
    load_policy(shipped, _LEARNER, "pretrained")
    chains, queries = Chains(transitions), 0
    trained = []
    for seed in range(seeds):
        trained.append(make_policy(_LEARNER, seed=seed))
        recipe = Recipe(steps=steps, betas=64, edit_price=0.0)
        queries = train_on_macro(trained[-1], chains, table, training, recipe, price, seed)
    untrained = [make_policy(_LEARNER, seed=seed) for seed in range(seeds)]

    def by(policies: "Sequence[Policy]") -> Callable[[float], list[float]]:
        return lambda budget: [
            point for one in policies for point in regrets(one, table, held_out, budget, transitions)
        ]

    print(f"Macro, regret in points without a look-up, the {len(held_out)} of {len(FULL_DEPTH)} networks held out:\n")
    print(
        _regrets(
            {
                "trained on NAS-Bench-201 (shipped)": by([shipped]),
                f"trained on Macro ({queries:,} look-ups of other networks)": by(trained),
                "untrained": by(untrained),
                "random within 0.85 to 1 of the budget": lambda budget: chance(table, held_out, budget, transitions),
            }
        )
    )
    print("\nNAS-Bench-201, share of the reachable gain without a look-up, the cells held out:\n")
    print(_shares({"trained on NAS-Bench-201 (shipped)": [shipped], "trained on Macro": trained}, space))


def _regrets(rows: dict[str, Callable[[float], list[float]]]) -> str:
    from statistics import fmean

    from tools.research.nasbench.regret import BUDGETS

    return _table(
        ["policy", *(f"{budget:g}" for budget in BUDGETS)],
        [[name, *(f"{fmean(of(budget)):.2f}" for budget in BUDGETS)] for name, of in rows.items()],
    )


def _shares(rows: "dict[str, Sequence[Policy]]", table: "Table") -> str:
    from statistics import fmean

    from tools.research.nasbench.measure import best_alphas, measure, transform
    from tools.research.nasbench.table import DATASETS, split

    betas = split(len(table.space.cells)).held_out
    lines = []
    for name, policies in rows.items():
        drawn = [transform(policy, table.space, betas, 0).likely for policy in policies]
        shares, madds = [], 0.0
        for data in DATASETS:
            accuracy = table.accuracies[data]
            best = best_alphas(table.space, betas, accuracy)
            found = [measure(table.space, betas, alphas, best, accuracy) for alphas in drawn]
            shares.append(fmean(one.captured for one in found))
            madds = fmean(one.madds for one in found)
        lines.append([name, *(f"{share:.3f}" for share in shares), f"{100 * madds:+.1f} %"])
    return _table(["policy", *DATASETS, "MAdds"], lines)


def _table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *rows])


if __name__ == "__main__":
    run_command(main)
