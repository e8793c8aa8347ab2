"""Run a model on batches: an architecture in the supernet, or a file in onnxruntime; both behind one signature."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from natonnx.architecture import Architecture
from natonnx.data.batches import WHOLE, Axes, Batch, Batches, Share
from natonnx.errors import InputError
from natonnx.frontend import BatchAxes
from natonnx.search.objective import Outputs
from natonnx.session import run, run_bound
from natonnx.supernet import Supernet
from natonnx.supernet.ops.operands import as_array, as_tensor
from natonnx.supernet.ops.placement import moved

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = [
    "EVALUATION_BATCH",
    "Runner",
    "TensorBatch",
    "evaluate_by_pieces",
    "evaluation_batch",
    "file_runner",
    "forward",
    "supernet_runner",
    "tensor_batches",
]

EVALUATION_BATCH = 250
"""Samples at once where only the time depends on it."""
_MOST_BYTES = 1 << 25
"""Of inputs at once, in evaluation: 250 pictures of 3 × 105 × 105."""
_CPU_BATCH, _CPU_BYTES = 50, 1 << 23
"""Samples at once on the CPU, in evaluation, and bytes of their inputs: 50 pictures of 3 × 118 × 118."""


@dataclass(frozen=True, eq=False)
class TensorBatch:
    """A `Batch` as tensors."""

    inputs: Mapping[str, Tensor]
    targets: Tensor | None
    size: int


Runner = Callable[[Mapping[str, Tensor], int], Outputs]
"""Runs a model on the inputs of so many samples: what is captured by name, the samples along the first axis."""


def evaluation_batch(split: Batches) -> int:
    """Return how many samples are read at once where only the time depends on it; parts of 250 where they are large."""
    return max(1, EVALUATION_BATCH // max(1, -(-EVALUATION_BATCH * split.sample_bytes // _MOST_BYTES)))


def tensor_batches(
    split: Batches,
    size: int,
    device: torch.device,
    generator: torch.Generator | None = None,
    *,
    start: int = 0,
    share: Share = WHOLE,
) -> Iterator[TensorBatch]:
    """Read samples as tensors on a device; see `Batches.batches`. CUDA copies one while it computes with another."""
    batches = split.batches(size, generator, start=start, share=share)
    return _ahead(batches, device) if device.type == "cuda" else (to_device(batch, device) for batch in batches)


def to_device(batch: Batch, device: torch.device) -> TensorBatch:
    """Turn a batch into tensors on a device, which nobody waits for."""
    inputs = {name: _placed(as_tensor(value), device) for name, value in batch.inputs.items()}
    targets = None if batch.targets is None else _placed(torch.as_tensor(batch.targets), device)
    return TensorBatch(inputs, targets, batch.size)


def _placed(tensor: Tensor, device: torch.device) -> Tensor:
    return moved(tensor.pin_memory() if device.type == "cuda" else tensor, device)


def _ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[TensorBatch]:
    """Copy one batch ahead, in a stream of its own, so that the device copies while it computes."""
    copies, ready = torch.cuda.Stream(device), None  # type: ignore[no-untyped-call]
    for batch in batches:
        with torch.cuda.stream(copies):
            coming = to_device(batch, device)
        if ready is not None:
            yield ready
        here = torch.cuda.current_stream(device)
        here.wait_stream(copies)
        for tensor in (*coming.inputs.values(), *([] if coming.targets is None else [coming.targets])):
            tensor.record_stream(here)
        ready = coming
    if ready is not None:
        yield ready


def forward(
    supernet: Supernet,
    inputs: Mapping[str, Tensor],
    size: int,
    architecture: Architecture,
    captures: Axes,
    momentum: float | None = None,
) -> dict[str, Tensor]:
    """Run an architecture; where the file fixes its batch size, piece by piece.

    Args:
        supernet: The supernet, in training or evaluation mode.
        inputs: By name, in the model's own layout.
        size: How many samples they hold.
        architecture: What to run.
        captures: Tensors to return, with the axis that counts samples in each.
        momentum: See `Supernet.run`.

    Returns:
        Tensors by name, samples first. One without a batch axis gets a first axis of the samples' number.
    """

    def once(part: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return supernet.run(part, architecture, tuple(captures), momentum=momentum)

    axes = supernet.network.batch_axes
    most = size if supernet.training else _affordable(inputs, size)  # a minibatch's statistics are those of the whole
    return _by_pieces(once, inputs, size, axes, captures, most)


def supernet_runner(
    supernet: Supernet, architecture: Architecture, captures: Axes, momentum: float | None = None
) -> Runner:
    """Run an architecture by the supernet's weights, without gradients; the mode is the supernet's own."""

    def run_supernet(inputs: Mapping[str, Tensor], size: int) -> Outputs:
        with torch.no_grad():  # not inference_mode: what comes out may be the target of a loss
            return forward(supernet, inputs, size, architecture, captures, momentum)

    return run_supernet


def evaluate_by_pieces(
    once: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    inputs: Mapping[str, Tensor],
    size: int,
    axes: BatchAxes,
    captures: Axes,
    most: int,
) -> dict[str, Tensor]:
    """Run samples as `forward` does in evaluation mode, in the same pieces each time, one after the other.

    Args:
        once: Runs a piece; returns what is captured, in the model's own layout.
        inputs: By name, in the model's own layout.
        size: How many samples they hold.
        axes: Batch axes of the model.
        captures: Tensors that `once` returns, with the axis that counts samples in each.
        most: Samples of a piece, at most, where the file leaves that open.
    """
    return _by_pieces(once, inputs, size, axes, captures, min(most, _affordable(inputs, size)))


def file_runner(
    runtime: "InferenceSession", axes: BatchAxes, captures: Axes, device: torch.device | None = None
) -> Runner:
    """Run a model file in onnxruntime.

    Args:
        runtime: A session of it, whose outputs include what is captured.
        axes: Batch axes of its inputs.
        captures: Outputs to return, with the axis that counts samples in each.
        device: Where the session runs, which gets and gives tensors there; numpy arrays of the CPU where None.
    """

    def once(part: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if device is not None:
            return run_bound(runtime, part, list(captures))
        found = run(runtime, {name: as_array(value) for name, value in part.items()})
        missing = captures.keys() - found.keys()
        if missing:
            raise InputError(f"the model does not make {', '.join(sorted(missing))}, which it is judged by")
        return {name: as_tensor(found[name]) for name in captures}

    def run_file(inputs: Mapping[str, Tensor], size: int) -> Outputs:
        placed = {name: value.to(device or "cpu") for name, value in inputs.items()}
        return _by_pieces(once, placed, size, axes, captures, _affordable(inputs, size))

    return run_file


def _by_pieces(
    once: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    inputs: Mapping[str, Tensor],
    size: int,
    axes: BatchAxes,
    captures: Axes,
    most: int,
) -> dict[str, Tensor]:
    """Run samples at once, or by pieces: of what the file takes, the last one filled up, else of `most` at most."""
    piece = axes.size or min(size, most)
    if piece == size:
        return {name: _samples_first(value, captures[name], size) for name, value in once(inputs).items()}
    pieces: list[dict[str, Tensor]] = []
    for start in range(0, size, piece):
        count = min(piece, size - start)
        index = torch.arange(start, start + (axes.size or count)).clamp(max=size - 1)
        part = {
            name: value
            if (axis := axes.inputs.get(name)) is None
            else value.index_select(axis, moved(index, value.device))
            for name, value in inputs.items()
        }
        made = {name: _samples_first(value, captures[name], len(index)) for name, value in once(part).items()}
        pieces.append({name: value[:count] for name, value in made.items()})
    return {name: torch.cat([piece[name] for piece in pieces]) for name in captures}


def _chosen(value: Tensor, axis: int, index: Tensor) -> Tensor:
    return value.index_select(axis, moved(index, value.device))


def _affordable(inputs: Mapping[str, Tensor], size: int) -> int:
    """Samples whose inputs take `_MOST_BYTES` at most, since feature maps take many times as much; at least one.

    On the CPU they are fewer than would fit: of some 50 the feature maps stay in its caches (docs/benchmarks.md).
    """
    on_cpu = all(value.device.type == "cpu" for value in inputs.values())
    most, count = (_CPU_BYTES, _CPU_BATCH) if on_cpu else (_MOST_BYTES, size)
    total = sum(value.numel() * value.element_size() for value in inputs.values())
    return max(1, min(count, size * most // max(1, total)))


def _samples_first(value: Tensor, axis: int | None, size: int) -> Tensor:
    """Move the batch axis to the front."""
    if axis is None:
        return value.expand(size, *value.shape)
    return value if axis == 0 else value.movedim(axis, 0)
