"""Sections of the report on a search: the verdict, before and after, what changed, the search itself."""

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Literal

from natonnx.contract.inspect import Inspection
from natonnx.contract.optimize import CostKey, HistoryRow, OptimizeReport
from natonnx.contract.rows import EdgeRow
from natonnx.report.html.candidates import candidates_section
from natonnx.report.html.charts import line_chart
from natonnx.report.html.text import MINUS, count, difference, ratio, rounded, table, with_interval
from natonnx.report.optimize import FRONT, front, limits
from natonnx.report.score import heading, label, reported_split, score_rows

__all__ = ["search_sections", "verdict"]

_WHAT = {"O": "operation", "S": "skip", "N": "null"}
_COSTS: tuple[tuple[str, CostKey, Callable[[float | None], str]], ...] = (
    ("parameters", "params", count),
    ("MAdds a sample", "madds", count),
    ("file size, bytes", "size_bytes", count),
    ("latency, ms, one sample", "latency_ms", rounded),
)
_CurveKey = Literal["reward", "entropy", "loss", "cost"]
_CURVES: tuple[tuple[str, _CurveKey, str, bool], ...] = (
    ("Reward, mean gain of α", "reward", "+.3g", False),
    ("Entropy of the policy, nats", "entropy", ".3g", False),
    ("Training loss", "loss", ".3g", False),
    ("Cost, share of the input's", "cost", ".3g", True),
)
"""Title, key, format, and whether the limit belongs to it."""


def verdict(payload: OptimizeReport) -> str:
    """What came of it, in one line."""
    before, after = payload["input"], payload["output"]
    if after is None:
        return (
            '<p class="verdict same"><strong>Unchanged.</strong> No architecture met every constraint; the input model'
            " stands.</p>"
        )
    split, unit = reported_split(before["score"]), payload["objective"]["unit"]
    gain = difference(before["score"][split], after["score"][split], unit)
    parts = [
        f"{name} {change}"
        for name, change in (
            ("MAdds", ratio(before["madds"], after["madds"])),
            ("parameters", ratio(before["params"], after["params"])),
            ("latency", ratio(before["latency_ms"], after["latency_ms"])),
            (escape(label(split, payload["objective"])), gain),
        )
        if change
    ]
    return f'<p class="verdict better"><strong>Improved.</strong> {", ".join(parts)}.</p>'


def search_sections(payload: OptimizeReport, inspection: Inspection) -> dict[str, str]:
    """Sections by title, HTML; a section with nothing to show is left out."""
    sections = {
        "Before and after": _before_and_after(payload),
        "What changed": _edits(payload, inspection),
        "Checks": _constraints(payload) + _checks(payload),
        "Models that were made": _front(payload),
        "Candidates": candidates_section(payload),
        "Learning curves": _curves(payload["history"]),
    }
    return {title: content for title, content in sections.items() if content}


def _before_and_after(payload: OptimizeReport) -> str:
    before, after, beta = payload["input"], payload["output"], payload["finetuned_input"]
    rows: list[tuple[str, ...]] = []
    unit = payload["objective"]["unit"]
    for name, key, form in _COSTS:
        old, new = before[key], after[key] if after else None
        rows.append((name, form(old), form(new), ratio(old, new), ""))
    for row in score_rows(payload["objective"], (before, after, beta)):
        count_of = payload["data"]["samples"][row.split]
        of = "" if count_of is None else f" of {count_of:,} samples"
        what = escape(heading(f"{row.label}{of}", unit, "{}, {}"))
        first, second, alike = (with_interval(*pair, unit) for pair in zip(row.values, row.errors, strict=True))
        rows.append((what, first, second, difference(row.values[0], row.values[1], unit), alike))
    columns: tuple[str, ...] = ("", "before", "after", "change", "before, trained alike")
    if beta is None:
        rows, columns = [row[:-1] for row in rows], columns[:-1]
    note = (
        "<p>The last column is the input model itself, trained by the same protocol: what the architecture did not do."
        "</p>"
    )
    return table(columns, rows, "Before and after", numeric=columns[1:]) + ("" if beta is None else note)


def _front(payload: OptimizeReport) -> str:
    rows = [tuple(escape(text.replace("-", MINUS)) for text in row) for row in front(payload)]
    return table(FRONT, rows, "Models that were made", numeric=FRONT[1:7]) if rows else ""


def _edits(payload: OptimizeReport, inspection: Inspection) -> str:
    edges = {edge["name"]: edge for edge in inspection["edges"]}
    rows = []
    for edit in payload["edits"]:
        edge = edges[edit["edge"]]
        change = f"{edit['from']} → {edit['to']}"
        told = f"{edge['operation'] or _WHAT[edit['from']]} becomes {_WHAT.get(edit['to'], edit['to'])}"
        rows.append((_edge(edge), change, escape(told), _ends(edge), count(edge["params"]), count(edge["madds"])))
    for name in payload["idle_edges"]:
        edge = edges[name]
        told = f"{edge['operation'] or 'skip'} carries nothing any more"
        rows.append((_edge(edge), "idle", escape(told), _ends(edge), count(edge["params"]), count(edge["madds"])))
    columns = ("edge", "transition", "what", "from → to", "parameters before", "MAdds before")
    return table(columns, rows, "Edges that changed", numeric=columns[4:]) if rows else ""


def _constraints(payload: OptimizeReport) -> str:
    rows = []
    for limit in limits(payload):
        mark = '<span class="yes">✓ met</span>' if limit.met else '<span class="no">✗ not met</span>'
        note = f" {escape(limit.note.replace('-', MINUS))}" if limit.note else ""
        rows.append(
            (escape(limit.label), *(text.replace("-", MINUS) for text in (limit.value, limit.most)), mark + note)
        )
    columns = ("constraint", "value", "at most", "")
    return table(columns, rows, "Constraints", numeric=columns[1:3]) if rows else ""


def _checks(payload: OptimizeReport) -> str:
    rows = []
    for check in payload["checks"]:
        mark = '<span class="yes">✓ passed</span>' if check["passed"] else '<span class="no">✗ failed</span>'
        rows.append((escape(check["name"]), mark, escape(check["detail"])))
    return table(("check before writing", "", "detail"), rows, "Checks") if rows else ""


def _curves(history: Sequence[HistoryRow]) -> str:
    if not history:
        return ""
    epochs = [row["epoch"] for row in history]
    charts = []
    for title, key, form, limited in _CURVES:
        bound = [row.get("limit") for row in history] if limited else []
        chart = line_chart(title, epochs, [row.get(key) for row in history], partial(_curve_value, form), bound)
        note = ", limit dashed" if any(value is not None for value in bound) else ""
        charts += [f"<figure><figcaption>{escape(title)}{note}</figcaption>{chart}</figure>"] if chart else []
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def _curve_value(form: str, value: float) -> str:
    return format(value, form).replace("-", MINUS)


def _edge(edge: EdgeRow) -> str:
    return f'<button type="button" class="link" data-edge="{escape(edge["name"])}">{escape(edge["name"])}</button>'


def _ends(edge: EdgeRow) -> str:
    return f"{escape(edge['source'])} → {escape(edge['target'])}"
