"""Markdown for the summary of a CI job: what `natonnx optimize` found."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from natonnx.contract.optimize import OptimizeReport
from natonnx.report.optimize import FRONT, Limit, front, limits, notes, rows
from natonnx.report.place import check_place
from natonnx.report.text import all_visible

__all__ = ["TITLE", "cell", "check_summary", "code", "optimization", "table"]

TITLE = "## natonnx optimize"
"""What the text begins with."""


def optimization(payload: OptimizeReport) -> str:
    """A heading, before and after, the constraints, and the edits folded away."""
    payload = all_visible(payload)
    after = payload["output"]
    files = code(payload["input"]["path"] or "") + (f" became {code(after['path'])}" if after and after["path"] else "")
    how = f"algorithm {payload['algorithm']}, learner {payload['learner']}, protocol {payload['protocol']}"
    parts = [f"{TITLE}: {payload['status']}", f"{files}, {payload['seconds']:.0f} s, {how}, seed {payload['seed']}"]
    if not after:
        parts.append("No architecture met every constraint; the input model stands, nothing was written.")
    parts += [
        table(
            ("", "before", "after", "change"), ((cell(name), *cells) for name, *cells in rows(payload)), numbers=True
        ),
        table(
            ("constraint", "value", "limit", "state"),
            ((cell(limit.label), limit.value, f"at most {limit.most}", _state(limit)) for limit in limits(payload)),
        ),
        "\n".join(f"- {escape(note, quote=False)}" for note in notes(payload)),
    ]
    if payload["front"][0 if not after else 1 :]:
        parts.append(table(FRONT, front(payload), numbers=True))
    if payload["edits"]:
        edits = ((code(edit["edge"]), f"{edit['from']} → {edit['to']}") for edit in payload["edits"])
        parts += [
            f"<details><summary>Edits: {len(payload['edits'])}</summary>",
            table(("edge", "edit"), edits),
            "</details>",
        ]
    return "\n\n".join(parts) + "\n"


def _state(limit: Limit) -> str:
    state = "met" if limit.met else "**not met**"
    return f"{state}: {cell(limit.note)}" if limit.note else state


def check_summary(path: Path, *others: Path) -> None:
    """Refuse, before long work starts, a path where the summary may not be written.

    Raises:
        InputError: If it cannot be written, is one of the others, or is a file that is no such summary.
    """
    check_place(path, others, TITLE, "--markdown")


def table(columns: Sequence[str], lines: Iterable[Sequence[str]], *, numbers: bool = False) -> str:
    """A table; with numbers, all columns but the first are aligned to the right."""
    align = ["---", *(("--:" if numbers else "---") for _ in columns[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, align, *lines))


def cell(text: str) -> str:
    """Text that may hold a name of the model's, as it stands, in the cell of a table."""
    return re.sub(r"([\\`*_\[\]<>|~&])", r"\\\1", re.sub("[\r\n]+", " ", text))


def code(text: str) -> str:
    """A path or a name, whatever its characters, as code in the cell of a table."""
    return "`" + re.sub("[\r\n]+", " ", text.replace("`", "'").replace("|", "\\|")) + "`"
