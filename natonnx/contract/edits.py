"""Edit lists as JSON: [{"edge": name, "from": "O", "to": "S"}, ...]."""

import json
import reprlib
from collections.abc import Iterable
from typing import TypedDict

from natonnx.architecture import Edit, State
from natonnx.errors import InputError

__all__ = ["EditRow", "edit_rows", "parse_edits"]

EditRow = TypedDict("EditRow", {"edge": str, "from": str, "to": str})
"""A transition of an edge: its name, the state that it has, `O`, `S`, `N` or by NAT++ the name of a cheaper operation,
and the one that it gets."""


def parse_edits(text: str, origin: str, pick: int | None = None) -> tuple[Edit, ...]:
    """Read an edit list.

    Args:
        text: JSON.
        origin: Where it comes from, for messages.
        pick: Of the report of `natonnx optimize --json`: which model of its front, from 1; the output where None.

    Raises:
        InputError: If it is not JSON, not a list of edits, or has no such model.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{origin}: not JSON (line {error.lineno}: {error.msg}); write a list of edits, [] for none"
        ) from None
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of thousands of digits
        raise InputError(f"{origin}: not an edit list ({error}); write a JSON list of edits") from None
    if pick is not None:
        data = _picked(data, origin, pick)
    elif isinstance(data, dict) and "edits" in data:  # the report of natonnx optimize --json
        data = data["edits"]
    if not isinstance(data, list):
        raise InputError(f'{origin}: an edit list is a JSON list of {{"edge", "from", "to"}}, not {_kind(data)}')
    return tuple(_edit(item, f"{origin}: edit {position}") for position, item in enumerate(data, start=1))


def edit_rows(edits: Iterable[Edit]) -> list[EditRow]:
    """Describe edits; the inverse of `parse_edits`."""
    return [{"edge": edit.edge, "from": edit.before.value, "to": edit.after.value} for edit in edits]


def _picked(data: object, origin: str, pick: int) -> object:
    front = data.get("front") if isinstance(data, dict) else None
    if not isinstance(front, list):
        raise InputError(f"{origin}: has no models to pick from; give the report of natonnx optimize --json")
    if not 1 <= pick <= len(front):
        raise InputError(f"{origin}: has {len(front)} models; pick one from 1 on")
    row = front[pick - 1]
    return row.get("edits") if isinstance(row, dict) else None


def _edit(item: object, where: str) -> Edit:
    if not isinstance(item, dict):
        raise InputError(f'{where}: should be {{"edge", "from", "to"}}, not {_kind(item)}')
    missing = {"edge", "from", "to"} - item.keys()
    if missing:
        raise InputError(f'{where}: has no {", ".join(sorted(missing))}; write {{"edge", "from", "to"}}')
    if not isinstance(item["edge"], str):
        raise InputError(f"{where}: 'edge' should be the name of an edge, not {_kind(item['edge'])}")
    for key in ("from", "to"):
        if not isinstance(item[key], str) or not item[key]:
            raise InputError(
                f"{where}: {key!r} should be O, S, N or the name of an operation, not {reprlib.repr(item[key])}"
            )
    return Edit(item["edge"], State(item["from"]), State(item["to"]))


def _kind(data: object) -> str:
    return {dict: "an object", list: "a list", str: "a string", type(None): "null"}.get(type(data), "a number")
