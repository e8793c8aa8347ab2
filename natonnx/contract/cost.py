"""What an architecture costs."""

from typing import TypedDict

from natonnx.architecture import Architecture, cost

__all__ = ["CostRow", "cost_row"]


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
