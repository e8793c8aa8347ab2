"""A row of the table: what `natonnx optimize` and `natonnx check` said of a subject."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["Row", "row_of"]

_SAME = 5e-4
"""Largest difference of two fractions that are printed alike, to a tenth of a per cent."""


@dataclass(frozen=True)
class Row:
    """What was found of a subject; None for what is not known.

    Attributes:
        name: Of the subject.
        command: What was run.
        exit_code: Of `natonnx optimize`.
        objective: What was good: labels or agreement.
        measure: What the scores are, in words.
        madds: Of β and of α, a sample.
        validation: Score of α, a fraction.
        test: Score of α on the part that nothing was selected on.
        test_before: Score of β on the same.
        checked: What `natonnx check` says of that part, in the same measure: the mean over the outputs.
        agreement: With β on that part, by `natonnx check`, likewise.
        check_exit_code: Of `natonnx check`.
        edits: How many edges changed.
        seconds: That `natonnx optimize` took, by its own clock.
        problem: The last line on stderr of a command that failed.
        tolerance: What the two figures may differ by: more than their rounding where optimize scored a part of what
            check scores, as a time budget makes it do.
    """

    name: str
    command: tuple[str, ...]
    exit_code: int
    objective: str | None = None
    measure: str | None = None
    madds: tuple[int | None, int | None] = (None, None)
    validation: float | None = None
    test: float | None = None
    test_before: float | None = None
    checked: float | None = None
    agreement: float | None = None
    check_exit_code: int | None = None
    edits: int = 0
    seconds: float | None = None
    problem: str | None = None
    tolerance: float = _SAME

    @property
    def is_same(self) -> bool:
        """Whether `natonnx check` says the figure that `natonnx optimize` says; true where there is none to check."""
        if self.checked is None or self.test is None:
            return self.checked is None and self.test is None
        return abs(self.checked - self.test) <= self.tolerance

    @property
    def is_good(self) -> bool:
        """Whether optimize ended with 0 or 1, and check with 0 and the same figure where there is a model."""
        if self.exit_code == 1:
            return self.objective is not None  # the input stands; there is nothing to check
        return self.exit_code == 0 and self.check_exit_code == 0 and self.checked is not None and self.is_same

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Row":
        """Make a row of what JSON gives: lists for tuples.

        Raises:
            TypeError: If the values are those of another version of this class.
        """
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise TypeError("another version's row")
        return cls(**{**values, "command": tuple(values["command"]), "madds": tuple(values["madds"])})


def row_of(
    name: str,
    command: tuple[str, ...],
    exit_code: int,
    report: Mapping[str, Any] | None,
    check_exit_code: int | None = None,
    check: Mapping[str, Any] | None = None,
    problem: str | None = None,
) -> Row:
    """Make a row of two payloads.

    Args:
        name: Of the subject.
        command: That was run.
        exit_code: Of `natonnx optimize`.
        report: What it printed (`natonnx.contract.optimize.OptimizeReport`); None where it failed.
        check_exit_code: Of `natonnx check`; None where there was no model to check.
        check: What that printed (`natonnx.contract.check.CheckReport`).
        problem: See `Row`.
    """
    if report is None:
        return Row(name, command, exit_code, check_exit_code=check_exit_code, problem=problem)
    objective, before, after = report["objective"], report["input"], report["output"]
    agreement = _mean_gate(check, "agreement")
    return Row(
        name,
        command,
        exit_code,
        objective=objective["name"],
        measure=_measure(objective),
        madds=(before["madds"], after["madds"] if after else None),
        validation=after["score"]["validation"] if after else None,
        test=after["score"]["test"] if after else None,
        test_before=before["score"]["test"],
        checked=agreement if objective["name"] == "agreement" else _mean_gate(check, "accuracy"),
        agreement=agreement,
        check_exit_code=check_exit_code,
        edits=len(report["edits"]),
        seconds=report["seconds"],
        problem=problem,
        tolerance=_tolerance(report, check),
    )


def _tolerance(report: Mapping[str, Any], check: Mapping[str, Any] | None) -> float:
    """Return what the figures of optimize and check may differ by: three standard errors if samples were left out."""
    after, seen = report["output"], check["data"] if check else None
    if after is None or seen is None or seen["samples"] == report["data"]["samples"]["test"]:
        return _SAME
    return 3 * (after["standard_error"]["test"] or 0.0)


def _measure(objective: Mapping[str, Any]) -> str:
    """Say by what the outputs are judged, each word once."""
    measures = dict.fromkeys(output["measure"] for output in objective["outputs"])
    return ", ".join(measures) or str(objective["measure"])


def _mean_gate(check: Mapping[str, Any] | None, name: str) -> float | None:
    """Return the mean value of the gates of a name, one an output; None where there is none."""
    values = [gate["value"] for gate in check["gates"] if gate["name"] == name] if check else []
    return sum(values) / len(values) if values else None
