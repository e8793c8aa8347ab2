"""The payload of `natonnx bench --json`."""

from typing import TypedDict

from natonnx.contract.objective import Objective, Scores
from natonnx.contract.rows import CostRow

__all__ = [
    "BenchReport",
    "ConditionsRow",
    "DataRow",
    "InputRow",
    "Latency",
    "MeasuredModel",
    "OperatorTimeRow",
    "Ratio",
    "SampleCounts",
]


class Latency(TypedDict):
    """Milliseconds of one run: the median, and what nine runs in ten stay below."""

    median: float
    p90: float


class Ratio(TypedDict):
    """Latency as a multiple of the first model's, and the ends of its confidence interval."""

    value: float
    low: float
    high: float


class OperatorTimeRow(TypedDict):
    """Time of all nodes of one type on one provider; `ms` of one run, `share` of all nodes' time, 0 to 1."""

    op_type: str
    provider: str
    nodes: int
    ms: float
    share: float


class MeasuredModel(CostRow):
    """A model, and what it costs.

    Attributes:
        path: Where it is.
        provider: The execution provider that ran it.
        size_bytes: Of the file and its data files.
        peak_memory_bytes: Of a fresh process that runs it; None where the system does not say.
        score: By the report's objective; None where there is no data.
        latency_ms: Over all rounds.
        ratio: To the first model; None for that one.
        profile: Where the time goes, the most first; None where that was not asked for.
    """

    path: str
    provider: str
    size_bytes: int
    peak_memory_bytes: int | None
    score: Scores
    latency_ms: Latency
    ratio: Ratio | None
    profile: list[OperatorTimeRow] | None


class InputRow(TypedDict):
    """An input that all models were run on, by numpy's name of its type."""

    name: str
    dtype: str
    shape: list[int]


class ConditionsRow(TypedDict):
    """What was measured under.

    Attributes:
        provider: The execution provider that was asked for.
        threads: onnxruntime's, within an operator.
        seconds: Of measuring, as asked for.
        warm_up: Untimed runs of each fresh session.
        seed: Of all randomness.
        inputs: What the models were run on.
        sessions: Fresh sessions of each model.
        rounds: Timed runs of each model.
        confidence: Of the intervals.
        onnxruntime: Its version.
    """

    provider: str
    threads: int
    seconds: float
    warm_up: int
    seed: int
    inputs: list[InputRow]
    sessions: int
    rounds: int
    confidence: float
    onnxruntime: str


class SampleCounts(TypedDict):
    """Samples by split; None where there is no such split."""

    validation: int | None
    test: int | None


class DataRow(TypedDict):
    """The data that the models were scored on."""

    name: str
    samples: SampleCounts


class BenchReport(TypedDict):
    """Models side by side; `schema` is `SCHEMA_VERSION`; `objective` and `data` are None where no data was given."""

    schema: int
    models: list[MeasuredModel]
    conditions: ConditionsRow
    objective: Objective | None
    data: DataRow | None
