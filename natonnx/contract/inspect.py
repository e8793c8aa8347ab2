"""The payload of `natonnx inspect --json`: the DAG, what may become what and why not, and the cost."""

from collections.abc import Iterator
from typing import TypedDict

from natonnx.architecture import Architecture, State, legal_transitions
from natonnx.contract.rows import CostRow, EdgeRow, TensorRow, cost_row, edge_row, tensor_row
from natonnx.contract.schema import SCHEMA_VERSION
from natonnx.frontend import Network, default_opset

__all__ = [
    "CostRow",
    "FeatureMapRow",
    "InspectedEdge",
    "InspectedTensor",
    "Inspection",
    "ModelRow",
    "OpaqueRow",
    "inspection",
]


class InspectedTensor(TensorRow):
    """An input or output, and the axis that counts samples: None where it has none."""

    batch_axis: int | None


class ModelRow(TypedDict):
    """The file: its path, version of ONNX's own operators (0 where it imports none), IR version, inputs, outputs."""

    path: str
    opset: int
    ir_version: int
    inputs: list[InspectedTensor]
    outputs: list[InspectedTensor]


class FeatureMapRow(TypedDict):
    """A feature map.

    Attributes:
        name: Its name.
        shape: Sizes, or the names of open ones.
        join: How it is made: `input`, `single`, `sum`, `concat` or `opaque`.
        inputs: Feature maps that an opaque one reads; it has no edges.
    """

    name: str
    shape: list[int | str | None]
    join: str
    inputs: list[str]


class InspectedEdge(EdgeRow):
    """An edge, and what it may become.

    Attributes:
        legal: The states that it may change to.
        illegal: For each other state the reason why it may not.
        cheaper: What each cheaper operation by itself costs, whose names are states too; nothing without NAT++.
    """

    legal: list[str]
    illegal: dict[str, str]
    cheaper: dict[str, CostRow]


class OpaqueRow(TypedDict):
    """A node that is kept as it is, its operator, and the reason in one line."""

    node: str
    op_type: str
    reason: str


class Inspection(TypedDict):
    """A model as NAT sees it; `schema` is `SCHEMA_VERSION`."""

    schema: int
    model: ModelRow
    cost: CostRow
    feature_maps: list[FeatureMapRow]
    edges: list[InspectedEdge]
    opaque: list[OpaqueRow]


def inspection(network: Network, path: str) -> Inspection:
    """Describe a model that was read from a path."""
    architecture = network.architecture
    axes = network.batch_axes
    return {
        "schema": SCHEMA_VERSION,
        "model": {
            "path": path,
            "opset": default_opset(network.model) or 0,
            "ir_version": network.model.ir_version,
            "inputs": [
                {**tensor_row(info), "batch_axis": axes.inputs[info.name]}
                for info in network.model.graph.input
                if info.name in network.inputs
            ],
            "outputs": [
                {**tensor_row(info), "batch_axis": axes.outputs[info.name]} for info in network.model.graph.output
            ],
        },
        "cost": cost_row(architecture),
        "feature_maps": [
            {"name": fmap.name, "shape": list(fmap.shape), "join": fmap.join.value, "inputs": list(fmap.inputs)}
            for fmap in architecture.topology.maps
        ],
        "edges": list(_edges(architecture)),
        "opaque": [{"node": node.node, "op_type": node.op_type, "reason": node.reason} for node in network.opaque],
    }


def _edges(architecture: Architecture) -> Iterator[InspectedEdge]:
    rows = zip(architecture.topology.edges, architecture.states, legal_transitions(architecture), strict=True)
    for edge, state, verdict in rows:
        yield {
            **edge_row(edge, state),
            "legal": [wanted.value for wanted, reason in verdict.items() if reason is None],
            "illegal": {wanted.value: reason for wanted, reason in verdict.items() if reason is not None},
            "cheaper": {
                wanted.value: {"params": own.params, "madds": own.madds}
                for wanted, own in edge.operations.items()
                if wanted != State.O
            },
        }
