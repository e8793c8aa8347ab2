"""Sections of the report on a search: the verdict, before and after, what changed, the search itself."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from natonnx.report.html.candidates import candidates_section
from natonnx.report.html.charts import line_chart
from natonnx.report.html.text import MINUS, count, gain, percent, points, ratio, rounded, table
from natonnx.report.optimize import limits

__all__ = ["search_sections", "verdict"]

_WHAT = {"O": "operation", "S": "skip", "N": "null"}
Payload = Mapping[str, Any]


def verdict(payload: Payload) -> str:
    """What came of it, in one line."""
    before, after = payload["input"], payload["output"]
    if after is None:
        return (
            '<p class="verdict same"><strong>Unchanged.</strong> No architecture met every constraint; the input model'
            " stands.</p>"
        )
    split = "validation" if before["accuracy"]["test"] is None else "test"
    parts = [
        f"{name} {change}"
        for name, change in (
            ("MAdds", ratio(before["madds"], after["madds"])),
            ("parameters", ratio(before["params"], after["params"])),
            ("latency", ratio(before["latency_ms"], after["latency_ms"])),
            (f"{split} accuracy", points(before["accuracy"][split], after["accuracy"][split])),
        )
        if change
    ]
    return f'<p class="verdict better"><strong>Improved.</strong> {", ".join(parts)}.</p>'


def search_sections(payload: Payload, inspection: Payload) -> dict[str, str]:
    """Sections by title, HTML; a section with nothing to show is left out."""
    sections = {
        "Before and after": _before_and_after(payload),
        "What changed": _edits(payload, inspection),
        "Checks": _constraints(payload) + _checks(payload),
        "Candidates": candidates_section(payload),
        "Learning curves": _curves(payload["history"]),
    }
    return {title: content for title, content in sections.items() if content}


def _before_and_after(payload: Payload) -> str:
    before, after, beta = payload["input"], payload["output"], payload["finetuned_input"]
    rows = []
    for label, key, form in (
        ("parameters", "params", count),
        ("MAdds a sample", "madds", count),
        ("file size, bytes", "size_bytes", count),
        ("latency, ms, one sample", "latency_ms", rounded),
    ):
        old, new = before[key], after[key] if after else None
        rows.append((label, form(old), form(new), ratio(old, new), ""))
    for split in ("validation", "test"):
        old, new = before["accuracy"][split], after["accuracy"][split] if after else None
        if old is not None:
            alike = percent(beta["accuracy"][split])
            rows.append((f"{split} accuracy, %", percent(old), percent(new), points(old, new), alike))
    if "reward" in before:
        old, new = before["reward"], after["reward"] if after else None
        rows.append(("reward", rounded(old), rounded(new), gain(old, new), rounded(beta["reward"])))
    columns = ("", "before", "after", "change", "before, fine-tuned alike")
    note = (
        "<p>The last column is the input model itself after the same fine-tuning: what the architecture did not do.</p>"
    )
    return table(columns, rows, "Before and after", numeric=columns[1:]) + note


def _edits(payload: Payload, inspection: Payload) -> str:
    edges = {edge["name"]: edge for edge in inspection["edges"]}
    rows = []
    for edit in payload["edits"]:
        edge = edges[edit["edge"]]
        change = f"{edit['from']} → {edit['to']}"
        told = f"{edge['operation'] or _WHAT[edit['from']]} becomes {_WHAT[edit['to']]}"
        rows.append((_edge(edge), change, escape(told), _ends(edge), count(edge["params"]), count(edge["madds"])))
    for name in payload["idle_edges"]:
        edge = edges[name]
        told = f"{edge['operation'] or 'skip'} carries nothing any more"
        rows.append((_edge(edge), "idle", escape(told), _ends(edge), count(edge["params"]), count(edge["madds"])))
    columns = ("edge", "transition", "what", "from → to", "parameters before", "MAdds before")
    return table(columns, rows, "Edges that changed", numeric=columns[4:]) if rows else ""


def _constraints(payload: Payload) -> str:
    rows = []
    for limit in limits(payload):
        mark = '<span class="yes">✓ met</span>' if limit.met else '<span class="no">✗ not met</span>'
        rows.append((limit.label, *(text.replace("-", MINUS) for text in (limit.value, limit.most)), mark))
    columns = ("constraint", "value", "at most", "")
    return table(columns, rows, "Constraints", numeric=columns[1:3]) if rows else ""


def _checks(payload: Payload) -> str:
    rows = []
    for check in payload["checks"]:
        mark = '<span class="yes">✓ passed</span>' if check["passed"] else '<span class="no">✗ failed</span>'
        rows.append((escape(check["name"]), mark, escape(check["detail"])))
    return table(("check before writing", "", "detail"), rows, "Checks") if rows else ""


def _curves(history: Sequence[Payload]) -> str:
    if not history:
        return ""
    epochs = [row["epoch"] for row in history]
    charts = []
    for title, key, form, limit in (
        ("Reward, mean gain of α", "reward", lambda value: f"{value:+.3g}".replace("-", MINUS), None),
        ("Entropy of the policy, nats", "entropy", lambda value: f"{value:.3g}", None),
        ("Training loss", "loss", lambda value: f"{value:.3g}", None),
        ("MAdds, share of the input's", "madds", lambda value: f"{value:.3g}", "limit"),
    ):
        bound = [row.get(limit) for row in history] if limit else ()
        chart = line_chart(title, epochs, [row.get(key) for row in history], form, bound)
        note = ", limit dashed" if limit and any(value is not None for value in bound) else ""
        charts += [f"<figure><figcaption>{escape(title)}{note}</figcaption>{chart}</figure>"] if chart else []
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def _edge(edge: Payload) -> str:
    return f'<button type="button" class="link" data-edge="{escape(edge["name"])}">{escape(edge["name"])}</button>'


def _ends(edge: Payload) -> str:
    return f"{escape(edge['source'])} → {escape(edge['target'])}"
