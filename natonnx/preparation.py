"""From a model to what a search needs: its data, and a network that can be trained."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, NamedTuple

import onnx
import torch

from natonnx import data
from natonnx.api import Source
from natonnx.errors import InputError
from natonnx.search import Problem, TensorSplit
from natonnx.supernet import Supernet, Unfolded, has_batchnorm, unfold

__all__ = ["BatchNormMode", "DeviceName", "Prepared", "prepare"]

BatchNormMode = Literal["auto", "keep", "unfold"]
DeviceName = Literal["auto", "cpu", "cuda"]
_CALIBRATION = 500


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
    dataset: str | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    *,
    batchnorm: BatchNormMode = "auto",
    device: DeviceName = "auto",
    seed: int = 0,
) -> Prepared:
    """Load the data, and make a trainable network of the model; see `natonnx.optimize` for the arguments.

    Raises:
        InputError: If the model is no classifier that can be trained, or the data is bad.
    """
    images = _load_data(source, dataset, preprocessing or {}, seed)
    return Prepared(images, *_make_problem(source, images, batchnorm, _choose_device(device)))


def _load_data(source: Source, spec: str | None, overrides: Mapping[str, Any], seed: int) -> data.Dataset:
    shape, classes = _classifier(source)
    metadata = {prop.key: prop.value for prop in source.network.model.metadata_props}
    if spec is not None:
        metadata.pop("natonnx.data", None)
    named, preprocessing = data.metadata_options(metadata)
    spec = spec if spec is not None else named
    if spec is None:
        raise InputError(f"{source.path}: names no data of its own; give --data (a built-in name, .npz, folder, ...)")
    fields = {**asdict(preprocessing), **{key: value for key, value in overrides.items() if value is not None}}
    return data.load(spec, input_shape=shape, classes=classes, preprocessing=data.Preprocessing(**fields), seed=seed)


def _classifier(source: Source) -> tuple[tuple[int | None, ...], int]:
    """Input shape without the batch, and number of classes, of a model that this version can train."""
    network = source.network
    if len(network.inputs) != 1:
        raise InputError(f"{source.path}: has {len(network.inputs)} inputs; only one can be trained so far")
    if len(network.outputs) != 1:
        raise InputError(f"{source.path}: has {len(network.outputs)} outputs; only one can be trained so far")
    types = {info.name: info.type.tensor_type.elem_type for info in network.model.graph.input}
    if types[network.inputs[0]] != onnx.TensorProto.FLOAT:
        raise InputError(f"{source.path}: its input is not float32; only float32 can be trained so far")
    shape = network.shapes.get(network.inputs[0], ())
    if not shape or isinstance(shape[0], int):
        size = shape[0] if shape else "unknown"
        raise InputError(
            f"{source.path}: its batch size is fixed ({size}); give --free-batch or export it with a dynamic one"
        )
    if any(not isinstance(size, int) for size in shape[1:]):
        raise InputError(f"{source.path}: its input {network.inputs[0]!r} has open sizes; give --input-shape")
    output = network.shapes.get(network.outputs[0], ())
    sizes = [size for size in output[1:] if size != 1]
    if len(sizes) != 1 or not isinstance(sizes[0], int):
        raise InputError(f"{source.path}: output {network.outputs[0]!r} of shape {output} is not one score a class")
    return tuple(size if isinstance(size, int) else None for size in shape[1:]), sizes[0]


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
    supernet.require_scores()
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
