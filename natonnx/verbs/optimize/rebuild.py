"""Rebuild: what a search found as model files, each made and scored once, as what is written must not be worse."""

from dataclasses import dataclass, field, replace

import numpy as np
import onnx
import torch

from natonnx import __version__
from natonnx.architecture import Architecture, Edit, edits_between
from natonnx.errors import naming
from natonnx.rewrite import add_provenance, build
from natonnx.search import Candidate, Objective, Outcome, Score
from natonnx.search.keys import key
from natonnx.search.runner import Runner
from natonnx.supernet import fold
from natonnx.verbs.optimize.prepare import Prepared
from natonnx.verbs.scoring import file_device, file_objective, judged_runner, reward_of, score_file

__all__ = ["Original", "Rebuilt", "Workshop", "file_weights", "open_original"]


@dataclass(frozen=True, eq=False)
class Original:
    """The input model's file in onnxruntime.

    Attributes:
        run: Runs it.
        validation: The objective on the validation split.
        test: On the test split; None where there is none.
        score: What the file scores on validation.
        test_score: And on test.
        device: Where files run.
    """

    run: Runner
    validation: Objective
    test: Objective | None
    score: Score
    test_score: Score | None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """A candidate as a model file.

    Attributes:
        candidate: What it is made of, its score that of the file.
        alpha: Its architecture over the edges of the file's own network.
        edits: From β to it.
        model: The file, which says what was done to it.
        run: Runs it in onnxruntime.
    """

    candidate: Candidate
    alpha: Architecture
    edits: tuple[Edit, ...]
    model: onnx.ModelProto
    run: Runner


def file_weights(prepared: Prepared, candidate: Candidate) -> dict[str, np.ndarray]:
    """A candidate's weights as the file has them: with what was unfolded for training folded again."""
    return fold(prepared.unfolded, candidate.weights) if prepared.unfolded else dict(candidate.weights)


def open_original(prepared: Prepared) -> Original:
    """Open the input model's file and score it.

    Raises:
        InputError: If onnxruntime cannot run it on the data.
    """
    network, problem = prepared.source.network, prepared.problem
    with naming(prepared.source.path):
        place = file_device(network, problem.device)
        run = judged_runner(network, network.model, problem.objective, torch.get_num_threads(), place)
    path, parts = prepared.source.path, prepared.parts
    validation = file_objective(problem.objective, run, parts.validation, place)
    own = reward_of(problem.reward, network, network.model, torch.get_num_threads())
    score = score_file(path, run, validation, parts.validation, run, own, place)
    if parts.test is None:
        return Original(run, validation, None, score, None, place)
    test = file_objective(problem.objective, run, parts.test, place)
    return Original(run, validation, test, score, score_file(path, run, test, parts.test, run, device=place), place)


@dataclass(frozen=True, eq=False)
class Workshop:
    """Makes files of candidates, each once.

    Attributes:
        prepared: The model and its data.
        original: The input model's file.
    """

    prepared: Prepared
    original: Original
    _made: dict[tuple[str, float | None], Rebuilt] = field(default_factory=dict, repr=False)
    _tested: dict[Rebuilt, Score] = field(default_factory=dict, repr=False)

    def rebuild(self, candidate: Candidate) -> Rebuilt:
        """Make the file of a candidate, and score it on validation; each once."""
        own = key(candidate.architecture), candidate.target
        if own not in self._made:
            self._made[own] = self._build(candidate)
        return self._made[own]

    def measured(self, outcome: Outcome) -> Outcome:
        """Put the scores of the files in the place of the supernet's."""
        return replace(
            outcome,
            beta=None if outcome.beta is None else self.rebuild(outcome.beta).candidate,
            candidates=tuple(self.rebuild(candidate).candidate for candidate in outcome.candidates),
        )

    def test_score(self, rebuilt: Rebuilt) -> Score | None:
        """Score a file on the test split, once; None where there is none. It decides nothing but a promise."""
        objective, test = self.original.test, self.prepared.parts.test
        if objective is None or test is None:
            return None
        if rebuilt not in self._tested:
            path = self.prepared.source.path
            run, original = rebuilt.run, self.original
            self._tested[rebuilt] = score_file(path, run, objective, test, original.run, device=original.device)
        return self._tested[rebuilt]

    def _build(self, candidate: Candidate) -> Rebuilt:
        prepared, threads = self.prepared, torch.get_num_threads()
        network, problem = prepared.source.network, prepared.problem
        alpha = network.architecture.with_states(candidate.architecture.states)
        model = build(network, alpha, file_weights(prepared, candidate))
        original, place = self.original, self.original.device
        run = judged_runner(network, model, problem.objective, threads, place)
        own = reward_of(problem.reward, network, model, threads)
        validation = prepared.parts.validation
        found = score_file(prepared.source.path, run, original.validation, validation, original.run, own, place)
        score = found._replace(ranking=candidate.validation.ranking)
        edits = edits_between(network.architecture, alpha)
        add_provenance(model, version=__version__, source_sha256=prepared.source.sha256, edits=edits)
        return Rebuilt(replace(candidate, validation=score), alpha, edits, model, run)
