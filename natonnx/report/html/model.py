"""Sections of the report on a model: its edges, every refusal with its reason, the nodes that stay as they are."""

from collections import Counter
from html import escape

from natonnx.contract.inspect import Inspection
from natonnx.contract.rows import TensorRow
from natonnx.report.html.text import count, shape, table

__all__ = ["facts", "model_sections"]


def facts(inspection: Inspection) -> str:
    """Inputs, outputs, cost and size of the DAG, as a description list."""
    model, total, edges = inspection["model"], inspection["cost"], inspection["edges"]
    states = ", ".join(f"{sum(edge['state'] == state for edge in edges)} {state}" for state in "OSN")
    reach = sum(edge["madds"] or 0 for edge in edges if edge["legal"] and edge["operation"])
    rows = [
        ("inputs", "; ".join(map(_tensor, model["inputs"]))),
        ("outputs", "; ".join(map(_tensor, model["outputs"]))),
        ("format", f"opset {model['opset']}, IR {model['ir_version']}"),
        ("cost", f"{count(total['params'])} parameters, {count(total['madds'])} MAdds a sample"),
        ("DAG", f"{len(inspection['feature_maps'])} feature maps, {len(edges)} edges ({states})"),
        ("transitions", f"{sum(len(edge['legal']) for edge in edges)} legal"),
    ]
    if total["madds"]:
        rows.append(("in reach", f"{100 * reach / total['madds']:.1f} % of the MAdds lie on edges that may change"))
    return f'<dl class="facts">{"".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)}</dl>'


def model_sections(inspection: Inspection) -> dict[str, str]:
    """Sections by title, HTML; a section with nothing to show is left out."""
    sections = {
        "Refusals": _refusals(inspection),
        "Fixed nodes": _fixed(inspection),
        "All edges": _edges(inspection),
    }
    return {title: content for title, content in sections.items() if content}


def _refusals(inspection: Inspection) -> str:
    refused = [
        (edge, f"{edge['state']} → {wanted}", reason)
        for edge in inspection["edges"]
        for wanted, reason in edge["illegal"].items()
    ]
    if not refused:
        return ""
    rows = [
        (_link(edge["name"]), change, escape(reason), f"{escape(edge['source'])} → {escape(edge['target'])}")
        for edge, change, reason in refused
    ]
    tally = ", ".join(f"{number} {change}" for change, number in Counter(change for _, change, _ in refused).items())
    return (
        f"<p>Transitions that are not legal, and why: {tally}.</p>"
        + _filter("refusal-rows", ["O → S", "O → N", "S → N", "N → S"])
        + f'<div id="refusal-rows">{table(("edge", "refused", "reason", "from → to"), rows, "Refusals")}</div>'
    )


def _fixed(inspection: Inspection) -> str:
    rows = [(escape(node["node"]), escape(node["op_type"]), escape(node["reason"])) for node in inspection["opaque"]]
    note = "<p>Nodes that are kept bit for bit, and why.</p>"
    return note + table(("node", "operator", "reason"), rows, "Fixed nodes") if rows else ""


def _edges(inspection: Inspection) -> str:
    rows = [
        (
            _link(edge["name"]),
            edge["state"],
            escape(edge["operation"] or ""),
            count(edge["params"]) if edge["operation"] else "",
            count(edge["madds"]) if edge["operation"] else "",
            " ".join(edge["legal"]),
            f"{escape(edge['source'])} → {escape(edge['target'])}",
        )
        for edge in inspection["edges"]
    ]
    if not rows:
        return ""
    columns = ("edge", "state", "operation", "parameters", "MAdds", "may become", "from → to")
    body = table(columns, rows, "All edges", numeric=columns[3:5])
    return f'<details id="edge-rows"><summary>{len(rows):,} edges</summary>{_filter("edge-rows")}{body}</details>'


def _filter(target: str, choices: list[str] | None = None) -> str:
    options = "".join(f"<option>{choice}</option>" for choice in choices or ())
    select = f'<label>transition <select><option value="">all</option>{options}</select></label>' if choices else ""
    return (
        f'<form class="filter needs-script" data-filter="{target}" role="search"><label>search <input type="search" '
        f'placeholder="name or reason"></label>{select}<output aria-live="polite"></output></form>'
    )


def _link(name: str) -> str:
    return f'<button type="button" class="link" data-edge="{escape(name)}">{escape(name)}</button>'


def _tensor(tensor: TensorRow) -> str:
    return f"{escape(tensor['name'])}: {escape(str(tensor['dtype'] or '?'))} {escape(shape(tensor['shape']))}"
