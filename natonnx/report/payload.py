"""The machine-readable contracts: what --json prints. Numbers that were not measured are null."""

import math
from collections.abc import Mapping
from typing import Any

import onnx

from natonnx.architecture import Architecture, Edge, State, cost, find_liveness, legal_transitions
from natonnx.frontend import Network, default_opset

__all__ = ["edge_row", "finite", "idle_edges", "inspection", "tensor_row"]


def inspection(network: Network, path: str) -> dict[str, Any]:
    """The payload of `natonnx inspect --json`: the DAG, what may become what and why not, and the cost."""
    architecture = network.architecture
    total = cost(architecture)
    return {
        "model": {
            "path": path,
            "opset": default_opset(network.model) or 0,
            "ir_version": network.model.ir_version,
            "inputs": [tensor_row(info) for info in network.model.graph.input if info.name in network.inputs],
            "outputs": [tensor_row(info) for info in network.model.graph.output],
        },
        "cost": {"params": total.params, "madds": total.madds},
        "feature_maps": [
            {"name": fmap.name, "shape": list(fmap.shape), "join": fmap.join.value, "inputs": list(fmap.inputs)}
            for fmap in architecture.topology.maps
        ],
        "edges": _edges(architecture),
        "opaque": [{"node": node.node, "op_type": node.op_type, "reason": node.reason} for node in network.opaque],
    }


def idle_edges(before: Architecture, after: Architecture) -> list[str]:
    """Names of edges that keep their state but carry nothing any more, their source or reader being gone."""
    rows = zip(
        before.topology.edges,
        before.states,
        after.states,
        find_liveness(before).active,
        find_liveness(after).active,
        strict=True,
    )
    return [edge.name for edge, old, new, was, still in rows if old is new and was and not still]


def edge_row(edge: Edge, state: State) -> dict[str, Any]:
    """An edge and what it carries in a state."""
    return {
        "name": edge.name,
        "source": edge.source,
        "target": edge.target,
        "state": state.value,
        "operation": edge.operation.kind if edge.operation else None,
        "params": edge.operation.params if edge.operation else 0,
        "madds": edge.operation.madds if edge.operation else 0,
    }


def _edges(architecture: Architecture) -> list[dict[str, Any]]:
    rows = zip(architecture.topology.edges, architecture.states, legal_transitions(architecture), strict=True)
    return [
        {
            **edge_row(edge, state),
            "legal": [wanted.value for wanted, reason in verdict.items() if reason is None],
            "illegal": {wanted.value: reason for wanted, reason in verdict.items() if reason is not None},
        }
        for edge, state, verdict in rows
    ]


def tensor_row(info: onnx.ValueInfoProto) -> dict[str, Any]:
    """An input or output as the file declares it: name, element type and shape, None for what is open."""
    tensor = info.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim]
    return {
        "name": info.name,
        "dtype": _dtype(info.type),
        "shape": shape if tensor.HasField("shape") else None,
    }


def _dtype(kind: onnx.TypeProto) -> str | None:
    """The element type; of what is no tensor its type as a whole, such as sequence(float)."""
    what = kind.WhichOneof("value")
    if what in ("sequence_type", "optional_type", "map_type"):
        of = kind.map_type.value_type if what == "map_type" else getattr(kind, what).elem_type
        key = f"{kind.map_type.key_type}, " if what == "map_type" else ""
        return f"{what.removesuffix('_type')}({key}{_dtype(of)})"
    code = (kind.sparse_tensor_type if what == "sparse_tensor_type" else kind.tensor_type).elem_type
    name = onnx.TensorProto.DataType.Name(code).lower() if code in onnx.TensorProto.DataType.values() and code else None
    return f"sparse({name})" if what == "sparse_tensor_type" else name


def finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not know, by None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
