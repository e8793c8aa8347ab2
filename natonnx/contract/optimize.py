"""The payload of `natonnx optimize --json`."""

from typing import Literal, NotRequired, TypedDict

from natonnx.contract.edits import EditRow
from natonnx.contract.objective import Objective, OutputScores, Scores, SplitName, Unit
from natonnx.contract.rows import CheckRow, CostRow

__all__ = [
    "CandidateRow",
    "ConstraintRow",
    "CostKey",
    "DataRow",
    "FrontRow",
    "HistoryRow",
    "ImagesRow",
    "ModelRow",
    "NearestRow",
    "OptimizeReport",
    "PromiseRow",
    "QualityRow",
    "SampleCounts",
]


class QualityRow(TypedDict):
    """How good a model is: its score, the standard error of that, and the scores of its outputs.

    A standard error is None where the samples are not known, as of the user's own reward.
    """

    score: Scores
    standard_error: Scores
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


class FrontRow(CandidateRow):
    """A model that was made: an architecture with weights of its own.

    Attributes:
        target: The cost that it was looked for under, as a fraction of the input's; None where there was none.
        share: What it costs, likewise: by what is limited, by multiply-adds where nothing is. Of a cost that was
            measured the upper end of its interval; of several limits the largest of them where all are met.
        lost: What its score loses to the input's on validation, before `Unit.scale`.
        interval: 95 % interval of that, pair by pair on the same samples; None where it is not known.
        lost_at_most: What a promise says of that, before `Unit.scale`; left out where none was asked for.
        met: Whether it meets every constraint; None where it meets those on validation, and a promise was asked for but
            not of this model: a dearer one did not keep it, or another one of the same target was chosen.
        behind: What its score loses to that of the input trained alike, before `Unit.scale`; left out where the input
            was not trained.
        behind_interval: Its interval, as of `lost`.
        images: Training images that went into its weights.
        path: Where it was written; None where it was not.
    """

    target: float | None
    share: float
    lost: float
    interval: tuple[float, float] | None
    lost_at_most: NotRequired[float]
    met: bool | None
    behind: NotRequired[float]
    behind_interval: NotRequired[tuple[float, float] | None]
    images: int
    path: str | None


class ImagesRow(TypedDict):
    """Where the images went: forward and backward count 1, forward alone a third.

    Attributes:
        look_ups: Into scores of architectures that were not trained.
        training: Into weights, of all that were trained.
        teacher: Into outputs of the input, which training follows.
        output: Of `training`, what went into the model that is written; None where the input stands.
    """

    look_ups: float
    training: float
    teacher: float
    output: float | None


class NearestRow(TypedDict):
    """Where the input stands: the model that came nearest.

    Attributes:
        front: Its place in `front`, from 1.
        samples: By how many validation samples it loses more than it may; None where scores are not of right or wrong.
        option: What would accept it; None where no option would.
    """

    front: int
    samples: float | None
    option: str | None


class PromiseRow(TypedDict):
    """What stands behind an upper bound of a loss.

    Attributes:
        confidence: At which losses above it are ruled out.
        split: The samples, on which nothing was selected.
        samples: How many they are.
        lost: What they lost on average, in the unit of the bound.
        enough: How many samples would rule out a loss above the limit, if as much were lost and as many scores differed
            in them; None where these do, or none would.
    """

    confidence: float
    split: SplitName
    samples: int
    lost: float
    enough: int | None


class ConstraintRow(TypedDict):
    """A limit on the output.

    Attributes:
        name: What it is about; of a cost, its key in `input` (`madds`, `params`, ...); `promise` where the value is the
            upper bound of a loss.
        label: In words, without a capital.
        unit: Of `limit` and `value`; None for a cost, which is printed as a whole number. A number in a unit is an
            amount that may be lost, printed with its sign: `--max-drop` in points is in `difference_unit(...)`.
        limit: The most that is allowed.
        value: What was found; None where no architecture was.
        met: Whether it is within the limit.
        interval: 95 % interval of the value; None of what is exact or not known.
        promise: What stands behind an upper bound; left out for other values.
    """

    name: str
    label: str
    unit: Unit | None
    limit: float
    value: float | None
    met: bool
    interval: tuple[float, float] | None
    promise: NotRequired[PromiseRow]


class HistoryRow(TypedDict):
    """An epoch of Algorithm 1; what a learner does not have is left out.

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
        algorithm: `refit`, or `paper`.
        learner: The policy, or another proposer.
        protocol: What the weights of the models that were made are: refitted in closed form; fine-tuned from the file's
            or refitted ones; or trained from scratch, as the input then was too, equally long.
        seed: Of all randomness.
        seconds: That all took.
        data: What it was trained and judged on.
        history: One row an epoch of Algorithm 1.
        images: Where the images went.
        finetuned_input: The input itself, trained by the same protocol as the candidates; None where no decision needs
            that.
        front: The models that were made, dearest first.
        nearest: Where the input stands, the one that came nearest; None where there is an output, or nothing was made.
        scored: The best of the architectures that those were chosen from.
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
    algorithm: str
    learner: str
    protocol: Literal["refitted", "fine-tuned", "scratch"]
    seed: int
    seconds: float
    data: DataRow
    history: list[HistoryRow]
    images: ImagesRow
    finetuned_input: QualityRow | None
    front: list[FrontRow]
    nearest: NearestRow | None
    scored: list[CandidateRow]
