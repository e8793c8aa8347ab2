"""Models below opset 5 as models of that opset: onnx infers no shape behind a Reshape whose target is an attribute."""

import numpy as np
import onnx
from onnx import numpy_helper

from natonnx.frontend.load import default_opset
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN

__all__ = ["with_shape_inputs"]

_FIRST = 5
"""The opset from which Reshape reads its target."""


def with_shape_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model of which onnx can infer shapes as of one of opset 5; not to be run.

    Returns:
        A copy; the model itself where no Reshape has its target as an attribute.
    """
    reshapes = [node for node in model.graph.node if node.op_type == "Reshape" and len(node.input) == 1]
    if not reshapes or (default_opset(model) or _FIRST) >= _FIRST:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for entry in copy.opset_import:
        if entry.domain in DEFAULT_DOMAIN:
            entry.version = _FIRST
    for node in copy.graph.node:
        named = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type == "Reshape" and "shape" in named:
            node.input.append(f"{node.output[0]}/natonnx_shape")
            target = np.array(named["shape"].ints, np.int64)
            copy.graph.initializer.append(numpy_helper.from_array(target, node.input[1]))
            del node.attribute[:]
        elif node.op_type == "Pad" and "paddings" in named:
            named["paddings"].name = "pads"
        elif node.op_type == "Concat" and "axis" not in named:
            node.attribute.append(onnx.helper.make_attribute("axis", 1))
    return copy
