"""What `natonnx diff` found, for people: long lists are cut, --json has all of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from rich.console import Console

from natonnx.contract.diff import DiffReport, EdgeChange, EdgeMatch, Edges, Provenance, Weights
from natonnx.report.numbers import count, percent, ratio
from natonnx.report.score import difference, heading, score
from natonnx.report.table import plain, show_line, show_table

__all__ = ["show_diff"]

_MOST = 12
"""Lines shown of a list."""
_PARTS: tuple[Literal["changed", "removed", "added"], ...] = ("changed", "removed", "added")

_WORDS: Mapping[EdgeMatch, str] = {
    "name": "by name",
    "structure": "by structure",
    "ends": "by the maps they join",
    "nodes": "by their nodes",
}
_COUNTS: tuple[tuple[str, Literal["params", "madds", "size_bytes", "nodes"]], ...] = (
    ("parameters", "params"),
    ("MAdds", "madds"),
    ("size (bytes)", "size_bytes"),
    ("nodes", "nodes"),
)


def show_diff(console: Console, payload: DiffReport) -> None:
    """Render the payload of `natonnx diff`."""
    before, after = payload["before"], payload["after"]
    show_line(console, f"[bold]{plain(before['path'])}[/] → [bold]{plain(after['path'])}[/]")
    show_line(console, _verdict(payload["differs_in"]))
    rows = [(label, count(before[key]), count(after[key]), ratio(before[key], after[key])) for label, key in _COUNTS]
    data = payload["data"]
    if data is not None:
        (old, new), unit = data["score"], data["objective"]["unit"]
        change = "" if old is None or new is None else difference(new - old, unit)
        label = heading(f"{data['split']} {data['objective']['measure']}", unit)
        rows.append((label, score(old, unit), score(new, unit), change))
    show_table(console, ("", "before", "after", "change"), rows, right=[1, 2, 3])
    for title, lines in (
        ("file", list(_file(payload))),
        (_edges_title(payload["edges"]), [_edge(row) for row in payload["edges"]["changes"]]),
        ("operators", list(_operators(payload))),
        (_weights_title(payload["weights"]), list(_weights(payload["weights"]))),
        (_outputs_title(payload), list(_outputs(payload))),
    ):
        _show(console, title, lines)


def _verdict(differs_in: Sequence[str]) -> str:
    if not differs_in:
        return "[bold green]the same[/]: every output is made by the same operators from bit-identical constants"
    if differs_in == ["weights"]:
        return "[bold]different[/] in the weights; the graph is the same"
    return f"[bold]different[/] in the {' and the '.join(differs_in)}"


def _show(console: Console, title: str, lines: Sequence[str]) -> None:
    if not lines and ":" not in title:
        return
    show_line(console, f"[bold]{plain(title)}[/]")
    for line in lines[:_MOST]:
        show_line(console, f"  {plain(line)}")
    if len(lines) > _MOST:
        show_line(console, f"  ... and {len(lines) - _MOST:,} more")


def _file(payload: DiffReport) -> Iterator[str]:
    for row in payload["fields"]:
        yield f"{row['what']}: {_value(row['before'])} → {_value(row['after'])}"
    noted = payload["provenance"]
    if noted is not None:
        yield from _provenance(noted)
    found = payload["metadata"]
    for what, keys in (("added", found["added"]), ("removed", found["removed"]), ("changed", found["changed"])):
        for key in keys:
            yield f"metadata {what}: {key}"


def _provenance(noted: Provenance) -> Iterator[str]:
    made, source = ("AFTER", "BEFORE") if noted["of"] == "after" else ("BEFORE", "AFTER")
    if not noted["is_source"]:
        yield f"natonnx {noted['version']} made {made} from another file (sha256 {str(noted['source_sha256'])[:12]}…)"
        return
    seen = sum(edit["seen"] for edit in noted["edits"])
    yield f"natonnx {noted['version']} made {made} from {source} (its sha256 agrees); {noted['detail']}"
    yield f"of its {len(noted['edits'])} edits, {seen} are seen below"


def _edges_title(edges: Edges) -> str:
    by = ", ".join(f"{number:,} {_WORDS[how]}" for how, number in edges["matched"].items() if number)
    by = f"matched {by or 'none'}" + ("" if edges["related"] else "; few names are in both")
    return f"edges: {edges['before']:,} → {edges['after']:,}, {edges['same']:,} the same ({by})"


def _edge(row: EdgeChange) -> str:
    head = f"{row['from']} → {row['to']}" if row["change"] == "transition" else str(row["change"])
    if row["noted"]:
        head = row["noted"]
    ends = row["before"] or row["after"]
    details = "; ".join(row["details"])
    if row["change"] in ("replaced", "regrouped") and row["after"] is not None:
        details = "; ".join(filter(None, (f"now {row['after']['name']}", details)))
    kind = f" {ends['operation']}" if ends and ends["operation"] else ""
    return f"{head:<9}  {row['edge']}{kind}" + (f": {details}" if details else "")


def _operators(payload: DiffReport) -> Iterator[str]:
    if payload["operators"]:
        yield ", ".join(f"{row['op_type']} {row['before']} → {row['after']}" for row in payload["operators"])
    shown = {row["edge"] for row in payload["edges"]["changes"]}
    for row in payload["nodes"]["changed"]:
        if row["name"] not in shown:
            changes = (f"{key} {_value(old)} → {_value(new)}" for key, (old, new) in row["changes"].items())
            yield f"{row['name']}: {', '.join(changes)}"


def _weights_title(weights: Weights) -> str:
    old, new = weights["before"], weights["after"]
    parts = [f"{weights['same']:,} bit-identical"]
    parts += [f"{len(weights[key]):,} {key}" for key in _PARTS if weights[key]]
    if weights["renamed"]:
        parts.append(f"{len(weights['renamed']):,} under another name")
    return f"constants: {old['tensors']:,} → {new['tensors']:,} tensors; {', '.join(parts)}"


def _weights(weights: Weights) -> Iterator[str]:
    for row in weights["changed"]:
        (old, new), (was, now) = row["shape"], row["dtype"]
        told = [f"shape {old} → {new}"] if old != new else []
        told += [f"{was} → {now}"] if was != now else []
        if row["max_abs"] is not None:
            told.append(f"max |Δ| {row['max_abs']:.3g}, relative L2 {row['relative_l2']:.3g}")
        yield f"{row['name']}: {', '.join(told) or 'changed'}"
    for what, constants in (("removed", weights["removed"]), ("added", weights["added"])):
        for constant in constants:
            yield f"{what} {constant['name']} {constant['dtype']} {constant['shape']}"


def _outputs_title(payload: DiffReport) -> str:
    found = payload["outputs"]
    if found["reason"]:
        return f"outputs: not compared, {found['reason']}"
    by = " matched by position" if found["inputs_matched_by"] == "position" else ""
    return f"outputs: {found['samples']:,} random samples in onnxruntime, inputs{by} the same"


def _outputs(payload: DiffReport) -> Iterator[str]:
    for row in payload["outputs"]["outputs"]:
        name = row["before"] or row["after"]
        if row["matched_by"] == "position":
            name = f"{row['before']} and {row['after']} (by position)"
        if row["bit_equal"]:
            yield f"{name}: equal bit for bit"
            continue
        told = []
        if row["max_abs"] is not None:
            told.append(f"max |Δ| {row['max_abs']:.3g}, relative {row['max_rel']:.3g}")
        if row["same_argmax"] is not None:
            told.append(f"same argmax {percent(row['same_argmax'])} %")
        yield f"{name}: {', '.join(told + ([row['reason']] if row['reason'] else []))}"
    data = payload["data"]
    if data is not None:
        several = len(data["outputs"]) > 1
        for output in data["outputs"]:
            what = f"{output['measure']} of {output['name']}" if several else output["measure"]
            yield f"{data['name']}: {what} {percent(output['agreement'])} % on {data['samples']:,} samples"


def _value(value: Any) -> str:
    """A field's value in one line."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return f"{value['dtype']} {_value(value['shape'])}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join("?" if one is None else str(one) for one in value) + "]"
    return str(value) or "none"
