"""From what a search found to a model that is better and verified, or to none, and the report on it."""

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import onnx
import torch

from natonnx import __version__, data
from natonnx.architecture import Cost, Edit, cost, edits_between
from natonnx.bench import accuracy, latencies_ms, predict
from natonnx.errors import naming
from natonnx.frontend import Source
from natonnx.report.payload import finite, idle_edges
from natonnx.rewrite import Check, add_provenance, build, require, verify
from natonnx.rewrite.edits import edits_to_data
from natonnx.search import Candidate, Decision, Outcome, RewardFunction, Score, Scored, Settings, decide
from natonnx.search.reward import in_onnxruntime, judge
from natonnx.session import session
from natonnx.supernet import Supernet, fold
from natonnx.verbs.optimize.prepare import Prepared

__all__ = ["Conclusion", "score_file"]


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

    def report(self, output: Path | None, size: int | None, seconds: float) -> dict[str, Any]:
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
        given = _row(self.source.path, cost(network.architecture), self.source.size_bytes, latencies[0])
        after = None
        if winner is not None and self.model is not None:
            row = _row(output, cost(self._alpha), size, latencies[1])
            after = {**row, **self._quality(self.model, winner.validation)}
        report = {
            "status": "unchanged" if self.model is None else "improved",
            "input": {**given, **self._quality(network.model, self._given)},
            "output": after,
            "edits": edits_to_data(self.edits),
            "idle_edges": idle_edges(network.architecture, self._alpha),
            "constraints": [asdict(limit) for limit in self.decision.constraints],
            "checks": [check._asdict() for check in self._checks],
            "without_gradient": list(self._problem.without_gradient),
            "learner": self.settings.learner,
            "seed": self.settings.seed,
            "seconds": seconds,
            "history": [dict(row) for row in self.outcome.history],
            "finetuned_input": self._quality(self._build(beta), beta.validation),
            "candidates": [self._candidate(candidate) for candidate in self.outcome.candidates],
            "scored": [self._candidate(scored) for scored in self.outcome.scored],
        }
        made: dict[str, Any] = finite(report)
        return made

    def _quality(self, model: onnx.ModelProto, validation: Score) -> dict[str, Any]:
        """Accuracies by split, as fractions, the test split's measured here; and the user's own reward."""
        test = None if self._images.test is None else score_file(self.source, model, self._images.test).accuracy
        return {"accuracy": {"validation": validation.accuracy, "test": test}, **_reward(validation)}

    def _candidate(self, candidate: Candidate | Scored) -> dict[str, Any]:
        architecture = self.source.network.architecture
        alpha = architecture.with_states(candidate.architecture.states)
        params, madds = cost(alpha)
        return {
            "params": params,
            "madds": madds,
            "accuracy": {"validation": candidate.validation.accuracy, "test": None},
            **_reward(candidate.validation),
            "edits": edits_to_data(edits_between(architecture, alpha)),
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


def _reward(score: Score) -> dict[str, float]:
    """The user's own reward, where there is one."""
    return {} if score.reward is None else {"reward": score.reward}


def _row(path: Path | None, costs: Cost, size: int | None, latency: float) -> dict[str, Any]:
    return {
        "path": None if path is None else str(path),
        "params": costs.params,
        "madds": costs.madds,
        "size_bytes": size,
        "latency_ms": latency,
    }
