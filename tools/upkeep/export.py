"""torch → ONNX by both exporters, at a requested opset, with a dynamic batch."""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import onnx
import torch
from torch import Tensor, nn

from natonnx.files import write_bytes
from tools.upkeep.dynamo import export_dynamo

__all__ = ["Exporter", "export", "quiet", "save"]

Exporter = Literal["dynamo", "script"]


def export(
    model: nn.Module,
    inputs: Sequence[Tensor],
    exporter: Exporter,
    opset: int,
    *,
    keep_norm: bool = False,
    keep_equal: bool = False,
) -> onnx.ModelProto:
    """Export a model in evaluation mode; inputs are named x0, x1 … and the output y.

    Both exporters fold BatchNormalization into the convolution before it, unless told to keep it. The dynamo exporter
    may give another opset than was asked for: it writes 18 or newer and converts down where it can.

    Args:
        model: The model, of one output.
        inputs: Example inputs; their first axis is the batch, which becomes dynamic.
        exporter: "dynamo" (needs onnxscript) or "script", the older one by TorchScript.
        opset: The opset to ask for.
        keep_norm: Keep BatchNormalization nodes.
        keep_equal: With "script", write nodes that compute the same several times, as the model has them. The exporter
            makes one of them otherwise: two poolings of one map can then only be edited together.
    """
    model.eval()
    names = [f"x{i}" for i in range(len(inputs))]
    with quiet():
        if exporter == "dynamo":
            return export_dynamo(model, inputs, names, "y", opset, keep_norm=keep_norm)
        with _without_sharing() if keep_equal else contextlib.nullcontext():
            return _script(model, inputs, names, opset, keep_norm=keep_norm)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporters: deprecations inside torch, what tracing assumes, opsets that cannot be had."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _without_sharing() -> Iterator[None]:
    """Switch the exporter's elimination of common subexpressions off; it has no option for that."""
    name = "_jit_pass_cse"
    found = getattr(torch._C, name)  # noqa: SLF001
    setattr(torch._C, name, lambda _graph: False)  # noqa: SLF001
    try:
        yield
    finally:
        setattr(torch._C, name, found)  # noqa: SLF001


def _script(
    model: nn.Module, inputs: Sequence[Tensor], names: list[str], opset: int, *, keep_norm: bool
) -> onnx.ModelProto:
    mode = torch.onnx.TrainingMode.PRESERVE if keep_norm else torch.onnx.TrainingMode.EVAL
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            tuple(inputs),
            path,
            dynamo=False,
            opset_version=opset,
            input_names=names,
            output_names=["y"],
            dynamic_axes={name: {0: "batch"} for name in (*names, "y")},
            training=mode,
        )
        return onnx.load(path)


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model whole or not at all, in a folder that is made where there is none. Returns the path.

    Raises:
        InputError: If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, model.SerializeToString())
    return path
