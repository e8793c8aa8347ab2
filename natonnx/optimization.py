"""`optimize`: from a model and data to a better model, or the honest answer that none was found."""

import hashlib
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import torch

from natonnx import data
from natonnx.api import Source, default_output, load, require, stamp
from natonnx.architecture import cost, edits_between
from natonnx.bench import accuracy, latencies_ms, predict
from natonnx.errors import InputError, naming
from natonnx.frontend import ParseOptions
from natonnx.preparation import BatchNormMode, DeviceName, prepare
from natonnx.report.payload import idle_edges, inspection
from natonnx.rewrite import Check, build, verify
from natonnx.rewrite.edits import edits_to_data
from natonnx.rewrite.write import check_output, own_files, write_model
from natonnx.search import (
    Candidate,
    Decision,
    Outcome,
    Problem,
    Progress,
    Score,
    Scored,
    Settings,
    decide,
    search,
    silent,
)
from natonnx.search.checkpoint import load_checkpoint, save_checkpoint
from natonnx.session import session
from natonnx.supernet import Supernet, Unfolded, fold

__all__ = ["BatchNormMode", "Result", "optimize"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What `optimize` found.

    Attributes:
        output: Where the improved model is; None where β stands.
        payload: The contract of `natonnx optimize --json`.
        inspection: The contract of `natonnx inspect --json`, of the input model.
    """

    output: Path | None
    payload: Mapping[str, Any]
    inspection: Mapping[str, Any]


def optimize(
    model: Path | str,
    output: Path | str | None = None,
    *,
    dataset: str | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    batchnorm: BatchNormMode = "auto",
    device: DeviceName = "auto",
    threads: int | None = None,
    reading: ParseOptions | None = None,
    force: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Search a better architecture for a trained classifier and write it.

    Args:
        model: An ONNX file with one image or feature input and one output of class scores.
        output: Where to write; model.nat.onnx beside the input where None.
        dataset: See `natonnx.data.load`; what the model's metadata names where None.
        preprocessing: Fields of `natonnx.data.Preprocessing` that override those of the model's metadata.
        settings: Settings of the search.
        batchnorm: `unfold` trains with BatchNormalization behind each convolution and folds it back; `keep` trains the
            model as it is; `auto` unfolds where the file has none.
        device: Where the supernet runs.
        threads: CPU threads; torch's own choice where None.
        reading: How to parse the model; see `natonnx.frontend.ParseOptions`.
        force: Overwrite an output that natonnx did not write.
        resume: Go on from the state that an interrupted run left beside the output.
        progress: Told of every step.

    Raises:
        InputError: If the model, the data, a setting or the output path is bad.
        VerificationError: If the result failed a check; nothing is written then.
    """
    begun = time.monotonic()
    settings = settings or Settings()
    if threads is not None:
        torch.set_num_threads(threads)
    source = load(model, reading)
    output = Path(output) if output is not None else default_output(source.path)
    given = source.network.model
    check_output(output, source.path, given, own_files(given, output), force=force)
    if settings.target_madds is not None and not cost(source.network.architecture).madds:
        raise InputError(f"{source.path}: its MAdds are 0 or unknown, which --target-madds needs; leave it out")
    images, problem, unfolded = prepare(
        source, dataset, preprocessing, batchnorm=batchnorm, device=device, seed=settings.seed
    )

    checkpoint = output.with_name(f"{output.name}.resume")
    fingerprint = _fingerprint(source, images, settings, batchnorm)
    outcome = search(
        problem,
        settings,
        progress=progress or silent,
        resume=load_checkpoint(checkpoint, fingerprint) if resume else None,
        save=lambda state: save_checkpoint(checkpoint, fingerprint, state),
    )
    report = _Report(source, images, problem, unfolded, settings, outcome)
    result = report.finish(output)
    checkpoint.unlink(missing_ok=True)
    payload = report.payload(result, time.monotonic() - begun)
    return Result(result, payload, inspection(source.network, str(source.path)))


class _Report:
    """Decides, builds, verifies, measures and writes."""

    def __init__(
        self,
        source: Source,
        images: data.Dataset,
        problem: Problem,
        unfolded: Unfolded | None,
        settings: Settings,
        outcome: Outcome,
    ) -> None:
        self.source, self.images, self.problem, self.unfolded = source, images, problem, unfolded
        self.settings = settings
        self.before = source.network.model
        self.after: onnx.ModelProto | None = None
        self.size: int | None = None
        self.checks: list[Check] = []
        given = Score(self._accuracy(self.before, images.validation), math.nan)
        self.given = self._accuracies(self.before, given.accuracy)
        # The file that would be written is what must not be worse, so that is what is measured.
        self.outcome = Outcome(
            self._remeasure(outcome.beta),
            tuple(map(self._remeasure, outcome.candidates)),
            outcome.history,
            outcome.scored,
        )
        self.decision: Decision = decide(given, self.outcome, settings, source.network.architecture)

    def finish(self, output: Path) -> Path | None:
        """Write the winner, if there is one."""
        winner = self.decision.winner
        if winner is None:
            _log.info("unchanged: the input model stands")
            return None
        network = self.source.network
        alpha = network.architecture.with_states(winner.architecture.states)
        model = self._build(winner)
        stamp(model, self.source, edits_between(network.architecture, alpha))
        trained = Supernet(self.problem.network)
        trained.load_weights(winner.weights)
        self.checks = verify(
            network,
            alpha,
            model,
            trained.as_reference(winner.architecture),
            rounded=lambda seed: trained.rounded(seed).as_reference(winner.architecture),
        )
        require(self.checks)
        self.after = model
        written = write_model(model, network.folder, output)
        self.size = sum(path.stat().st_size for path in written)
        return output

    def _build(self, candidate: Candidate) -> onnx.ModelProto:
        network = self.source.network
        weights = fold(self.unfolded, candidate.weights) if self.unfolded else dict(candidate.weights)
        return build(network, network.architecture.with_states(candidate.architecture.states), weights)

    def _remeasure(self, candidate: Candidate) -> Candidate:
        accuracy = self._accuracy(self._build(candidate), self.images.validation)
        return replace(candidate, validation=candidate.validation._replace(accuracy=accuracy))

    def payload(self, output: Path | None, seconds: float) -> dict[str, Any]:
        """The contract of `natonnx optimize --json`."""
        network, winner, beta = self.source.network, self.decision.winner, self.outcome.beta
        models = [self.before] if self.after is None else [self.before, self.after]
        sample = {network.inputs[0]: self.images.validation.inputs[:1]}
        latencies = latencies_ms(models, sample, folder=network.folder)
        alpha = network.architecture.with_states(winner.architecture.states) if winner else network.architecture
        before, after = cost(network.architecture), cost(alpha)
        return {
            "status": "improved" if output else "unchanged",
            "input": _row(self.source.path, before, self.source.size_bytes, self.given, latencies[0]),
            "output": (
                _row(
                    output,
                    after,
                    self.size,
                    self._accuracies(self.after, winner.validation.accuracy),
                    latencies[1],
                )
                if output and winner and self.after is not None
                else None
            ),
            "edits": edits_to_data(edits_between(network.architecture, alpha)),
            "idle_edges": idle_edges(network.architecture, alpha),
            "constraints": [asdict(limit) for limit in self.decision.constraints],
            "checks": [check._asdict() for check in self.checks],
            "without_gradient": list(self.problem.without_gradient),
            "learner": self.settings.learner,
            "seed": self.settings.seed,
            "seconds": seconds,
            "history": [dict(row) for row in self.outcome.history],
            "finetuned_input": {"accuracy": self._accuracies(self._build(beta), beta.validation.accuracy)},
            "candidates": [self._candidate(candidate) for candidate in self.outcome.candidates],
            "scored": [self._candidate(scored) for scored in self.outcome.scored],
        }

    def _accuracies(self, model: onnx.ModelProto, validation: float) -> dict[str, float | None]:
        """Accuracies by split, as fractions; the test split's is measured here, for the report only."""
        test = None if self.images.test is None else self._accuracy(model, self.images.test)
        return {"validation": validation, "test": test}

    def _accuracy(self, model: onnx.ModelProto, split: data.Split) -> float:
        with naming(self.source.path):
            runtime = session(model, torch.get_num_threads(), self.source.network.folder)
            return accuracy(predict(runtime, split.inputs), split.labels)

    def _candidate(self, candidate: Candidate | Scored) -> dict[str, Any]:
        architecture = self.source.network.architecture
        alpha = architecture.with_states(candidate.architecture.states)
        params, madds = cost(alpha)
        return {
            "params": params,
            "madds": madds,
            "accuracy": {"validation": candidate.validation.accuracy, "test": None},
            "edits": edits_to_data(edits_between(architecture, alpha)),
        }


def _row(
    path: Path, costs: tuple[int, int | None], size: int | None, accuracy: Mapping[str, float | None], latency: float
) -> dict[str, Any]:
    return {
        "path": str(path),
        "params": costs[0],
        "madds": costs[1],
        "size_bytes": size,
        "accuracy": dict(accuracy),
        "latency_ms": latency,
    }


def _fingerprint(source: Source, images: data.Dataset, settings: Settings, batchnorm: str) -> str:
    """Of all that must be the same for a search to be resumed; a time budget may change."""
    fields = {key: value for key, value in asdict(settings).items() if key != "time_budget"}
    parts = (source.sha256, source.network.options, images.name, images.augment, batchnorm, fields)
    digest = hashlib.sha256(" ".join(map(str, parts)).encode())
    if Path(settings.policy).is_file():
        digest.update(Path(settings.policy).read_bytes())
    for split in (images.train, images.validation):
        digest.update(split.inputs[:64].tobytes())
        digest.update(split.labels.tobytes())
    return digest.hexdigest()
