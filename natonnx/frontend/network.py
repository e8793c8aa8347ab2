"""A parsed model: the ONNX file, its architecture, and which nodes and tensors each part of the architecture is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from natonnx.architecture import Architecture, Shape

__all__ = ["EdgeBinding", "MapBinding", "Network", "OpaqueNode"]


@dataclass(frozen=True)
class MapBinding:
    """Where a feature map lives in the ONNX graph.

    Attributes:
        join_tensor: The tensor that the join makes, before the activation.
        value_tensor: The tensor that consumers read, after the activation.
        join_node: Position of the Add or Sum node, or of the opaque node; None where there is none.
        chain: Positions of the nodes from the join to the value, in order.
    """

    join_tensor: str
    value_tensor: str
    join_node: int | None = None
    chain: tuple[int, ...] = ()


@dataclass(frozen=True)
class EdgeBinding:
    """Where an edge lives in the ONNX graph.

    Attributes:
        nodes: Positions of the nodes that compute it from its source's value, in order; () for a plain skip and for
            null.
        tensor: The tensor that it hands to its target's join; the source's own value for a plain skip or null.
    """

    nodes: tuple[int, ...]
    tensor: str


@dataclass(frozen=True)
class OpaqueNode:
    """A node that is kept as it is, and why."""

    node: str
    op_type: str
    reason: str


@dataclass(frozen=True)
class Network:
    """An ONNX model and its NAT DAG.

    Attributes:
        model: The model as read; never changed.
        architecture: β.
        maps: Binding of each feature map, by name.
        edges: Binding of each edge, by name.
        opaque: Nodes outside the rules.
        constant_nodes: Positions of nodes that do not depend on the model's input.
        inputs: Names of the model's inputs.
        outputs: Names of the model's outputs.
        shapes: Inferred shape of every tensor, batch first.
        input_shapes: Sizes that were assumed for inputs that the file leaves open.
        window: How many feature maps back an N edge may start.
        folder: Where the model's external data is; None where it has none.
    """

    model: onnx.ModelProto
    architecture: Architecture
    maps: Mapping[str, MapBinding]
    edges: Mapping[str, EdgeBinding]
    opaque: tuple[OpaqueNode, ...]
    constant_nodes: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: Mapping[str, Shape]
    input_shapes: Mapping[str, Sequence[int]]
    window: int
    folder: Path | None = None
