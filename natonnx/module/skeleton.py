"""What a file holds besides the tensors of a module: enough to write the file again."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto

from natonnx.tensors import all_tensors, is_external, is_pending, read_tensor, with_values

__all__ = ["Leaf", "leaves", "with_weights", "without_values"]

_VALUES = ("raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data", "string_data")


class Leaf(NamedTuple):
    """A floating-point constant as the file holds it: an initializer, or what a Constant node has as `value`."""

    name: str
    tensor: TensorProto


def leaves(model: onnx.ModelProto) -> Iterator[Leaf]:
    """The tensors of a model's main graph that stand for themselves, and whose values may be replaced in place."""
    for tensor in model.graph.initializer:
        yield Leaf(tensor.name, tensor)
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield Leaf(node.output[0], attribute.t)


def without_values(model: onnx.ModelProto, names: Collection[str], folder: Path | None) -> onnx.ModelProto:
    """Copy a model without the values of some leaves; what else lies in data files is read.

    Args:
        model: The model.
        names: Of the leaves.
        folder: Where its external data is.

    Raises:
        InputError: If a data file cannot be read.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for name, tensor in leaves(copy):
        if name in names:
            for field in _VALUES:
                tensor.ClearField(field)
            if is_external(tensor):
                tensor.raw_data = b""  # pending, as it will be
    for tensor in all_tensors(copy):
        if is_external(tensor) and not is_pending(tensor):
            tensor.CopyFrom(with_values(tensor, read_tensor(tensor, folder)))
    return onnx.ModelProto.FromString(copy.SerializeToString())  # the memory of what was cleared is free then


def with_weights(model: onnx.ModelProto, values: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """Copy a model with values of leaves, whose shapes they have from then on."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for name, tensor in leaves(copy):
        if name in values:
            tensor.CopyFrom(with_values(tensor, values[name]))
    return copy
