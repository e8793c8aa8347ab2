"""From what a search found to a model that is better and verified, or to none, and the report on it."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch

from natonnx import __version__, data
from natonnx.architecture import Cost, Edit, cost, edits_between
from natonnx.bench import accuracy, latencies_ms, predict
from natonnx.contract.checks import check_rows
from natonnx.contract.edge import idle_edges
from natonnx.contract.edits import edit_rows
from natonnx.contract.objective import Objective, Unit, difference_unit
from natonnx.contract.optimize import CandidateRow, ConstraintRow, HistoryRow, ModelRow, OptimizeReport, QualityRow
from natonnx.contract.schema import SCHEMA_VERSION, finite
from natonnx.errors import naming
from natonnx.frontend import Source
from natonnx.rewrite import Check, add_provenance, build, require, verify
from natonnx.search import Candidate, Decision, Outcome, RewardFunction, Score, Scored, Settings, decide
from natonnx.search.decide import Constraint
from natonnx.search.reward import in_onnxruntime, judge, reward_name
from natonnx.session import session
from natonnx.supernet import Supernet, fold
from natonnx.verbs.model_comparison import labels_objective
from natonnx.verbs.optimize.prepare import Prepared

__all__ = ["Conclusion", "score_file"]

_LABELS = {
    "madds": "MAdds",
    "validation_drop_points": "validation accuracy lost",
    "points_behind_finetuned_beta": "validation accuracy behind the fine-tuned input",
    "reward_lost": "reward lost",
    "reward_behind_finetuned_beta": "reward behind the fine-tuned input",
}


class Conclusion:
    """Decides, builds, verifies and measures. The test split is used here only, for the report.

    Args:
        source: The input model.
        prepared: Its data and problem.
        settings: Of the search.
        outcome: What the search found.
        given: What the input model's file scores on the validation split; see `score_file`.

    Attributes:
        decision: The winner, or that there is none.
        edits: From β to the winner.
        model: The winner as it is to be written; None where β stands.

    Raises:
        VerificationError: If the winner failed a check.
    """

    def __init__(self, source: Source, prepared: Prepared, settings: Settings, outcome: Outcome, given: Score) -> None:
        self.source, self.settings = source, settings
        self._images, self._problem, self._unfolded = prepared
        self._given = given
        # The file that would be written is what must not be worse, so that is what is measured.
        self.outcome = Outcome(
            self._remeasure(outcome.beta),
            tuple(map(self._remeasure, outcome.candidates)),
            outcome.history,
            outcome.scored,
        )
        self.decision: Decision = decide(self._given, self.outcome, settings, source.network.architecture)
        winner, beta = self.decision.winner, source.network.architecture
        self._alpha = beta if winner is None else beta.with_states(winner.architecture.states)
        self.edits: tuple[Edit, ...] = edits_between(beta, self._alpha)
        self._checks: list[Check] = []
        self.model = None if winner is None else self._verified(winner)

    def _verified(self, winner: Candidate) -> onnx.ModelProto:
        model = self._build(winner)
        add_provenance(model, version=__version__, source_sha256=self.source.sha256, edits=self.edits)
        trained = Supernet(self._problem.network)
        trained.load_weights(winner.weights)
        self._checks = verify(
            self.source.network,
            self._alpha,
            model,
            trained.as_reference(winner.architecture),
            rounded=lambda seed: trained.rounded(seed).as_reference(winner.architecture),
        )
        require(self._checks)
        return model

    def _build(self, candidate: Candidate) -> onnx.ModelProto:
        network = self.source.network
        weights = fold(self._unfolded, candidate.weights) if self._unfolded else dict(candidate.weights)
        return build(network, network.architecture.with_states(candidate.architecture.states), weights)

    def _remeasure(self, candidate: Candidate) -> Candidate:
        """Replace what the supernet says of an architecture by what its file does in onnxruntime."""
        found = score_file(self.source, self._build(candidate), self._images.validation, self._problem.reward)
        measured = candidate.validation._replace(accuracy=found.accuracy, reward=found.reward)
        return replace(candidate, validation=measured)

    def report(self, output: Path | None, size: int | None, seconds: float) -> OptimizeReport:
        """The contract of `natonnx optimize --json`.

        Args:
            output: Where the winner was written; None where it was not.
            size: Its bytes.
            seconds: That all took.
        """
        network, winner, beta = self.source.network, self.decision.winner, self.outcome.beta
        models = [network.model] if self.model is None else [network.model, self.model]
        sample = {network.inputs[0]: self._images.validation.inputs[:1]}
        latencies = latencies_ms(models, sample, folder=network.folder)
        given = self._quality(network.model, self._given)
        before = _row(self.source.path, cost(network.architecture), self.source.size_bytes, latencies[0], given)
        after = None
        if winner is not None and self.model is not None:
            found = self._quality(self.model, winner.validation)
            after = _row(output, cost(self._alpha), size, latencies[1], found)
        images = self._images
        report: OptimizeReport = {
            "schema": SCHEMA_VERSION,
            "status": "unchanged" if self.model is None else "improved",
            "objective": self._objective(),
            "input": before,
            "output": after,
            "edits": edit_rows(self.edits),
            "idle_edges": idle_edges(network.architecture, self._alpha),
            "constraints": [self._constraint(limit) for limit in self.decision.constraints],
            "checks": check_rows(self._checks),
            "without_gradient": list(self._problem.without_gradient),
            "learner": self.settings.learner,
            "seed": self.settings.seed,
            "seconds": seconds,
            "data": {
                "name": images.name,
                "samples": {
                    "train": len(images.train.labels),
                    "validation": len(images.validation.labels),
                    "test": None if images.test is None else len(images.test.labels),
                },
                "notes": [],
            },
            "history": [_history(row) for row in self.outcome.history],
            "finetuned_input": self._quality(self._build(beta), beta.validation),
            "candidates": [self._candidate(candidate) for candidate in self.outcome.candidates],
            "scored": [self._candidate(scored) for scored in self.outcome.scored],
        }
        made: OptimizeReport = finite(report)
        return made

    def _objective(self) -> Objective:
        labels = labels_objective(self.source)
        if self._problem.reward is None:
            return labels
        unit: Unit = {"symbol": "", "scale": 1.0, "difference": ""}
        return {**labels, "name": reward_name(self._problem.reward), "measure": "reward", "unit": unit, "outputs": []}

    def _constraint(self, limit: Constraint) -> ConstraintRow:
        unit = None if limit.name == "madds" else difference_unit(self._objective()["unit"])
        return {
            "name": limit.name,
            "label": _LABELS[limit.name],
            "unit": unit,
            "limit": limit.limit,
            "value": limit.value,
            "met": limit.met,
        }

    def _quality(self, model: onnx.ModelProto, validation: Score) -> QualityRow:
        """The user's own reward, or the accuracy, which is measured here on the test split."""
        if validation.reward is not None:
            return {
                "score": {"validation": validation.reward, "test": None},
                "outputs": {"validation": {}, "test": None},
            }
        test = None if self._images.test is None else score_file(self.source, model, self._images.test).accuracy
        name = self.source.network.outputs[0]
        return {
            "score": {"validation": validation.accuracy, "test": test},
            "outputs": {"validation": {name: validation.accuracy}, "test": None if test is None else {name: test}},
        }

    def _candidate(self, candidate: Candidate | Scored) -> CandidateRow:
        architecture = self.source.network.architecture
        alpha = architecture.with_states(candidate.architecture.states)
        params, madds = cost(alpha)
        return {
            "params": params,
            "madds": madds,
            "score": {"validation": candidate.validation.value, "test": None},
            "edits": edit_rows(edits_between(architecture, alpha)),
        }


def score_file(
    source: Source, model: onnx.ModelProto, split: data.Split, reward: RewardFunction | None = None
) -> Score:
    """What a model scores in onnxruntime: its accuracy, and the user's own reward where there is one; no likelihood.

    Args:
        source: What the model is, or was made of.
        model: The model.
        split: What its accuracy is measured on.
        reward: The user's own.

    Raises:
        InputError: If onnxruntime cannot run it, or the reward is no finite number or runs it on what it does not take.
    """
    with naming(source.path):
        runtime = session(model, torch.get_num_threads(), source.network.folder)
        found = accuracy(predict(runtime, split.inputs), split.labels)
    return Score(found, math.nan, reward=None if reward is None else judge(reward, in_onnxruntime(runtime)))


def _history(row: Mapping[str, Any]) -> HistoryRow:
    return {
        "epoch": row["epoch"],
        "loss": row["loss"],
        "reward": row["reward"],
        "entropy": row["entropy"],
        "cost": row["madds"],
        "limit": row["limit"],
        "tilt": row["tilt"],
        "multiplier": row["multiplier"],
    }


def _row(path: Path | None, costs: Cost, size: int | None, latency: float, quality: QualityRow) -> ModelRow:
    return {
        "path": None if path is None else str(path),
        "params": costs.params,
        "madds": costs.madds,
        "size_bytes": size,
        "latency_ms": latency,
        **quality,
    }
