"""What a node says, read once: protobuf makes each list and each name anew whenever it is asked for."""

from collections.abc import Iterator
from typing import NamedTuple

import onnx

__all__ = ["Node", "note", "reads"]


class Node(NamedTuple):
    """A node of a graph.

    Attributes:
        name: Its own name; "" where it has none.
        op_type: Its operator.
        domain: The operator's.
        input: What it reads by its inputs, "" where one is left out.
        output: What it makes, likewise.
        attribute: Its attributes.
    """

    name: str
    op_type: str
    domain: str
    input: tuple[str, ...]
    output: tuple[str, ...]
    attribute: tuple[onnx.AttributeProto, ...]


def note(node: onnx.NodeProto) -> Node:
    """Read a node."""
    attributes = tuple(node.attribute)
    return Node(node.name, node.op_type, node.domain, tuple(node.input), tuple(node.output), attributes)


def reads(node: onnx.NodeProto | Node) -> Iterator[str]:
    """Names of the tensors a node reads, those that its nested graphs capture included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            made = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer}
            made.update(name for inner in graph.node for name in inner.output)
            yield from (name for inner in graph.node for name in reads(inner) if name not in made)
            yield from (info.name for info in graph.output if info.name not in made)
