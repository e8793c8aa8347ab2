"""An edge of the NAT DAG, and which edges carry nothing any more after an edit."""

from typing import TypedDict

from natonnx.architecture import Architecture, Edge, State, find_liveness

__all__ = ["EdgeRow", "edge_row", "idle_edges"]


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
    return {
        "name": edge.name,
        "source": edge.source,
        "target": edge.target,
        "state": state.value,
        "operation": edge.operation.kind if edge.operation else None,
        "params": edge.operation.params if edge.operation else 0,
        "madds": edge.operation.madds if edge.operation else 0,
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
    return [edge.name for edge, old, new, was, still in rows if old is new and was and not still]
