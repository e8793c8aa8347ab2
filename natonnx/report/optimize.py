"""What `natonnx optimize` found, as text for any table: input and output side by side, and the constraints."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from natonnx.report.numbers import count, gain, percent, points, ratio

__all__ = ["Limit", "Row", "limits", "notes", "rows"]

_POINTS = "{:+.1f}".format
_PLAIN = "{:+.4g}".format
_LIMITS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "madds": ("MAdds", count),
    "validation_drop_points": ("validation points lost", _POINTS),
    "points_behind_finetuned_beta": ("validation points behind the fine-tuned input", _POINTS),
    "reward_lost": ("reward lost", _PLAIN),
    "reward_behind_finetuned_beta": ("reward behind the fine-tuned input", _PLAIN),
}


class Row(NamedTuple):
    """One quantity; "" for what there is not."""

    label: str
    before: str
    after: str
    change: str


class Limit(NamedTuple):
    """One constraint: what it is about, what was found, the most that is allowed, and whether that is met."""

    label: str
    value: str
    most: str
    met: bool


def rows(payload: Mapping[str, Any]) -> list[Row]:
    """The quantities of the input, and of the output where there is one, with the relative change."""
    before, after = payload["input"], payload["output"]
    found = []
    for label, key, form in (
        ("parameters", "params", count),
        ("MAdds", "madds", count),
        ("size (bytes)", "size_bytes", count),
        ("latency (ms, 1 thread)", "latency_ms", lambda value: "" if value is None else f"{value:.3f}"),
    ):
        old, new = before[key], after[key] if after else None
        found.append(Row(label, form(old), form(new) if after else "", ratio(old, new)))
    for split in ("validation", "test"):
        old, new = before["accuracy"][split], after["accuracy"][split] if after else None
        if old is not None:
            found.append(Row(f"{split} accuracy (%)", percent(old), percent(new), points(old, new)))
    if "reward" in before:
        old, new = before["reward"], after["reward"] if after else None
        found.append(Row("reward", f"{old:.4g}", "" if new is None else f"{new:.4g}", gain(old, new)))
    return found


def limits(payload: Mapping[str, Any]) -> list[Limit]:
    """The constraints, in the order of the payload."""
    found = []
    for limit in payload["constraints"]:
        label, form = _LIMITS[limit["name"]]
        value = limit["value"]  # not a number where no architecture was found
        known = value is not None and math.isfinite(value)
        text = form(value) if known else "no architecture found"
        found.append(Limit(label, text, form(limit["limit"]), limit["met"]))
    return found


def notes(payload: Mapping[str, Any]) -> list[str]:
    """What else a reader must know to judge the result: a sentence each, without a capital and a full stop."""
    found = []
    if payload["without_gradient"]:
        kinds = ", ".join(payload["without_gradient"])
        found.append(f"run by onnxruntime, so that what only leads there was not trained: {kinds}")
    accuracy = payload["finetuned_input"]["accuracy"]
    split = "validation" if accuracy["test"] is None else "test"
    found.append(f"the input itself, fine-tuned by the same budget: {split} accuracy {percent(accuracy[split])} %")
    return found
