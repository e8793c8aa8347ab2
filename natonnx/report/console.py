"""Tables for people."""

from collections.abc import Sequence

from rich.console import Console

from natonnx.contract.inspect import InspectedTensor, Inspection
from natonnx.contract.optimize import OptimizeReport
from natonnx.contract.plan import Plan
from natonnx.report import plan
from natonnx.report.numbers import count
from natonnx.report.optimize import FRONT, front, limits, notes, rows
from natonnx.report.table import plain, show_line, show_table

__all__ = ["show_inspection", "show_optimization", "show_plan"]


def show_inspection(console: Console, payload: Inspection) -> None:
    """Render the payload of `natonnx inspect`."""
    model, total, edges = payload["model"], payload["cost"], payload["edges"]
    show_line(console, f"[bold]{plain(model['path'])}[/]  opset {model['opset']}, IR {model['ir_version']}")
    for label, tensors in (("input", model["inputs"]), ("output", model["outputs"])):
        for tensor in tensors:
            what = f"{tensor['dtype']} {_shape(tensor['shape'])}{_batch_axis(tensor['batch_axis'])}"
            show_line(console, f"  {label} {plain(tensor['name'])}: {what}")
    show_line(console, f"  {total['params']:,} parameters, {count(total['madds'])} MAdds a sample")
    if total["madds"] is None:
        show_line(console, f"  {_why_unknown(model['inputs'])}")
    show_table(
        console,
        ("edge", "from → to", "state", "operation", "MAdds", "may become", "may not become"),
        [
            (
                edge["name"],
                f"{edge['source']} → {edge['target']}",
                edge["state"],
                edge["operation"] or "",
                count(edge["madds"]) if edge["operation"] else "",
                " ".join(edge["legal"]),
                "; ".join(f"{state}: {reason}" for state, reason in edge["illegal"].items()),
            )
            for edge in edges
        ],
        right=[4],
    )
    for node in payload["opaque"]:
        show_line(console, f"fixed: {plain(node['node'])} ({plain(node['op_type'])}): {plain(node['reason'])}")
    legal = sum(len(edge["legal"]) for edge in edges)
    states = ", ".join(f"{sum(edge['state'] == s for edge in edges)} {s}" for s in "OSN")
    show_line(
        console,
        f"{len(payload['feature_maps'])} feature maps, {len(edges)} edges ({states}), {legal} legal transitions",
    )
    reached = sum(edge["madds"] or 0 for edge in edges if edge["legal"] and edge["operation"])
    if total["madds"]:
        show_line(console, f"{100 * reached / total['madds']:.1f} % of the MAdds lie on edges that may change")


def _why_unknown(inputs: Sequence[InspectedTensor]) -> str:
    """Say why MAdds are unknown, and what tells them."""
    for tensor in inputs:
        sizes = tensor["shape"]
        if sizes is None or any(
            not isinstance(s, int) and axis != tensor["batch_axis"] for axis, s in enumerate(sizes)
        ):
            shape = "..." if sizes is None else ",".join("?" if size is None else str(size) for size in sizes)
            name = plain(tensor["name"])
            return f"MAdds depend on sizes of {name} that the file leaves open; give --input-shape {name}:{shape}"
    return "MAdds depend on sizes within that are not known before the model runs"


def show_optimization(console: Console, payload: OptimizeReport) -> None:
    """Render the payload of `natonnx optimize`."""
    show_table(console, ("", "before", "after", "change"), rows(payload), right=[1, 2, 3])
    if payload["front"][0 if not payload["output"] else 1 :]:
        show_table(console, FRONT, front(payload), right=[1, 2, 3, 4, 5, 6])
    for edit in payload["edits"]:
        show_line(console, f"  {edit['from']} → {edit['to']}  {plain(edit['edge'])}")
    for limit in limits(payload):
        mark = "[green]met[/]" if limit.met else "[red]not met[/]"
        note = f" ({plain(limit.note)})" if limit.note else ""
        show_line(console, f"  {plain(limit.label)}: {limit.value}, at most {limit.most}: {mark}{note}")
    for note in notes(payload):
        show_line(console, f"  {plain(note)}")
    if after := payload["output"]:
        show_line(console, f"[bold green]improved[/]: {plain(after['path'] or '')} ({payload['seconds']:.0f} s)")
    else:
        show_line(console, "[bold]unchanged[/]: no architecture met every constraint; the input model stands")


def show_plan(console: Console, payload: Plan) -> None:
    """Render the payload of `natonnx optimize --dry-run`."""
    show_table(console, plan.COLUMNS, plan.rows(payload), right=[1, 2, 3])
    for line in plan.lines(payload):
        show_line(console, f"  {plain(line)}")


def _batch_axis(axis: int | None) -> str:
    """Where samples are counted, unless it is along the leading axis."""
    if axis == 0:
        return ""
    return ", no batch axis" if axis is None else f", batch on axis {axis}"


def _shape(shape: Sequence[int | str | None] | None) -> str:
    return "?" if shape is None else plain("[" + ", ".join("?" if size is None else str(size) for size in shape) + "]")
