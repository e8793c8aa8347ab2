"""From a model to what a search needs: its data, and a network that can be trained."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple, get_args

import torch

from natonnx import data
from natonnx.errors import InputError, naming
from natonnx.frontend import Source
from natonnx.search import Problem, RewardFunction, TensorSplit
from natonnx.supernet import Supernet, Unfolded, has_batchnorm, unfold
from natonnx.verbs.samples import load_data

__all__ = ["BatchNormMode", "DeviceName", "Prepared", "prepare"]

BatchNormMode = Literal["auto", "keep", "unfold"]
DeviceName = Literal["auto", "cpu", "cuda"]
_CALIBRATION = 500

_log = logging.getLogger(__name__)


class Prepared(NamedTuple):
    """What a search of a model needs.

    Attributes:
        images: The data, as the model wants it.
        problem: Network, splits and device.
        unfolded: How normalisation was unfolded; None where it was not.
    """

    images: data.Dataset
    problem: Problem
    unfolded: Unfolded | None


def prepare(
    source: Source,
    given: data.Data | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    *,
    batchnorm: BatchNormMode = "auto",
    device: DeviceName = "auto",
    seed: int = 0,
    reward: RewardFunction | None = None,
) -> Prepared:
    """Load the data that is given, and make a trainable network of the model; see `natonnx.optimize` for the arguments.

    Raises:
        InputError: If the model is no classifier that can be trained, or the data is bad.
    """
    for name, value, kinds in (("batchnorm", batchnorm, BatchNormMode), ("device", device, DeviceName)):
        if value not in get_args(kinds):
            raise InputError(f"unknown {name} {value!r}: choose one of {', '.join(get_args(kinds))}")
    images = load_data(source, given, preprocessing or {}, seed)
    problem, unfolded = _make_problem(source, images, batchnorm, _choose_device(device))
    return Prepared(images, replace(problem, reward=reward), unfolded)


def _make_problem(
    source: Source, images: data.Dataset, batchnorm: BatchNormMode, device: torch.device
) -> tuple[Problem, Unfolded | None]:
    network, unfolded = source.network, None
    train = _to_device(images.train, device)
    if batchnorm == "unfold" or (batchnorm == "auto" and not has_batchnorm(network)):
        unfolded = unfold(network, train.inputs[:_CALIBRATION].cpu())
        network = unfolded.network
    supernet = Supernet(network)
    if not any(parameter.requires_grad for parameter in supernet.parameters()):
        raise InputError(f"{source.path}: has no trainable weights; there is nothing to optimize")
    with naming(source.path):
        supernet.require_scores()
    _log.info(
        "%s: on %s, %d CPU threads, BatchNormalization %s",
        source.path,
        device,
        torch.get_num_threads(),
        "unfolded" if unfolded else "as in the file",
    )
    if supernet.in_onnxruntime:
        _log.info("run by onnxruntime, without a gradient: %s", ", ".join(supernet.in_onnxruntime))
    validation = _to_device(images.validation, device)
    beta = source.network.architecture
    return Problem(network, train, validation, images.augment, device, beta, supernet.in_onnxruntime), unfolded


def _to_device(split: data.Split, device: torch.device) -> TensorSplit:
    return TensorSplit(torch.from_numpy(split.inputs).to(device), torch.from_numpy(split.labels).to(device))


def _choose_device(device: str) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no CUDA device here; choose cpu or auto")
    torch.backends.cudnn.allow_tf32 = False  # the result is checked in float32
    return torch.device(device)
