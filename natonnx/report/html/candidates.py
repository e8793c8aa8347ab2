"""The architectures that the search considered: cost against validation score, as a chart and as a table."""

from html import escape
from typing import Literal, NamedTuple

from natonnx.contract.edits import EditRow
from natonnx.contract.objective import Unit
from natonnx.contract.optimize import CandidateRow, OptimizeReport
from natonnx.report.html.charts import Mark, scatter
from natonnx.report.html.text import UNKNOWN, count, ratio, score, short, table
from natonnx.report.score import heading, in_words, label

__all__ = ["candidates_section"]

_KINDS = {
    "given": "input as given",
    "beta": "input, trained alike",
    "chosen": "chosen",
    "tuned": "candidate that was made",
    "scored": "scored before training",
}
_AXES = {"params": "parameters", "madds": "MAdds a sample"}
_BELOW = 15.0
"""Architectures that are worse than the input by more points than this would squeeze the rest of the chart."""


class _Entry(NamedTuple):
    kind: str
    params: int
    madds: int | None
    score: float | None
    edits: list[EditRow] | None

    @property
    def told(self) -> str:
        return ", ".join(f"{edit['edge']} {edit['from']}→{edit['to']}" for edit in self.edits or ())


def candidates_section(payload: OptimizeReport) -> str:
    """Chart and table; the chart's axis is parameters where MAdds are not known."""
    entries, unit = _entries(payload), payload["objective"]["unit"]
    axis: Literal["params", "madds"] = "params" if payload["input"]["madds"] is None else "madds"
    least = _least(payload)
    marks, left_out = [], 0
    for entry in reversed(entries):  # what matters most is drawn last, on top
        cost = entry.params if axis == "params" else entry.madds
        if entry.score is None or cost is None:
            continue
        if entry.kind == "scored" and least is not None and entry.score < least:
            left_out += 1
            continue
        worth = in_words(entry.score, unit)
        title = f"{_KINDS[entry.kind]}: {count(cost)}, {worth}{'; ' if entry.told else ''}{entry.told}"
        marks.append(Mark(cost, unit["scale"] * entry.score, entry.kind, title))
    axes = (_AXES[axis], heading(label("validation", payload["objective"]), unit, "{}, {}"))
    limits = [limit["limit"] for limit in payload["constraints"] if limit["name"] == axis]
    forms = (short, lambda value: f"{value:.4g}")
    chart = scatter(marks, axes, forms, limits[0] if limits else None) if marks else ""
    note = f"<p>{left_out} more lie below {in_words(least, unit)}: the table has them.</p>" if left_out else ""
    keys = "".join(
        f'<li><span class="key {kind}"></span>{told}</li>'
        for kind, told in _KINDS.items()
        if any(mark.kind == kind for mark in marks)
    )
    figure = f'<figure>{chart}<ul class="keys" aria-label="Legend">{keys}</ul></figure>'
    return figure + note + _table(entries, unit)


def _least(payload: OptimizeReport) -> float | None:
    """The lowest score that the chart shows; None where it shows all, points saying nothing of the user's own unit."""
    unit, given = payload["objective"]["unit"], payload["input"]["score"]["validation"]
    return None if given is None or unit["difference"] != "points" else given - _BELOW / unit["scale"]


def _entries(payload: OptimizeReport) -> list[_Entry]:
    """The input first, then the chosen one, then the others by score."""
    given, beta = payload["input"], payload["finetuned_input"]
    found = [
        _Entry(kind, given["params"], given["madds"], quality["score"]["validation"], None)
        for kind, quality in (("given", given), ("beta", beta))
        if quality is not None
    ]
    tuned = [
        _entry("chosen" if payload["output"] and alpha["edits"] == payload["edits"] else "tuned", alpha)
        for alpha in payload["front"]
    ]
    scored = [_entry("scored", alpha) for alpha in payload["scored"]]
    for group in (tuned, scored):
        found += sorted(group, key=lambda entry: (entry.kind != "chosen", -(entry.score or 0.0)))
    return found


def _entry(kind: str, row: CandidateRow) -> _Entry:
    return _Entry(kind, row["params"], row["madds"], row["score"]["validation"], row["edits"])


def _table(entries: list[_Entry], unit: Unit) -> str:
    rows = []
    for entry in entries:
        change = ratio(entries[0].madds, entry.madds) if entry.edits is not None else ""
        told = escape(entry.told)
        rows.append(
            (
                f'<span class="key {entry.kind}"></span>{_KINDS[entry.kind]}',
                count(entry.madds),
                change,
                count(entry.params),
                score(entry.score, unit),
                UNKNOWN if entry.edits is None else str(len(entry.edits)),
                f'<span class="clip" title="{told}">{told}</span>',
            )
        )
    worth = heading("validation", unit, "{}, {}")
    columns = ("architecture", "MAdds", "change", "parameters", worth, "edits", "which edges")
    return table(columns, rows, "Candidates considered", numeric=columns[1:6])
