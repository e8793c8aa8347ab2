"""NAO beside policies of NAT on NAS-Bench-201, where what each cell is worth is known."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from natonnx.errors import InputError
from natonnx.files import write_bytes
from tools.research.nao import NAORecipe
from tools.research.nasbench.measure import Measures
from tools.research.nasbench.report import Measured
from tools.research.nasbench.runs import Job, run_all
from tools.research.nasbench.training import Recipe

__all__ = ["OPTIMIZERS", "compare"]

OPTIMIZERS: dict[str, Recipe | NAORecipe] = {
    "nao": NAORecipe(),
    "gcn": Recipe(learning_rate=3e-3, entropy=0.1),
    "gcn-directed": Recipe(learning_rate=3e-3, entropy=0.3),
}
"""By name, with the recipes that the grid of `bench_policy` chose for those of NAT."""


def compare(
    table: Path,
    optimizers: Sequence[str],
    seeds: int,
    steps: int | None,
    folder: Path,
    processes: int,
    done: Callable[[str], None],
) -> list[tuple[str, Measured]]:
    """Train each optimizer on the same 12,000 cells, and measure what it makes of the 3,125 others.

    Args:
        table: The CSV of accuracies.
        optimizers: Names, of `OPTIMIZERS`.
        seeds: Of each.
        steps: Of training; each one's own where None.
        folder: A file a run; one that is there is not run again.
        processes: How many run at once.
        done: Told of each run that ends.

    Returns:
        Names and measures, in the order of the names, then of the seeds.

    Raises:
        InputError: If an optimizer is unknown, or a file of the folder is none of these.
    """
    if unknown := [name for name in optimizers if name not in OPTIMIZERS]:
        raise InputError(f"no optimizer is called {unknown[0]!r}; there are {', '.join(OPTIMIZERS)}")
    jobs = [_job(name, seed, steps) for name in optimizers for seed in range(seeds)]
    missing = [job for job in jobs if not _file(job, folder).exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for job, run in zip(missing, run_all(table, missing, processes, lambda run: done(_told(run.job))), strict=True):
        write_bytes(_file(job, folder), json.dumps(run.to_dict(), indent=1).encode())
    return [(job.learner, _read(_file(job, folder))) for job in jobs]


def _job(name: str, seed: int, steps: int | None) -> Job:
    recipe = OPTIMIZERS[name]
    return Job(name, recipe if steps is None else replace(recipe, steps=steps), seed)


def _told(job: Job) -> str:
    return f"{job.learner} {job.seed}"


def _file(job: Job, folder: Path) -> Path:
    digest = hashlib.sha256(json.dumps([job.learner, job.seed, asdict(job.recipe)]).encode()).hexdigest()[:12]
    return folder / f"{job.learner}-{job.seed}-{digest}.json"


def _read(path: Path) -> Measured:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["measures"]
        return {data: {way: Measures(**one) for way, one in ways.items()} for data, ways in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: is no run of this command ({error}); remove it") from None
