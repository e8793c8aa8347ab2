"""Shapes of what operators outside ONNX's own set make: onnx knows nothing of them, onnxruntime does when it loads.

Of those in front of a scikit-learn network neither does.
"""

from collections.abc import Mapping
from pathlib import Path

import onnx

from natonnx.architecture import Shape
from natonnx.errors import InputError
from natonnx.frontend.vocabulary import DEFAULT_DOMAIN
from natonnx.session import session, with_outputs

__all__ = ["ask_onnxruntime", "foreign_outputs", "use_stand_ins"]

_ENTRYWISE = {"Binarizer": "Identity", "Imputer": "Identity", "Normalizer": "Cast", "Scaler": "Cast"}
"""Operators of ai.onnx.ml that keep a tensor's shape, and what of ONNX's own does so with the same type."""


def foreign_outputs(model: onnx.ModelProto) -> list[str]:
    """Name what nodes make that are neither ONNX's own operators nor functions of the model."""
    known = {(function.domain, function.name) for function in model.functions}
    nodes = (node for node in model.graph.node if (node.domain, node.op_type) not in known)
    return [name for node in nodes if node.domain not in DEFAULT_DOMAIN for name in node.output if name]


def use_stand_ins(model: onnx.ModelProto) -> None:
    """Put operators of the same shape and type in the place of foreign ones, as far as those are known, in place."""
    for node in model.graph.node:
        if node.domain == "ai.onnx.ml" and node.op_type in _ENTRYWISE:
            node.op_type, node.domain = _ENTRYWISE[node.op_type], ""
            del node.attribute[:], node.input[1:]
            if node.op_type == "Cast":
                node.attribute.append(onnx.helper.make_attribute("to", onnx.TensorProto.FLOAT))


def ask_onnxruntime(
    model: onnx.ModelProto, names: list[str], inputs: Mapping[str, Shape], folder: Path | None
) -> list[onnx.ValueInfoProto]:
    """Load a model to see what onnxruntime infers of tensors; nothing where it does not load.

    Args:
        model: The model.
        names: The tensors.
        inputs: Shapes of its inputs, by which symbols what it infers is to be written.
        folder: Where its external data is.
    """
    named = onnx.ModelProto()
    named.CopyFrom(with_outputs(model, names))
    for info in named.graph.input:
        if info.name in inputs:
            code = info.type.tensor_type.elem_type
            info.CopyFrom(onnx.helper.make_tensor_value_info(info.name, code, inputs[info.name]))
    try:
        told = session(named, folder=folder).get_outputs()
    except InputError:
        return []
    types = {f"tensor({kind.lower()})": code for kind, code in onnx.TensorProto.DataType.items()}
    return [
        onnx.helper.make_tensor_value_info(output.name, types[output.type], output.shape)
        for output in told
        if output.name in names and output.type in types and output.shape  # [] where it does not know the rank
    ]
