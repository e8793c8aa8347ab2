"""What proposers find with so many look-ups, each a real refit and a score on held-out samples."""

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from natonnx.architecture import Architecture
from natonnx.search.look import Looker, as_arrays, refit_on
from natonnx.search.lookup import Lookups
from natonnx.search.propose import make_proposer
from natonnx.search.propose.moves import Moves
from natonnx.verbs.optimize.prepare import Prepared, torch_settings
from tools.benchmarks.bench_search.scorer import Scorer
from tools.benchmarks.bench_search.selection import legal_savers, with_change
from tools.benchmarks.bench_search.task import Task

__all__ = ["PLAIN", "Looked", "look_up", "table"]

_REFIT = 640
"""Training samples on which the α that was found is refitted, to be checked."""

PLAIN = "plain-greedy"
"""Greedy removal that looks up every transition at every step."""
_UNBOUNDED = frozenset({"greedy", PLAIN})
"""Methods that end by themselves: run once, with as many look-ups as they take."""


@dataclass(frozen=True)
class Looked:
    """What a proposer found on a network.

    Attributes:
        method: One of `natonnx.policy.PROPOSERS`, or `PLAIN`.
        limit: Look-ups that it might use.
        target: Highest cost, as a fraction of β's.
        seed: Of look-ups and proposer.
        used: Look-ups that it used.
        share: Cost of the α that scored best; NaN where none met the target.
        loss: Of that α, on the samples that it was chosen by.
        checked: Of that α, refitted on more samples, on all validation samples.
        transitions: Legal transitions of the network, those that save anything.
        seconds: Of the processor for the proposer and its look-ups, those remembered from another method left out.
    """

    method: str
    limit: int
    target: float
    seed: int
    used: int
    share: float
    loss: float
    checked: float
    transitions: tuple[int, int]
    seconds: float


def look_up(
    prepared: Prepared,
    methods: Sequence[str],
    limits: Sequence[int],
    target: float,
    seeds: Iterable[int],
    path: Path,
) -> list[Looked]:
    """Let proposers work; what the file has is not done again.

    Args:
        prepared: Network and data.
        methods: Names of proposers, or `PLAIN`.
        limits: Look-ups that each may use; greedy removal uses as many as it takes.
        target: Highest cost, as a fraction of β's.
        seeds: Of everything random.
        path: A file of JSON lines.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    done = [Looked(**{**row, "transitions": tuple(row["transitions"])}) for row in map(json.loads, lines)]
    known = {(row.method, row.limit, row.target, row.seed) for row in done}
    with torch_settings(1):
        for seed in seeds:
            bench = _Bench(Task(prepared, target, seed, math.inf))
            for method in methods:
                for limit in [0] if method in _UNBOUNDED else limits:
                    if (method, limit, target, seed) not in known:
                        done.append(bench.run(method, limit))
                        path.parent.mkdir(parents=True, exist_ok=True)
                        with path.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(asdict(done[-1])) + "\n")
                        print(done[-1], flush=True)
    wanted = {*seeds}
    return [row for row in done if row.method in methods and row.target == target and row.seed in wanted]


def table(network: str, rows: Sequence[Looked]) -> str:
    """Render losses on all validation samples, less lazy greedy's of the same seed, in thousandths of a nat."""
    greedy = {row.seed: row for row in rows if row.method == "greedy"}
    of_greedy = ", ".join(f"{row.used}" for row in greedy.values())
    transitions, savers = rows[0].transitions
    lines = [
        f"## Look-ups: {network}, {transitions} legal transitions, {savers} of them save; target {rows[0].target:g}",
        "",
        f"Greedy: {of_greedy} look-ups; loss {', '.join(f'{row.checked:.4f}' for row in greedy.values())}.",
        "",
        "| method | look-ups | of greedy's | MAdds | loss − greedy's, 10⁻³ | no worse, seeds |",
        "|---|---|---|---|---|---|",
    ]
    for method, limit in dict.fromkeys((row.method, row.limit) for row in rows):
        found = [row for row in rows if (row.method, row.limit) == (method, limit) and row.seed in greedy]
        if not found:
            continue
        more = np.array([1000 * (row.checked - greedy[row.seed].checked) for row in found])
        spread = f" ± {more.std(ddof=1) / math.sqrt(len(more)):.0f}" if len(more) > 1 else ""
        used = np.mean([row.used for row in found])
        part = np.mean([row.used / greedy[row.seed].used for row in found])
        share = np.mean([row.share for row in found])
        met = "none" if np.isnan(more).any() else f"{more.mean():+.0f}{spread}"
        lines.append(
            f"| {method} | {used:.0f} | {part:.2f} | {share:.3f} | {met} | {int((more <= 0).sum())} of {len(more)} |"
        )
    return "\n".join([*lines, ""])


class _Bench:
    """Runs methods on one network with one seed: what one of them looked up is known to the next."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._looker = Looker(task.problem, task.given, task.original, task.seed)
        self._refit, _ = refit_on(task.problem, task.given, _REFIT, task.seed)
        self._all = Scorer(task, held_out=None)
        moves = Moves(task.beta, task.price)
        self._transitions = len(moves.all), len(moves.savers)

    def run(self, method: str, limit: int) -> Looked:
        task, begun = self._task, time.process_time()
        lookups = Lookups(task.beta, task.price, self._looker, limit or 100_000)
        if method == PLAIN:
            _remove(task, lookups)
        else:
            generator = torch.Generator().manual_seed(task.seed)
            make_proposer(method, seed=task.seed).propose(lookups, (task.target,), generator)
        seconds = time.process_time() - begun
        found = lookups.within(task.target)
        loss, share, checked = math.nan, math.nan, math.nan
        if found:
            loss, share = -found[0].score, found[0].share
            changed, _ = self._refit.run(found[0].architecture)
            checked = -self._all.score(found[0].architecture, as_arrays(changed)).ranking
        return Looked(
            method, limit, task.target, task.seed, lookups.used, share, loss, checked, self._transitions, seconds
        )


def _remove(task: Task, lookups: Lookups) -> None:
    """Make the transition that loses least for what it saves, of all, until the target is met."""
    alpha, changes = task.beta, legal_savers(task.beta, task.price)
    while lookups.share(alpha) > task.target:
        made = [changed for change in changes if (changed := with_change(alpha, change, task.beta)) is not None]
        cheaper = [changed for changed in made if lookups.share(changed) < lookups.share(alpha)]
        if not cheaper:
            return
        alpha = min(cheaper, key=_worth(lookups, alpha))


def _worth(lookups: Lookups, alpha: Architecture) -> Callable[[Architecture], float]:
    """Return what gives the loss for what is saved by going on from α."""
    known, share = lookups.score(alpha), lookups.share(alpha)
    return lambda changed: (known - lookups.score(changed)) / (share - lookups.share(changed))
