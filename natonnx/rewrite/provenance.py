"""Say inside a model what natonnx did to it."""

import json
from collections.abc import Iterable

import onnx

from natonnx.architecture import Edit
from natonnx.contract.edits import edit_rows

__all__ = ["KEY", "add_provenance"]

KEY = "natonnx.provenance"
"""metadata_props key; its value is a JSON list, one entry a run of natonnx, oldest first."""


def add_provenance(model: onnx.ModelProto, *, version: str, source_sha256: str, edits: Iterable[Edit]) -> None:
    """Append one entry to a model's provenance, in place.

    Args:
        model: The rewritten model.
        version: natonnx's version.
        source_sha256: Hash of the file that the edits were applied to.
        edits: What changed.
    """
    entry = {"version": version, "source_sha256": source_sha256, "edits": edit_rows(edits)}
    for prop in model.metadata_props:
        if prop.key == KEY:
            prop.value = json.dumps([*_history(prop.value), entry])
            return
    model.metadata_props.add(key=KEY, value=json.dumps([entry]))


def _history(text: str) -> list[object]:
    try:
        history = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    return history if isinstance(history, list) else [history]
