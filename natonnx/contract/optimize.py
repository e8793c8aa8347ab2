"""The payload of `natonnx optimize --json`."""

from typing import Literal, NotRequired, TypedDict

from natonnx.contract.edits import EditRow
from natonnx.contract.objective import Objective, OutputScores, Scores, Unit
from natonnx.contract.rows import CheckRow, CostRow

__all__ = [
    "CandidateRow",
    "ConstraintRow",
    "CostKey",
    "DataRow",
    "HistoryRow",
    "ModelRow",
    "OptimizeReport",
    "QualityRow",
    "SampleCounts",
]


class QualityRow(TypedDict):
    """How good a model is: its score, and those of its outputs."""

    score: Scores
    outputs: OutputScores


class ModelRow(QualityRow, CostRow):
    """A model in a file, and what it costs.

    Attributes:
        path: Where it is; None where it was not written.
        size_bytes: Of the file and its data files; None where it was not written and has data files.
        latency_ms: Of one sample in onnxruntime on one thread.
    """

    path: str | None
    size_bytes: int | None
    latency_ms: float | None


CostKey = Literal["params", "madds", "size_bytes", "latency_ms"]
"""What of a `ModelRow` is a cost: the lower the better."""


class CandidateRow(CostRow):
    """An architecture that was considered: what it costs, its score, and what makes it of the input."""

    score: Scores
    edits: list[EditRow]


class ConstraintRow(TypedDict):
    """A limit on the output.

    Attributes:
        name: What it is about; of a cost, its key in `input` (`madds`, `params`, ...).
        label: In words, without a capital.
        unit: Of `limit` and `value`; None for a cost, which is printed as a whole number. A number in a unit is an
            amount that may be lost, printed with its sign: `--max-drop` in points is in `difference_unit(...)`.
        limit: The most that is allowed.
        value: What was found; None where no architecture was.
        met: Whether it is within the limit.
    """

    name: str
    label: str
    unit: Unit | None
    limit: float
    value: float | None
    met: bool


class HistoryRow(TypedDict):
    """An epoch of the search; what a learner does not have is left out.

    Attributes:
        epoch: From 1.
        reward: Mean gain of α over β.
        entropy: Of the policy, in nats.
        loss: Of the weights on the training samples.
        cost: Mean price of α as a share of β's.
        limit: Most that this share should be in this epoch.
        tilt: What makes a cheaper transition likelier.
        multiplier: Of the price in the reward.
    """

    epoch: int
    reward: NotRequired[float | None]
    entropy: NotRequired[float | None]
    loss: NotRequired[float | None]
    cost: NotRequired[float | None]
    limit: NotRequired[float | None]
    tilt: NotRequired[float | None]
    multiplier: NotRequired[float | None]


class SampleCounts(TypedDict):
    """Samples by split; None where there is no such split, or its length is not known."""

    train: int | None
    validation: int | None
    test: int | None


class DataRow(TypedDict):
    """The data: its name, its samples, and how it was converted and divided, a sentence a note."""

    name: str
    samples: SampleCounts
    notes: list[str]


class OptimizeReport(TypedDict):
    """What a search found.

    Attributes:
        schema: See `SCHEMA_VERSION`.
        status: Whether there is a better model.
        objective: What the scores mean.
        input: The model that was given.
        output: The better model; None where the input stands.
        edits: What makes it of the input; empty where the input stands.
        idle_edges: Edges that keep their state, but carry nothing any more.
        constraints: Of the output; of the candidate that came closest where there is none.
        checks: What was verified before the output was written.
        without_gradient: Operators that onnxruntime ran, so that what only leads there was not trained.
        learner: The policy.
        seed: Of all randomness.
        seconds: That all took.
        data: What it was trained and judged on.
        history: One row an epoch.
        finetuned_input: The input itself, after the same fine-tuning as the candidates.
        candidates: Architectures that were fine-tuned.
        scored: Architectures that those were chosen from.
    """

    schema: int
    status: Literal["improved", "unchanged"]
    objective: Objective
    input: ModelRow
    output: ModelRow | None
    edits: list[EditRow]
    idle_edges: list[str]
    constraints: list[ConstraintRow]
    checks: list[CheckRow]
    without_gradient: list[str]
    learner: str
    seed: int
    seconds: float
    data: DataRow
    history: list[HistoryRow]
    finetuned_input: QualityRow
    candidates: list[CandidateRow]
    scored: list[CandidateRow]
