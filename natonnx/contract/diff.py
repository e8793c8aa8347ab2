"""The payload of `natonnx diff --json`."""

from typing import Any, Literal, TypedDict

from natonnx.contract.edits import EditRow
from natonnx.contract.objective import Objective
from natonnx.contract.rows import CostRow, EdgeRow, TensorRow

__all__ = [
    "ChangedConstant",
    "ChangedNode",
    "ConstantRow",
    "DataRow",
    "DiffPart",
    "DiffReport",
    "EdgeChange",
    "EdgeChangeKind",
    "EdgeMatch",
    "Edges",
    "FieldChange",
    "InterfaceRow",
    "MetadataChanges",
    "ModelRow",
    "NodeChanges",
    "NotedEdit",
    "OperatorCount",
    "Origin",
    "OutputRow",
    "Outputs",
    "Provenance",
    "Renamed",
    "Totals",
    "Weights",
]


class InterfaceRow(TypedDict):
    """What a file says of itself.

    Attributes:
        opsets: Version of each operator set, by domain; ONNX's own is `ai.onnx`.
        ir_version: Of the format.
        producer: Name and version of the program that wrote it.
        graph_name: Name of the graph.
        inputs: In the file's order.
        outputs: In the file's order.
        nodes: How many the main graph has.
    """

    opsets: dict[str, int]
    ir_version: int
    producer: str
    graph_name: str
    inputs: list[TensorRow]
    outputs: list[TensorRow]
    nodes: int


class ModelRow(InterfaceRow, CostRow):
    """One of the two models: where it is, the file's digest, bytes with its data files, and its cost."""

    path: str
    sha256: str
    size_bytes: int


class FieldChange(TypedDict):
    """Something that the files say of themselves otherwise; None where one does not say it."""

    what: str
    before: Any
    after: Any


class MetadataChanges(TypedDict):
    """Metadata properties by key; `changed` has both values."""

    added: dict[str, str]
    removed: dict[str, str]
    changed: dict[str, list[str]]


class NotedEdit(EditRow):
    """An edit that natonnx noted in a file, and whether the edges of the two models differ by it."""

    seen: bool


class Origin(TypedDict):
    """What natonnx noted in a model that it made.

    Attributes:
        runs: How many times it was edited.
        version: Of natonnx, in the last run; as the file says, whatever that is.
        source_sha256: Digest of the file that it was made from; likewise.
        is_source: Whether that is the other model.
        edits: Since the other model.
        replayed: Whether replaying them on it gives this one's graph; None where that cannot be tried.
        detail: In words.
    """

    runs: int
    version: Any
    source_sha256: Any
    is_source: bool
    edits: list[NotedEdit]
    replayed: bool | None
    detail: str


class Provenance(Origin):
    """What was noted, and in which of the two models."""

    of: Literal["before", "after"]


class OperatorCount(TypedDict):
    """Nodes of one operator type in each main graph."""

    op_type: str
    before: int
    after: int


class ChangedNode(TypedDict):
    """A node of both models, and the old and new value of each attribute that differs, or of its `op_type`."""

    name: str
    changes: dict[str, list[Any]]


class NodeChanges(TypedDict):
    """Nodes by name: how many are the same, and the others."""

    same: int
    changed: list[ChangedNode]
    removed: list[str]
    added: list[str]


EdgeMatch = Literal["name", "structure", "ends", "nodes"]
"""By what two edges were found to belong together."""
EdgeChangeKind = Literal["transition", "changed", "replaced", "regrouped", "removed", "added"]

EdgeChange = TypedDict(
    "EdgeChange",
    {
        "edge": str,
        "change": EdgeChangeKind,
        "from": str | None,
        "to": str | None,
        "noted": str | None,
        "matched_by": EdgeMatch | None,
        "details": list[str],
        "before": EdgeRow | None,
        "after": EdgeRow | None,
    },
)
"""An edge that is not the same in both.

`from` and `to` are its states, None where it does not exist; `noted` is the edit that natonnx noted for it, such as
"O → N"; `details` say in words what differs; `before` and `after` are the edge as each model has it.
"""


class Edges(TypedDict):
    """Edges that carry something.

    Attributes:
        before: How many one model has.
        after: How many the other has.
        same: How many are the same.
        related: Whether the two models name their tensors alike.
        matched: How many edges were matched by what.
        changes: The others.
    """

    before: int
    after: int
    same: int
    related: bool
    matched: dict[EdgeMatch, int]
    changes: list[EdgeChange]


class Totals(TypedDict):
    """All constants of a model."""

    tensors: int
    elements: int


class ConstantRow(TypedDict):
    """A constant of one model."""

    name: str
    dtype: str
    shape: list[int]


class ChangedConstant(TypedDict):
    """A constant that is not bit-identical.

    Attributes:
        name: In the first model.
        dtype: Old and new element type.
        shape: Old and new shape.
        max_abs: Largest absolute difference; None where the shapes differ, or it has no numbers.
        relative_l2: Norm of the difference relative to that of the old values; likewise.
    """

    name: str
    dtype: list[str]
    shape: list[list[int]]
    max_abs: float | None
    relative_l2: float | None


class Renamed(TypedDict):
    """A constant that has another name in each model."""

    before: str
    after: str


class Weights(TypedDict):
    """Constants: totals, how many are bit-identical, and the others; `renamed` may be changed as well."""

    before: Totals
    after: Totals
    same: int
    changed: list[ChangedConstant]
    renamed: list[Renamed]
    removed: list[ConstantRow]
    added: list[ConstantRow]


class OutputRow(TypedDict):
    """An output over all runs.

    Attributes:
        before: Its name in one model; None where that has no such output.
        after: Its name in the other.
        matched_by: How the two were found to belong together.
        bit_equal: Whether they are equal bit for bit; None where that says nothing, as with random numbers.
        max_abs: Largest absolute difference.
        max_rel: The same relative to the largest magnitude of the first model's output.
        same_argmax: Share of samples whose largest score is the same one; None for what cannot be scores.
        reason: Why it was not compared, or no further; None where it was.
    """

    before: str | None
    after: str | None
    matched_by: Literal["name", "position"] | None
    bit_equal: bool | None
    max_abs: float | None
    max_rel: float | None
    same_argmax: float | None
    reason: str | None


class Outputs(TypedDict):
    """Both models on the same random inputs.

    Attributes:
        reason: Why they were not compared; None where they were.
        runs: How many.
        samples: In all runs.
        inputs_matched_by: `position` if that of any input.
        outputs: A row an output.
    """

    reason: str | None
    runs: int
    samples: int | None
    inputs_matched_by: Literal["name", "position"] | None
    outputs: list[OutputRow]


class AgreementRow(TypedDict):
    """How far both models agree on an output.

    Attributes:
        name: Of the output in the one model, or of what feeds one that is not differentiable.
        measure: Of the agreement, such as top-1 agreement or cosine.
        agreement: Mean over the samples; 1 where they agree.
    """

    name: str
    measure: str
    agreement: float


class DataRow(TypedDict):
    """Both models on data.

    Attributes:
        name: Of the data.
        split: That they were judged on.
        samples: In it.
        objective: What scores mean.
        score: Of the one model and of the other.
        agreement: Mean of the agreement on the outputs.
        outputs: The agreement on each.
    """

    name: str
    split: str
    samples: int
    objective: Objective
    score: list[float | None]
    agreement: float
    outputs: list[AgreementRow]


DiffPart = Literal["interface", "graph", "weights"]


class DiffReport(TypedDict):
    """What differs between two models.

    Attributes:
        schema: See `SCHEMA_VERSION`.
        before: The one model.
        after: The other.
        differs_in: `interface`, and `graph` or else `weights`; empty where they are proved to compute the same.
        fields: What the files say of themselves otherwise.
        metadata: Properties that differ.
        provenance: What natonnx noted of how the one came of the other; None where it noted nothing.
        operators: Types of operators of which there are more or fewer.
        nodes: By name.
        edges: As NAT sees them.
        weights: Constants.
        outputs: On random inputs.
        data: None where no data was given.
    """

    schema: int
    before: ModelRow
    after: ModelRow
    differs_in: list[DiffPart]
    fields: list[FieldChange]
    metadata: MetadataChanges
    provenance: Provenance | None
    operators: list[OperatorCount]
    nodes: NodeChanges
    edges: Edges
    weights: Weights
    outputs: Outputs
    data: DataRow | None
