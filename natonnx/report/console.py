"""Tables for people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from natonnx.report.comparison import limits, notes, rows
from natonnx.report.numbers import count

__all__ = ["show_inspection", "show_optimization"]


def show_inspection(console: Console, payload: Mapping[str, Any]) -> None:
    """Render the payload of `natonnx inspect`."""
    model, total, edges = payload["model"], payload["cost"], payload["edges"]
    console.print(f"[bold]{escape(model['path'])}[/]  opset {model['opset']}, IR {model['ir_version']}")
    for label, tensors in (("input", model["inputs"]), ("output", model["outputs"])):
        for tensor in tensors:
            console.print(f"  {label} {escape(tensor['name'])}: {tensor['dtype']} {_shape(tensor['shape'])}")
    console.print(f"  {total['params']:,} parameters, {count(total['madds'])} MAdds a sample")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("edge", "from → to", "state", "operation", "MAdds", "may become", "may not become"):
        table.add_column(column, overflow="fold", justify="right" if column == "MAdds" else "left")
    for edge in edges:
        table.add_row(
            escape(edge["name"]),
            escape(f"{edge['source']} → {edge['target']}"),
            edge["state"],
            edge["operation"] or "",
            count(edge["madds"]) if edge["operation"] else "",
            " ".join(edge["legal"]),
            escape("; ".join(f"{state}: {reason}" for state, reason in edge["illegal"].items())),
        )
    console.print(table)
    for node in payload["opaque"]:
        console.print(f"fixed: {escape(node['node'])} ({escape(node['op_type'])}): {escape(node['reason'])}")
    legal = sum(len(edge["legal"]) for edge in edges)
    states = ", ".join(f"{sum(edge['state'] == s for edge in edges)} {s}" for s in "OSN")
    console.print(
        f"{len(payload['feature_maps'])} feature maps, {len(edges)} edges ({states}), {legal} legal transitions"
    )
    reached = sum(edge["madds"] or 0 for edge in edges if edge["legal"] and edge["operation"])
    if total["madds"]:
        console.print(f"{100 * reached / total['madds']:.1f} % of the MAdds lie on edges that may change")


def show_optimization(console: Console, payload: Mapping[str, Any]) -> None:
    """Render the payload of `natonnx optimize`."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "before", "after", "change"):
        table.add_column(column, justify="left" if not column else "right")
    for row in rows(payload):
        table.add_row(*row)
    console.print(table)
    for edit in payload["edits"]:
        console.print(f"  {edit['from']} → {edit['to']}  {escape(edit['edge'])}")
    for limit in limits(payload):
        mark = "[green]met[/]" if limit.met else "[red]not met[/]"
        console.print(f"  {limit.label}: {limit.value}, at most {limit.most}: {mark}")
    for note in notes(payload):
        console.print(f"  {escape(note)}")
    if after := payload["output"]:
        console.print(f"[bold green]improved[/]: {escape(after['path'])} ({payload['seconds']:.0f} s)")
    else:
        console.print("[bold]unchanged[/]: no architecture met every constraint; the input model stands")


def _shape(shape: list[Any] | None) -> str:
    return "?" if shape is None else escape("[" + ", ".join("?" if size is None else str(size) for size in shape) + "]")
