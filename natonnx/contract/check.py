"""The payload of `natonnx check --json`."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypedDict

from natonnx.contract.objective import Unit

__all__ = ["CheckReport", "Clock", "DataRow", "GateName", "GateRow", "GateState", "Status", "gate_row", "status_of"]

GateName = Literal[
    "madds_ratio", "params_ratio", "size_ratio", "memory_ratio", "latency_ratio", "accuracy", "drop", "agreement"
]
GateState = Literal["met", "failed", "undecided"]
Status = Literal["passed", "failed", "undecided"]
Clock = Literal["wall", "cpu"]


class GateRow(TypedDict):
    """A limit and whether it is met.

    Attributes:
        name: What it is about, as in the option: `--max-madds-ratio`, `--max-drop`, ...
        label: In words, without a capital.
        at_least: Whether the limit is the least that is allowed, and not the most.
        unit: Of the numbers, which are those of a difference and printed with their sign; None for a plain number.
        limit: As given.
        value: What was found; None where it cannot be told.
        low: Lower end of the value's confidence interval; None where it has none.
        high: Upper end.
        state: `undecided` where the limit lies within the interval, or the value cannot be told.
        provider: The execution provider that ran the models; None where they were not run.
        clock: What a latency was told by: `cpu` is the CPU time of the runs. None where there is none.
        detail: In words, with units.
    """

    name: GateName
    label: str
    at_least: bool
    unit: Unit | None
    limit: float
    value: float | None
    low: float | None
    high: float | None
    state: GateState
    provider: str | None
    clock: Clock | None
    detail: str


class DataRow(TypedDict):
    """What the models were judged on."""

    split: str
    samples: int


class CheckReport(TypedDict):
    """A model against a baseline.

    Attributes:
        schema: See `SCHEMA_VERSION`.
        status: `passed` if every gate is met, `failed` if one is failed, else `undecided`.
        model: Path of the model.
        baseline: Path of the model that it is compared with; None where there is a report alone.
        baseline_report: Path of the earlier report whose figures it is compared with; None where there is none.
        gates: One for each limit.
        data: None where no gate needed any.
    """

    schema: int
    status: Status
    model: str
    baseline: str | None
    baseline_report: str | None
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
    "size_ratio": _Gate("size ratio"),
    "memory_ratio": _Gate("peak memory ratio"),
    "latency_ratio": _Gate("latency ratio"),
    "accuracy": _Gate("accuracy", at_least=True),
    "drop": _Gate("accuracy lost", unit=_POINTS),
    "agreement": _Gate("agreement", at_least=True),
}


def gate_row(
    name: GateName,
    limit: float,
    value: float | None,
    detail: str,
    *,
    label: str | None = None,
    interval: tuple[float, float] | None = None,
    provider: str | None = None,
    clock: Clock | None = None,
) -> GateRow:
    """Judge a value by a limit.

    Args:
        name: What it is about.
        limit: As given.
        value: What was found; None where it cannot be told, which leaves the gate undecided.
        detail: In words, with units.
        label: What it is called, where that is not always the same.
        interval: Lower and upper end of the value's confidence interval. Both must be within the limit for it to be
            met, and neither for it to be failed.
        provider: The execution provider that ran the models.
        clock: What a latency was told by.
    """
    kind = _GATES[name]
    ends = () if value is None else interval or (value, value)
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
        "state": "undecided" if len({*within}) != 1 else "met" if within[0] else "failed",
        "provider": provider,
        "clock": clock,
        "detail": detail,
    }


def status_of(gates: Iterable[GateRow]) -> Status:
    """Judge all gates together: one that is failed tells, whatever is undecided beside it."""
    states = {gate["state"] for gate in gates}
    return "failed" if "failed" in states else "undecided" if "undecided" in states else "passed"
