"""What recurrent layers tell of the batch: their sequences are [steps, samples, features]."""

from pathlib import Path

import onnx

from natonnx.architecture import Shape
from natonnx.frontend.declared import infer, undeclared
from natonnx.frontend.load import true_inputs
from natonnx.frontend.symbols import declared_size
from natonnx.tensors import UNREAD, light_copy

__all__ = ["find_counted", "recurrent_inputs"]


def recurrent_inputs(model: onnx.ModelProto) -> set[str]:
    """Name what recurrent layers read as their sequence or state, whose second axis counts samples by default."""
    return {node.input[position] for node in _layers(model) for position in (0, 5, 6) if position < len(node.input)} - {
        ""
    }


def find_counted(model: onnx.ModelProto, folder: Path | None) -> tuple[dict[str, Shape], int | str | None]:
    """Find the size of the axis that the sequences of all recurrent layers have second.

    Returns:
        Shapes of the model's inputs, an axis without a name being called by its place; and the size, None where there
        are no such layers or they do not agree.
    """
    sequences = {node.input[0] for node in _layers(model)}
    if not sequences:
        return {}, None
    copy = undeclared(light_copy(model, folder, UNREAD))
    for info in true_inputs(copy):
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            if declared_size(dim) is None:
                dim.dim_param = f"{info.name}.{axis}"
    shapes = {info.name: _declared(info) for info in (infer(copy) or copy).graph.value_info}
    inputs = {info.name: _declared(info) for info in true_inputs(copy)}
    read = [shape for name, shape in (shapes | inputs).items() if name in sequences]
    second = {shape[1] for shape in read if len(shape) == 3}
    return inputs, next(iter(second)) if len(second) == 1 else None


def _layers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Recurrent layers that take the batch second, as they do by default."""
    nodes = (node for node in model.graph.node if node.op_type in {"LSTM", "GRU", "RNN"})
    return [node for node in nodes if not any(own.name == "layout" and own.i for own in node.attribute)]


def _declared(info: onnx.ValueInfoProto) -> Shape:
    return tuple(map(declared_size, info.type.tensor_type.shape.dim))
