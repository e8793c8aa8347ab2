"""One run: a learner searches a network by Algorithm 1, and what it found is trained from scratch and tested."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from natonnx.architecture import Architecture, edits_between
from natonnx.contract.edits import edit_rows
from natonnx.contract.schema import to_json
from natonnx.errors import InputError
from natonnx.files import write_bytes
from natonnx.search import Settings, search
from natonnx.search.assess import original_runner
from natonnx.search.finetune import Finetuning, Limit
from natonnx.search.look import as_arrays
from natonnx.supernet import Supernet, initial_weights
from natonnx.verbs.optimize.prepare import Prepared, prepare, torch_settings
from tools.benchmarks.bench_search.run import make_file, right_answers
from tools.benchmarks.bench_search.task import Found
from tools.benchmarks.reproduce_tables.networks import Scale, open_network
from tools.benchmarks.reproduce_tables.pictures import Counts, Pictures

__all__ = ["BETA", "Budget", "Job", "Row", "read_row", "take"]

BETA = "β"
"""In a learner's place: the network as it is, trained alike."""


@dataclass(frozen=True)
class Budget:
    """What every learner of a network may use.

    Attributes:
        epochs: Passes of training from scratch.
        rate: Its highest learning rate.
        batch: Training batch.
        search_epochs: Passes of Algorithm 1.
        search_rate: Learning rate of its shared weights.
        alphas: α's that it draws for each β.
        reward_batch: Pictures that it compares them on.
        evaluated: α's that are scored on all of validation in the end; the best one is trained.
        target_madds: Most MAdds, as a fraction of β's; None where transitions alone limit it, as in the paper.
    """

    epochs: float = 30
    rate: float = 0.1
    batch: int = 64
    search_epochs: int = 8
    search_rate: float = 0.01
    alphas: int = 8
    reward_batch: int = 125
    evaluated: int = 18
    target_madds: float | None = None

    def settings(self, learner: str, seed: int) -> Settings:
        """The settings of a search; shared weights start from the network's random ones, and nothing is distilled."""
        return Settings(
            algorithm="paper",
            learner=learner,
            seed=seed,
            finetune_epochs=0,
            finalists=1,
            distillation=0.0,
            batch=self.batch,
            epochs=self.search_epochs,
            learning_rate=self.search_rate,
            alphas=self.alphas,
            reward_batch=self.reward_batch,
            evaluated=self.evaluated,
            target_madds=self.target_madds,
        )

    def training(self, seed: int) -> Settings:
        """The settings of training from scratch."""
        return Settings(weights="scratch", seed=seed, batch=self.batch, finetune_learning_rate=self.rate)


@dataclass(frozen=True)
class Job:
    """What a run is of.

    Attributes:
        network: Its name.
        learner: A policy's, or `BETA`.
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
"""A finished run: `job`, the model's `accuracy` on `samples` test pictures by onnxruntime, its costs, `edits` of β."""


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
    """Carry a run out, and write its row."""
    source = open_network(job.network, job.scale, folder)
    with torch_settings(1):
        training = job.budget.training(job.seed)
        prepared = prepare(
            source, str(pictures.path), pictures.preprocessing, objective="labels", device="cpu", settings=training
        )
        begun = time.process_time()
        alpha = prepared.problem.network.architecture if job.learner == BETA else _search(job, prepared)
        searched = time.process_time()
        weights = _train(prepared, alpha, training, job.budget.epochs)
        trained = time.process_time()
        row = {
            "job": job.plain(),
            **_tested(prepared, Found(alpha, weights)),
            "cpu_seconds": {"search": searched - begun, "training": trained - searched},
        }
    write_bytes(job.path(folder), to_json(row).encode())
    return row


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


def _tested(prepared: Prepared, found: Found) -> Row:
    """Test a model as a file."""
    assert prepared.parts.test is not None
    beta = prepared.source.network.architecture
    alpha = beta.with_states(found.architecture.states)
    right = right_answers(make_file(prepared, found), prepared.parts.test)
    costs = {price.name: (price.cost(alpha), price.full) for price in prepared.problem.prices}
    return {
        "accuracy": float(right.mean()),
        "samples": len(right),
        **{name: cost for name, (cost, _) in costs.items()},
        "share": costs["madds"][0] / costs["madds"][1],
        "edits": edit_rows(edits_between(beta, alpha)),
    }
