"""Shapes of a Loop's states, of which onnx tells none, as a body may change them from one round to the next.

Where a body that is given the shapes of the initial states makes states of the same shapes, they stay in every round.
"""

from collections.abc import Mapping

import onnx
from onnx import helper

from natonnx.architecture import Shape
from natonnx.frontend.declared import infer

__all__ = ["loop_states"]


def loop_states(
    model: onnx.ModelProto, shapes: Mapping[str, Shape], dtypes: Mapping[str, int]
) -> list[onnx.ValueInfoProto]:
    """What loops of the main graph make of their states, where that keeps its shape and nothing tells it yet."""
    found: list[onnx.ValueInfoProto] = []
    for node in model.graph.node:
        if node.op_type != "Loop" or not node.attribute:
            continue
        body = node.attribute[0].g
        states = [name for name in node.input[2:] if name]
        known = len(states) == len(body.input) - 2 and all(
            name in shapes and dtypes.get(name, 0) > 0 for name in states
        )
        if not known or all(name in shapes for name in node.output[: len(states)] if name):
            continue
        given = {info.name: name for info, name in zip(body.input[2:], states, strict=True)}
        own = {info.name for info in body.input} | {name for inner in body.node for name in inner.output}
        read = dict.fromkeys(name for inner in body.node for name in inner.input)
        captured = [name for name in read if name in shapes and dtypes.get(name, 0) > 0 and name not in own]
        part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
        part.graph.CopyFrom(body)
        del part.graph.input[2:], part.graph.value_info[:]
        for inner, name in (*given.items(), *((name, name) for name in captured)):
            part.graph.input.append(helper.make_tensor_value_info(inner, dtypes[name], shapes[name]))
        for info in part.graph.output:
            info.type.tensor_type.ClearField("shape")
        whole = infer(part)
        if whole is None:
            continue
        made = [helper.make_tensor_value_info("", 1, shapes[name]).type.tensor_type.shape for name in states]
        if made == [info.type.tensor_type.shape for info in whole.graph.output[1 : 1 + len(states)]]:
            found.extend(
                helper.make_tensor_value_info(out, dtypes[name], shapes[name])
                for out, name in zip(node.output, states, strict=False)
                if out
            )
    return found
