"""torch → ONNX with names for all inputs and outputs, by either exporter."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from tools.upkeep.export import Exporter, quiet

__all__ = ["Axes", "export"]

Axes = Mapping[str, Mapping[int, str]]
"""Names of the open axes of each input and output."""


def export(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    axes: Axes,
    exporter: Exporter,
    opset: int,
) -> onnx.ModelProto:
    """Export a model in evaluation mode.

    Args:
        model: The model.
        inputs: Example inputs by name, in the order of `forward`.
        outputs: Names of the outputs.
        axes: The open axes; of outputs they matter to the older exporter only.
        exporter: "dynamo" (needs onnxscript) or "script", the older one by TorchScript.
        opset: The opset to ask for.
    """
    model.eval()
    with quiet():
        if exporter == "script":
            return _script(model, inputs, outputs, axes, opset)
        program = torch.onnx.export(
            model,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=opset,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=_dynamic_shapes(inputs, axes),
            verbose=False,
        )
    assert program is not None
    import onnx_ir
    from onnx_ir.passes import common as passes

    passes.ClearMetadataAndDocStringPass()(program.model)  # stack traces of the exporting machine
    proto: onnx.ModelProto = onnx_ir.to_proto(program.model)
    return proto


def _dynamic_shapes(inputs: Mapping[str, Tensor], axes: Axes) -> tuple[dict[int, torch.export.Dim], ...]:
    names = sorted({name for each in inputs for name in axes.get(each, {}).values()})
    dims = {name: torch.export.Dim(name) for name in names}
    return tuple({axis: dims[name] for axis, name in axes.get(each, {}).items()} for each in inputs)


def _script(
    model: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], axes: Axes, opset: int
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            tuple(inputs.values()),
            path,
            dynamo=False,
            opset_version=opset,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(named) for name, named in axes.items()},
        )
        return onnx.load(path)
