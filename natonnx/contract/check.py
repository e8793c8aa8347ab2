"""The payload of `natonnx check --json`."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypedDict

from natonnx.contract.objective import Unit

__all__ = ["CheckReport", "DataRow", "GateName", "GateRow", "GateState", "gate_row"]

GateName = Literal["madds_ratio", "params_ratio", "latency_ratio", "accuracy", "drop", "agreement"]
GateState = Literal["met", "failed", "undecided"]


class GateRow(TypedDict):
    """A limit and whether it is met.

    Attributes:
        name: What it is about, as in the option: `--max-madds-ratio`, `--max-drop`, ...
        label: In words, without a capital.
        at_least: Whether the limit is the least that is allowed, and not the most.
        unit: Of the numbers, which are those of a difference and printed with their sign; None for a plain number.
        limit: As given.
        value: What was found.
        low: Lower end of the value's confidence interval; None where it has none.
        high: Upper end.
        state: `undecided` where the limit lies within the interval.
        detail: In words, with units.
    """

    name: GateName
    label: str
    at_least: bool
    unit: Unit | None
    limit: float
    value: float
    low: float | None
    high: float | None
    state: GateState
    detail: str


class DataRow(TypedDict):
    """What the models were judged on."""

    split: str
    samples: int


class CheckReport(TypedDict):
    """A model against a baseline.

    Attributes:
        schema: See `SCHEMA_VERSION`.
        status: `passed` if every gate is met.
        model: Path of the model.
        baseline: Path of what it is compared with.
        gates: One for each limit.
        data: None where no gate needed any.
    """

    schema: int
    status: Literal["passed", "failed"]
    model: str
    baseline: str
    gates: list[GateRow]
    data: DataRow | None


class _Gate(NamedTuple):
    label: str
    at_least: bool = False
    unit: Unit | None = None


_POINTS: Unit = {"symbol": "points", "scale": 1.0, "difference": "points"}
_GATES: Mapping[GateName, _Gate] = {
    "madds_ratio": _Gate("MAdds ratio"),
    "params_ratio": _Gate("parameters ratio"),
    "latency_ratio": _Gate("latency ratio"),
    "accuracy": _Gate("accuracy", at_least=True),
    "drop": _Gate("accuracy lost", unit=_POINTS),
    "agreement": _Gate("agreement", at_least=True),
}


def gate_row(
    name: GateName,
    limit: float,
    value: float,
    detail: str,
    *,
    label: str | None = None,
    interval: tuple[float, float] | None = None,
) -> GateRow:
    """Judge a value by a limit.

    Args:
        name: What it is about.
        limit: As given.
        value: What was found.
        detail: In words, with units.
        label: What it is called, where that is not always the same.
        interval: Lower and upper end of the value's confidence interval. Both must be within the limit for it to be
            met, and neither for it to be failed.
    """
    kind = _GATES[name]
    ends = interval or (value, value)
    within = [end >= limit if kind.at_least else end <= limit for end in ends]
    low, high = interval or (None, None)
    return {
        "name": name,
        "label": kind.label if label is None else label,
        "at_least": kind.at_least,
        "unit": kind.unit,
        "limit": limit,
        "value": value,
        "low": low,
        "high": high,
        "state": "met" if all(within) else "undecided" if any(within) else "failed",
        "detail": detail,
    }
