"""What `natonnx doctor` found, in plain lines: rich, which draws other tables, may be what is missing."""

from natonnx.contract.doctor import Diagnosis
from natonnx.report.text import visible

__all__ = ["diagnosis_text"]

_GAP = "  "


def diagnosis_text(payload: Diagnosis) -> str:
    """A line a finding, its mark first and what to do last, and whether `natonnx optimize` can run."""
    findings = payload["findings"]
    mark_width = max(len(row["mark"]) for row in findings)
    name_width = max(len(row["name"]) for row in findings)
    lines = []
    for row in findings:
        told = row["detail"] if row["remedy"] is None else f"{row['detail']}; {row['remedy']}"
        lines.append(f"{row['mark']:{mark_width}}{_GAP}{row['name']:{name_width}}{_GAP}{visible(told)}")
    lacking = ", ".join(row["name"] for row in findings if row["needed"] and row["mark"] != "ok")
    lines.append(f"natonnx optimize {'can run here' if payload['ready'] else f'cannot run here: {lacking}'}")
    return "".join(f"{line}\n" for line in lines)
