"""One run: a learner searches a network by Algorithm 1, and what it found is trained from scratch and tested."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from natonnx.architecture import Architecture, edits_between
from natonnx.contract.edits import edit_rows
from natonnx.contract.schema import to_json
from natonnx.errors import InputError
from natonnx.files import write_bytes
from natonnx.frontend import Source
from natonnx.search import Settings, search
from natonnx.search.assess import original_runner
from natonnx.search.finetune import Finetuning, Limit
from natonnx.search.look import as_arrays
from natonnx.supernet import Supernet, initial_weights
from natonnx.verbs.optimize.prepare import Prepared, prepare, torch_settings
from tools.benchmarks.bench_search.run import make_file, right_answers
from tools.benchmarks.bench_search.task import Found
from tools.benchmarks.reproduce_tables.budget import Budget
from tools.benchmarks.reproduce_tables.nao import improve
from tools.benchmarks.reproduce_tables.networks import Scale, channels_of, genotype_of, open_network
from tools.benchmarks.reproduce_tables.one_shot import operations_of
from tools.benchmarks.reproduce_tables.pictures import Counts, Pictures

__all__ = ["BETA", "NAO", "Job", "Row", "read_row", "take"]

BETA = "β"
"""In a learner's place: the network as it is, trained alike."""
NAO = "nao"
"""In a learner's place: no policy of NAT's transitions, see `tools.benchmarks.reproduce_tables.nao`."""


@dataclass(frozen=True)
class Job:
    """What a run is of.

    Attributes:
        network: Its name.
        learner: A policy's, `BETA` or `NAO`.
        seed: Of all that is random but the pictures.
        data: What the accuracy is of.
        counts: Of the pictures.
        scale: Of the network.
        budget: Of the run.
    """

    network: str
    learner: str
    seed: int
    data: str
    counts: Counts
    scale: Scale
    budget: Budget

    def path(self, folder: Path) -> Path:
        """Where the row of the run is."""
        return folder / f"{self.network}-{'beta' if self.learner == BETA else self.learner}-{self.seed}.json"

    def plain(self) -> dict[str, Any]:
        """What the row says of it."""
        return {
            **{name: getattr(self, name) for name in ("network", "learner", "seed", "data")},
            "pictures": self.counts._asdict(),
            "scale": self.scale._asdict(),
            "budget": asdict(self.budget),
        }


Row = dict[str, Any]
"""A finished run: `job`, the model's `accuracy` on `samples` test pictures by onnxruntime, its costs, `edits` of β.

NAO edits nothing: `operations` are those of the links that its cells have.
"""


def read_row(job: Job, folder: Path) -> Row | None:
    """Read the row of a run; None where it was not made yet.

    Raises:
        InputError: If the file is of a run with other settings.
    """
    path = job.path(folder)
    if not path.exists():
        return None
    row: Row = json.loads(path.read_text(encoding="utf-8"))
    if row["job"] != json.loads(json.dumps(job.plain())):
        raise InputError(f"{path}: is of other pictures, another scale or budget; choose another --folder")
    return row


def take(job: Job, pictures: Pictures, folder: Path) -> Row:
    """Carry a run out, and write its row.

    Raises:
        InputError: If NAO is to improve a network that is not made of cells.
    """
    with torch_settings(1):
        prepared = _prepare(job, pictures, open_network(job.network, job.scale, folder))
        full = {price.name: price.full for price in prepared.problem.prices}
        begun = time.process_time()
        made: Row = {}
        if job.learner == NAO:
            prepared, made = _improve(job, prepared, pictures, folder)
        alpha = prepared.problem.network.architecture
        if job.learner not in (BETA, NAO):
            alpha = _search(job, prepared)
        searched = time.process_time()
        weights = _train(prepared, alpha, job.budget.training(job.seed), job.budget.epochs)
        trained = time.process_time()
        row = {
            "job": job.plain(),
            **_tested(prepared, Found(alpha, weights), full),
            **made,
            "cpu_seconds": {"search": searched - begun, "training": trained - searched},
        }
    write_bytes(job.path(folder), to_json(row).encode())
    return row


def _prepare(job: Job, pictures: Pictures, source: Source) -> Prepared:
    settings = job.budget.training(job.seed)
    return prepare(
        source, str(pictures.path), pictures.preprocessing, objective="labels", device="cpu", settings=settings
    )


def _improve(job: Job, prepared: Prepared, pictures: Pictures, folder: Path) -> tuple[Prepared, Row]:
    """Return the network of the cells that NAO finds, and what the row says of it."""
    width = channels_of(job.network, job.scale)
    found = improve(prepared.problem, genotype_of(job.network), width, job.scale.cells, job.budget, job.seed)
    source = open_network(job.network, job.scale, folder, found)
    return _prepare(job, pictures, source), {"operations": operations_of(found)}


def _search(job: Job, prepared: Prepared) -> Architecture:
    """Return the α that Algorithm 1 derives; β where nothing may change."""
    outcome = search(prepared.problem, job.budget.settings(job.learner, job.seed))
    return outcome.candidates[0].architecture if outcome.candidates else prepared.problem.network.architecture


def _train(prepared: Prepared, alpha: Architecture, settings: Settings, epochs: float) -> dict[str, Any]:
    """Train an architecture from weights that the seed draws; return them."""
    problem = prepared.problem
    given = Supernet(problem.network).to(problem.device).eval()
    training = Finetuning(
        problem,
        alpha,
        settings,
        original=original_runner(problem, given),
        limit=Limit(round(epochs * problem.train.count())),
        start=as_arrays(initial_weights(given, settings.seed)),
    )
    training.run(1.0)
    training.settle()
    return training.supernet.weights()


def _tested(prepared: Prepared, found: Found, full: Mapping[str, float]) -> Row:
    """Test a model as a file; β's costs are `full`."""
    assert prepared.parts.test is not None
    beta = prepared.source.network.architecture
    alpha = beta.with_states(found.architecture.states)
    right = right_answers(make_file(prepared, found), prepared.parts.test)
    costs = {price.name: price.cost(alpha) for price in prepared.problem.prices}
    return {
        "accuracy": float(right.mean()),
        "samples": len(right),
        **costs,
        "share": costs["madds"] / full["madds"],
        "edits": edit_rows(edits_between(beta, alpha)),
    }
