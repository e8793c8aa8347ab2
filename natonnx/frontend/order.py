"""Put nodes in topological order, which ONNX asks for and onnxruntime does without."""

from graphlib import CycleError, TopologicalSorter

import onnx

from natonnx.frontend.node import reads

__all__ = ["in_order"]


def in_order(model: onnx.ModelProto) -> onnx.ModelProto:
    """Order the nodes of a model's main graph so that each stands behind those that it reads from.

    Returns:
        A copy; the model itself where they are in order, or read in a circle.
    """
    nodes = list(model.graph.node)
    makers = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    if all(makers.get(name, -1) < i for i, node in enumerate(nodes) for name in reads(node)):
        return model
    before = {i: [makers[name] for name in reads(node) if name in makers] for i, node in enumerate(nodes)}
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes[i] for i in order)
    return copy
