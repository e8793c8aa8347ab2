"""What was verified before a model was written."""

from collections.abc import Iterable
from typing import TypedDict

__all__ = ["CheckRow", "check_rows"]


class CheckRow(TypedDict):
    """One check: its name, whether it passed, and what it saw."""

    name: str
    passed: bool
    detail: str


def check_rows(checks: Iterable[tuple[str, bool, str]]) -> list[CheckRow]:
    """Describe checks, such as those of `natonnx.rewrite.verify`."""
    return [{"name": name, "passed": passed, "detail": detail} for name, passed, detail in checks]
