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
    "LeftOutRow",
    "MachineRow",
    "MeasuredModel",
    "OperatorTimeRow",
    "Ratio",
    "SampleCounts",
]


class Latency(TypedDict):
    """Milliseconds of one run.

    Attributes:
        median: Over all rounds.
        p90: What nine rounds in ten stay below.
        low: Lower end of the median's confidence interval, over the fresh sessions.
        high: Upper end.
    """

    median: float
    p90: float
    low: float
    high: float


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
    """A model, and what it costs on a provider.

    Attributes:
        path: Where it is.
        sha256: Of the file, without its data files.
        provider: The execution provider that ran it.
        size_bytes: Of the file and its data files.
        peak_memory_bytes: Of a fresh process that runs it; None where the system does not say.
        score: By the report's objective; None where there is no data.
        latency_ms: By the wall clock.
        ratio: To the first model on that provider; None for that one.
        cpu_ms: CPU time of the same runs, which other processes' turns do not lengthen; None where the model is not run
            by one thread on the CPU.
        cpu_ratio: The same of that; None for the first model too.
        sessions: Fresh sessions of the model.
        rounds: Its timed runs.
        profile: Where the time goes, the most first; None where that was not asked for.
    """

    path: str
    sha256: str
    provider: str
    size_bytes: int
    peak_memory_bytes: int | None
    score: Scores
    latency_ms: Latency
    ratio: Ratio | None
    cpu_ms: Latency | None
    cpu_ratio: Ratio | None
    sessions: int
    rounds: int
    profile: list[OperatorTimeRow] | None


class InputRow(TypedDict):
    """An input that all models were run on, by numpy's name of its type."""

    name: str
    dtype: str
    shape: list[int]


class MachineRow(TypedDict):
    """The kind of machine: its system, its processor if known, how many cores may be used, and NVIDIA's devices."""

    system: str
    cpu: str | None
    cores: int
    gpus: list[str]


class LeftOutRow(TypedDict):
    """A provider that was asked for and not measured, and why."""

    provider: str
    reason: str


class ConditionsRow(TypedDict):
    """What was measured under.

    Attributes:
        providers: The execution providers that were asked for.
        threads: onnxruntime's, within an operator.
        seconds: Of measuring on each provider, as asked for.
        warm_up: Untimed runs of each fresh session.
        seed: Of all randomness.
        inputs: What the models were run on.
        confidence: Of the intervals.
        onnxruntime: Its version.
        machine: Where.
    """

    providers: list[str]
    threads: int
    seconds: float
    warm_up: int
    seed: int
    inputs: list[InputRow]
    confidence: float
    onnxruntime: str
    machine: MachineRow


class SampleCounts(TypedDict):
    """Samples by split; None where there is no such split."""

    validation: int | None
    test: int | None


class DataRow(TypedDict):
    """The data that the models were scored on."""

    name: str
    samples: SampleCounts


class BenchReport(TypedDict):
    """Models side by side.

    Attributes:
        schema: See `SCHEMA_VERSION`.
        models: Those of the first provider, then those of the next.
        left_out: Providers that cannot be used here. Where none can, the models were run on what onnxruntime took.
        conditions: What was measured under.
        objective: What the scores mean; None where no data was given.
        data: Likewise.
    """

    schema: int
    models: list[MeasuredModel]
    left_out: list[LeftOutRow]
    conditions: ConditionsRow
    objective: Objective | None
    data: DataRow | None
