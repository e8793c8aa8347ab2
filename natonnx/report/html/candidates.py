"""The architectures that the search considered: cost against validation accuracy, as a chart and as a table."""

from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple

from natonnx.report.html.charts import Mark, scatter
from natonnx.report.html.text import UNKNOWN, count, percent, ratio, short, table

__all__ = ["candidates_section"]

_KINDS = {
    "given": "input as given",
    "beta": "input, fine-tuned alike",
    "chosen": "chosen",
    "tuned": "candidate, fine-tuned",
    "scored": "scored before fine-tuning",
}
_BELOW = 0.15
"""Architectures that are worse than the input by more than this (a fraction) would squeeze the rest of the chart."""
Payload = Mapping[str, Any]


class _Entry(NamedTuple):
    kind: str
    params: int
    madds: int | None
    accuracy: float | None
    edits: list[Payload] | None

    @property
    def told(self) -> str:
        return ", ".join(f"{edit['edge']} {edit['from']}→{edit['to']}" for edit in self.edits or ())


def candidates_section(payload: Payload) -> str:
    """Chart and table; the chart's axis is parameters where MAdds are not known."""
    entries, by_params = _entries(payload), payload["input"]["madds"] is None
    least = (payload["input"]["accuracy"]["validation"] or 0.0) - _BELOW
    marks, left_out = [], 0
    for entry in reversed(entries):  # what matters most is drawn last, on top
        cost = entry.params if by_params else entry.madds
        if entry.accuracy is None or cost is None:
            continue
        if entry.kind == "scored" and entry.accuracy < least:
            left_out += 1
            continue
        title = (
            f"{_KINDS[entry.kind]}: {count(cost)}, {percent(entry.accuracy)} %{'; ' if entry.told else ''}{entry.told}"
        )
        marks.append(Mark(cost, 100 * entry.accuracy, entry.kind, title))
    name = "parameters" if by_params else "MAdds a sample"
    limits = [limit["limit"] for limit in payload["constraints"] if limit["name"] == "madds" and not by_params]
    forms = (short, lambda value: f"{value:.4g}")
    chart = scatter(marks, (name, "validation accuracy, %"), forms, limits[0] if limits else None) if marks else ""
    note = f"<p>{left_out} more lie below {percent(least)} %: the table has them.</p>" if left_out else ""
    keys = "".join(
        f'<li><span class="key {kind}"></span>{told}</li>'
        for kind, told in _KINDS.items()
        if any(mark.kind == kind for mark in marks)
    )
    return f'<figure>{chart}<ul class="keys" aria-label="Legend">{keys}</ul></figure>{note}{_table(entries)}'


def _entries(payload: Payload) -> list[_Entry]:
    """The input first, then the chosen one, then the others by accuracy."""
    given = payload["input"]
    beta = {**given, **payload["finetuned_input"]}
    found = [_entry("given", given), _entry("beta", beta)]
    tuned = [
        _entry("chosen" if payload["output"] and alpha["edits"] == payload["edits"] else "tuned", alpha)
        for alpha in payload["candidates"]
    ]
    scored = [_entry("scored", alpha) for alpha in payload["scored"]]
    for group in (tuned, scored):
        found += sorted(group, key=lambda entry: (entry.kind != "chosen", -(entry.accuracy or 0.0)))
    return found


def _entry(kind: str, row: Payload) -> _Entry:
    return _Entry(kind, row["params"], row["madds"], row["accuracy"]["validation"], row.get("edits"))


def _table(entries: list[_Entry]) -> str:
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
                percent(entry.accuracy),
                UNKNOWN if entry.edits is None else str(len(entry.edits)),
                f'<span class="clip" title="{told}">{told}</span>',
            )
        )
    columns = ("architecture", "MAdds", "change", "parameters", "validation, %", "edits", "which edges")
    return table(columns, rows, "Candidates considered", numeric=columns[1:6])
