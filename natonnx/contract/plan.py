"""The payload of `natonnx optimize --dry-run --json`."""

from typing import Literal, TypedDict

from natonnx.contract.objective import Objective
from natonnx.contract.optimize import DataRow
from natonnx.contract.rows import CostRow

__all__ = ["Plan", "PriceRow", "SpaceRow"]


class SpaceRow(TypedDict):
    """What may change.

    Attributes:
        edges: Edges of the architecture.
        transitions: Legal transitions of single edges.
        savers: Those that compute something of their own and make the model cheaper.
    """

    edges: int
    transitions: int
    savers: int


class PriceRow(TypedDict):
    """A cost.

    Attributes:
        name: Its key in other payloads: `madds`, `params`, `latency_ms`, `size_bytes`.
        label: In words.
        input: What the input costs.
        smallest: Share of that which the cheapest architecture costs that was found; of latency as it was measured.
        least: Share that no architecture is below; where it is `smallest`, that is exact. None where it is not known.
        targets: Most that it may be, as shares of the input's, the largest first; empty where it is not limited.
    """

    name: str
    label: str
    input: float
    smallest: float
    least: float | None
    targets: list[float]


class Plan(TypedDict):
    """What `optimize` would do.

    Attributes:
        schema: See `SCHEMA_VERSION`.
        status: Always `planned`.
        path: The model.
        cost: What it costs.
        objective: What scores would mean.
        space: What may change.
        prices: What is cheap, what is limited first.
        work: What will be done, in words.
        seconds: That all would take, as a guess; the time budget where that is less.
        memory_bytes: That the process would need, as a guess.
        data: What natonnx understood of the data.
    """

    schema: int
    status: Literal["planned"]
    path: str
    cost: CostRow
    objective: Objective
    space: SpaceRow
    prices: list[PriceRow]
    work: str
    seconds: float
    memory_bytes: int
    data: DataRow
