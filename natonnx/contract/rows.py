"""Rows that several payloads have: tensors, edges, costs and checks."""

from collections.abc import Iterable
from typing import TypedDict

import onnx

from natonnx.architecture import Architecture, Edge, State, cost, find_liveness

__all__ = [
    "CheckRow",
    "CostRow",
    "EdgeRow",
    "TensorRow",
    "check_rows",
    "cost_row",
    "edge_row",
    "idle_edges",
    "tensor_row",
]


class TensorRow(TypedDict):
    """What a file declares of an input or output.

    Attributes:
        name: Its name.
        dtype: Element type, such as `float`; of what is no tensor its type as a whole, such as `sequence(float)`.
        shape: A size, or the name of one that is open, or None for one without a name; None where there is no shape.
    """

    name: str
    dtype: str | None
    shape: list[int | str | None] | None


def tensor_row(info: onnx.ValueInfoProto) -> TensorRow:
    """Describe an input or output as the file declares it."""
    tensor = info.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim]
    return {
        "name": info.name,
        "dtype": _dtype(info.type),
        "shape": shape if tensor.HasField("shape") else None,
    }


def _dtype(kind: onnx.TypeProto) -> str | None:
    what = kind.WhichOneof("value")
    if what in ("sequence_type", "optional_type", "map_type"):
        of = kind.map_type.value_type if what == "map_type" else getattr(kind, what).elem_type
        key = f"{kind.map_type.key_type}, " if what == "map_type" else ""
        return f"{what.removesuffix('_type')}({key}{_dtype(of)})"
    code = (kind.sparse_tensor_type if what == "sparse_tensor_type" else kind.tensor_type).elem_type
    name = onnx.TensorProto.DataType.Name(code).lower() if code in onnx.TensorProto.DataType.values() and code else None
    return f"sparse({name})" if what == "sparse_tensor_type" else name


class EdgeRow(TypedDict):
    """An edge and what it carries in a state.

    Attributes:
        name: Its name.
        source: The feature map that it reads.
        target: The feature map that it leads to.
        state: `O`, `S` or `N`.
        operation: Kind of the operation that it has or had; None for a shortcut.
        params: Parameters of the operation; 0 where there is none.
        madds: Multiply-adds a sample; None where some size is open.
    """

    name: str
    source: str
    target: str
    state: str
    operation: str | None
    params: int
    madds: int | None


def edge_row(edge: Edge, state: State) -> EdgeRow:
    """Describe an edge in a state."""
    own = edge.operation
    return {
        "name": edge.name,
        "source": edge.source,
        "target": edge.target,
        "state": state.value,
        "operation": own.kind if own else None,
        "params": own.params if own else 0,
        "madds": own.madds if own else 0,
    }


def idle_edges(before: Architecture, after: Architecture) -> list[str]:
    """Name the edges that keep their state but carry nothing any more, their source or reader being gone."""
    rows = zip(
        before.topology.edges,
        before.states,
        after.states,
        find_liveness(before).active,
        find_liveness(after).active,
        strict=True,
    )
    return [edge.name for edge, old, new, was, still in rows if old == new and was and not still]


class CostRow(TypedDict):
    """Costs of an architecture.

    Attributes:
        params: Trainable parameters.
        madds: Multiply-adds a sample; None where some size is open.
    """

    params: int
    madds: int | None


def cost_row(architecture: Architecture) -> CostRow:
    """Count what an architecture costs; see `natonnx.architecture.cost`."""
    return {"params": (total := cost(architecture)).params, "madds": total.madds}


class CheckRow(TypedDict):
    """One check: its name, whether it passed, and what it saw."""

    name: str
    passed: bool
    detail: str


def check_rows(checks: Iterable[tuple[str, bool, str]]) -> list[CheckRow]:
    """Describe checks, such as those of `natonnx.rewrite.verify`."""
    return [{"name": name, "passed": passed, "detail": detail} for name, passed, detail in checks]
