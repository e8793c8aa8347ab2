"""Score model files in onnxruntime by an objective."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import torch

from natonnx import data
from natonnx.bench import open_saying, provider_used, why_not
from natonnx.errors import naming
from natonnx.frontend import Network
from natonnx.notices import NOTICE
from natonnx.search.agreement import Agreement
from natonnx.search.assess import with_reward
from natonnx.search.objective import Objective
from natonnx.search.own import RewardFunction, RunnableModel, judge
from natonnx.search.runner import Runner, file_runner
from natonnx.search.score import Score, evaluate
from natonnx.session import session, with_outputs
from natonnx.verbs.objectives import original_outputs
from natonnx.verbs.watched import watched

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["file_device", "file_objective", "judged_runner", "reward_of", "runnable_file", "score_file"]

_log = logging.getLogger(__name__)

_CPU = torch.device("cpu")
_CUDA = "CUDAExecutionProvider"
_EXACT = {"use_tf32": "0"}
"""Products in single precision, as on the CPU: scores of files decide."""


def file_device(network: Network, device: torch.device) -> torch.device:
    """Return where onnxruntime can run a model: the device, or the CPU, which it then says.

    Raises:
        InputError: If onnxruntime refuses the model.
    """
    if device.type != "cuda":
        return _CPU
    runtime, said = open_saying(lambda: _open(network, network.model, torch.get_num_threads(), device))
    if provider_used(runtime) == _CUDA:
        return device
    reason = why_not(said) or "it does not say why"
    _log.log(NOTICE, "files are scored on the CPU, as onnxruntime does not run on CUDA here (%s)", reason)
    return _CPU


def judged_runner(
    network: Network, model: onnx.ModelProto, objective: Objective, threads: int, device: torch.device = _CPU
) -> Runner:
    """Open a model in onnxruntime so that it gives what an objective scores.

    Args:
        network: What the model is, or was made of.
        model: The model; it must have the tensors by the names that they have in the network.
        objective: What is good.
        threads: onnxruntime's threads within an operator.
        device: Where it runs; see `file_device`.

    Raises:
        InputError: If onnxruntime refuses it.
    """
    captures = objective.score_captures
    runtime = _open(network, with_outputs(model, captures), threads, device)
    return file_runner(runtime, network.batch_axes, captures, device if device.type == "cuda" else None)


def _open(network: Network, model: onnx.ModelProto, threads: int, device: torch.device) -> "InferenceSession":
    if device.type != "cuda":
        return session(model, threads, network.folder)
    options = {**_EXACT, "device_id": str(device.index or 0)}
    return session(model, threads, network.folder, provider=_CUDA, provider_options=options)


def file_objective(
    objective: Objective, original: Runner, split: data.Batches, device: torch.device = _CPU
) -> Objective:
    """Fit the objective to a split: agreement is measured by the variances of that split itself."""
    if isinstance(objective, Agreement):
        return Agreement.of(objective.outputs, lambda: original_outputs(original, split, device))
    return objective


def score_file(
    path: Path,
    run: Runner,
    objective: Objective,
    split: data.Batches,
    original: Runner,
    reward: float | None = None,
    device: torch.device = _CPU,
) -> Score:
    """Score a model's file on a split.

    Args:
        path: What a failure is about.
        run: The model; see `judged_runner`.
        objective: What is good on that split; see `file_objective`.
        split: The data.
        original: The original model, for an objective that follows it.
        reward: What the user's own function says of the model, which then decides.
        device: Where both models run.

    Raises:
        InputError: If onnxruntime cannot run it.
    """
    with naming(path):
        found = evaluate(run, objective, watched(split, f"{path}: scored on"), device, original, ranked=False)
    return found if reward is None else with_reward(found, reward)


def runnable_file(network: Network, model: onnx.ModelProto, threads: int) -> RunnableModel:
    """Open a model file as a reward function calls it."""
    axes = network.batch_axes
    return RunnableModel(file_runner(session(model, threads, network.folder), axes, axes.outputs), network)


def reward_of(reward: RewardFunction | None, network: Network, model: onnx.ModelProto, threads: int) -> float | None:
    """Ask the user's own function about a model file; None where there is none."""
    return None if reward is None else judge(reward, runnable_file(network, model, threads))
