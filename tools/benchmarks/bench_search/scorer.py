"""Score architectures by given weights, their normalisation's statistics estimated anew: no refit, no training."""

from collections.abc import Mapping

import numpy as np
import torch

from natonnx.architecture import Architecture
from natonnx.search import Objective, Problem, Score
from natonnx.search.runner import supernet_runner
from natonnx.search.score import evaluate, reestimate
from natonnx.supernet import Supernet
from tools.benchmarks.bench_search.task import Task

__all__ = ["Scorer"]


class Scorer:
    """Scores architectures by the file's weights.

    Args:
        task: Network and data.
        calibration: Training images for the statistics.
        held_out: Validation images that are scored; all where None.
        objective: What is good; the task's own where None.

    Attributes:
        images: Images that architectures ran on so far, each pass forward only.
    """

    def __init__(
        self, task: Task, calibration: int = 160, held_out: int | None = 500, objective: Objective | None = None
    ) -> None:
        self._problem: Problem = task.problem
        self._objective = objective or task.problem.objective
        self._original, self._given = task.original, task.given
        self._work = Supernet(task.problem.network).to(task.problem.device)
        generator = torch.Generator().manual_seed(task.seed)
        self._calibration = task.problem.train.sample(calibration, generator)
        self._held_out = task.problem.validation
        if held_out is not None:
            self._held_out = task.problem.validation.sample(held_out, generator)
        self.images = 0

    def score(self, alpha: Architecture, refitted: Mapping[str, np.ndarray] | None = None) -> Score:
        """Score an architecture.

        Args:
            alpha: The architecture.
            refitted: Arrays by ONNX name that replace the file's, statistics among them; where None the file's weights
                count, with statistics that are estimated here.
        """
        problem, captures = self._problem, self._objective.captures
        self._work.load_state_dict(self._given.state_dict())
        if refitted is None:
            reestimate(self._work, alpha, self._calibration, problem.device, captures)
            self.images += self._calibration.samples
        else:
            self._work.load_weights(refitted)
        self._work.eval()
        run = supernet_runner(self._work, alpha, captures)
        found = evaluate(run, self._objective, self._held_out, problem.device, self._original)
        self.images += found.samples
        return found

    def __call__(self, alpha: Architecture) -> float:
        """Return the mean log-likelihood, or what else the objective's loss is, with a minus sign."""
        return self.score(alpha).ranking
