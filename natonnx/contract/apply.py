"""The payload of `natonnx apply --json`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from natonnx.contract.rows import CheckRow, check_rows
from natonnx.contract.schema import SCHEMA_VERSION

__all__ = ["ApplyReport", "apply_report"]


class ApplyReport(TypedDict):
    """What was written.

    Attributes:
        schema: See `SCHEMA_VERSION`.
        output: Path of the result.
        edits: How many were replayed.
        checks: What was verified before it was written.
    """

    schema: int
    output: str
    edits: int
    checks: list[CheckRow]


def apply_report(output: Path, edits: int, checks: Iterable[tuple[str, bool, str]]) -> ApplyReport:
    """Make the payload."""
    return {"schema": SCHEMA_VERSION, "output": str(output), "edits": edits, "checks": check_rows(checks)}
