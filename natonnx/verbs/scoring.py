"""Score model files in onnxruntime by an objective."""

from pathlib import Path

import onnx
import torch

from natonnx import data
from natonnx.errors import naming
from natonnx.frontend import Network
from natonnx.search.agreement import Agreement
from natonnx.search.assess import with_reward
from natonnx.search.objective import Objective
from natonnx.search.own import RewardFunction, RunnableModel, judge
from natonnx.search.runner import Runner, file_runner
from natonnx.search.score import Score, evaluate
from natonnx.session import session, with_outputs
from natonnx.verbs.objectives import original_outputs
from natonnx.verbs.watched import watched

__all__ = ["file_objective", "judged_runner", "reward_of", "runnable_file", "score_file"]

_CPU = torch.device("cpu")


def judged_runner(network: Network, model: onnx.ModelProto, objective: Objective, threads: int) -> Runner:
    """Open a model in onnxruntime so that it gives what an objective scores.

    Args:
        network: What the model is, or was made of.
        model: The model; it must have the tensors by the names that they have in the network.
        objective: What is good.
        threads: onnxruntime's threads within an operator.

    Raises:
        InputError: If onnxruntime refuses it.
    """
    captures = objective.score_captures
    runtime = session(with_outputs(model, captures), threads, network.folder)
    return file_runner(runtime, network.batch_axes, captures)


def file_objective(objective: Objective, original: Runner, split: data.Batches) -> Objective:
    """Fit the objective to a split: agreement is measured by the variances of that split itself."""
    if isinstance(objective, Agreement):
        return Agreement.of(objective.outputs, lambda: original_outputs(original, split, _CPU))
    return objective


def score_file(
    path: Path,
    run: Runner,
    objective: Objective,
    split: data.Batches,
    original: Runner,
    reward: float | None = None,
) -> Score:
    """Score a model's file on a split.

    Args:
        path: What a failure is about.
        run: The model; see `judged_runner`.
        objective: What is good on that split; see `file_objective`.
        split: The data.
        original: The original model, for an objective that follows it.
        reward: What the user's own function says of the model, which then decides.

    Raises:
        InputError: If onnxruntime cannot run it.
    """
    with naming(path):
        found = evaluate(run, objective, watched(split, f"{path}: scored on"), _CPU, original, ranked=False)
    return found if reward is None else with_reward(found, reward)


def runnable_file(network: Network, model: onnx.ModelProto, threads: int) -> RunnableModel:
    """Open a model file as a reward function calls it."""
    axes = network.batch_axes
    return RunnableModel(file_runner(session(model, threads, network.folder), axes, axes.outputs), network)


def reward_of(reward: RewardFunction | None, network: Network, model: onnx.ModelProto, threads: int) -> float | None:
    """Ask the user's own function about a model file; None where there is none."""
    return None if reward is None else judge(reward, runnable_file(network, model, threads))
