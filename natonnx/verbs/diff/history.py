"""What a model that natonnx made says of where it comes from, checked against the other model."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import onnx

from natonnx.architecture import LETTERS, Edit, State, apply_edits
from natonnx.contract.diff import EdgeChange, NotedEdit, Origin
from natonnx.contract.edits import EditRow, edit_rows, parse_edits
from natonnx.errors import InputError
from natonnx.frontend import Source, parse_with
from natonnx.rewrite import build
from natonnx.rewrite.provenance import KEY
from natonnx.verbs.apply import reading_for
from natonnx.verbs.diff.digest import graph_digests

__all__ = ["origin"]


def origin(before: Source, after: Source, changes: Sequence[EdgeChange], graph: Mapping[str, bytes]) -> Origin | None:
    """Say whether one model is noted to have been made from another, and replay the edits that are noted.

    Args:
        before: The one that may be the source.
        after: The one that may have been made of it.
        changes: What was seen to differ between their edges; see `compare_edges`. Where replaying the edits gives the
            second model's graph, each gets as `noted` what its edit says.
        graph: Digests of the second one's tensors, weights apart.

    Returns:
        None where natonnx notes nothing in the second one.
    """
    entries = _entries(after.network.model)
    if not entries:
        return None
    start = next((i for i, entry in enumerate(entries) if entry.get("source_sha256") == before.sha256), None)
    found: Origin = {
        "runs": len(entries),
        "version": entries[-1].get("version"),
        "source_sha256": entries[0 if start is None else start].get("source_sha256"),
        "is_source": start is not None,
        "edits": [],
        "replayed": None,
        "detail": "it was made from another file",
    }
    if start is None:
        return found
    try:
        steps = [parse_edits(json.dumps(entry.get("edits", [])), "its provenance") for entry in entries[start:]]
        found["edits"] = _seen([edit for step in steps for edit in step], changes)
        model = _replay(before, steps)
        own = graph_digests(model, before.network.folder, {name: name for name in before.network.inputs})
        found["replayed"] = all(own.get(name) == graph.get(name) for name in after.network.outputs)
        for edit, row in _rows(found["edits"], changes) if found["replayed"] else ():
            row["noted"] = f"{edit['from']} → {edit['to']}"
        found["detail"] = "replayed, its edits give " + ("its graph" if found["replayed"] else "another graph")
    except InputError as error:
        found["detail"] = f"its edits cannot be replayed by these reading options: {error}"
    return found


def _entries(model: onnx.ModelProto) -> list[dict[str, Any]]:
    """List what is noted in a model, oldest run first; without what is not natonnx's."""
    for prop in model.metadata_props:
        if prop.key == KEY:
            try:
                history = json.loads(prop.value)
            except (ValueError, RecursionError):
                return []
            return [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    return []


def _replay(source: Source, steps: Sequence[Sequence[Edit]]) -> onnx.ModelProto:
    """Build the model that runs of edits make, one upon the other."""
    network = source.network
    options = replace(network.options, include=(), exclude=(), freeze_outputs_of=())  # they may name what is gone
    model = network.model
    for position, step in enumerate(steps):
        reading = reading_for(step, options if position else network.options)
        if position or reading != network.options:
            network = parse_with(model, reading, network.folder)
        model = build(network, apply_edits(network.architecture, step))
    return model


def _seen(edits: Iterable[Edit], changes: Iterable[EdgeChange]) -> list[NotedEdit]:
    rows = {row["edge"]: row for row in changes}
    return [{**data, "seen": _agrees(rows.get(data["edge"]), data)} for data in edit_rows(edits)]


def _rows(edits: Iterable[NotedEdit], changes: Iterable[EdgeChange]) -> Iterator[tuple[NotedEdit, EdgeChange]]:
    """Return the edits that agree with a change, with its row."""
    rows = {row["edge"]: row for row in changes}
    yield from ((edit, rows[edit["edge"]]) for edit in edits if edit["seen"])


def _agrees(row: EdgeChange | None, edit: EditRow) -> bool:
    """Return whether a change that was seen is what an edit says; an edge may be gone with its feature maps."""
    if row is None or row["from"] not in (edit["from"], None):
        return False
    if edit["to"] not in LETTERS:  # an operation in the place of the edge's own
        return row["to"] == State.O and row["change"] in {"changed", "replaced"}
    return row["to"] == edit["to"] or (edit["to"] == "N" and row["change"] == "removed")
