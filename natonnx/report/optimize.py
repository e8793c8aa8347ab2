"""What `natonnx optimize` found, as text for any table: input and output side by side, and the constraints."""

import math
from collections.abc import Callable
from typing import NamedTuple

from natonnx.contract.objective import Objective, Unit
from natonnx.contract.optimize import ConstraintRow, CostKey, FrontRow, NearestRow, OptimizeReport
from natonnx.report.numbers import count, ratio
from natonnx.report.score import bound, difference, heading, in_words, label, reported_split, score_rows, with_interval

__all__ = ["FRONT", "Limit", "Row", "form", "front", "limits", "notes", "rows"]

FRONT = ("model", "target", "cost", "MAdds", "validation lost", "95 % interval", "edits", "limits")
"""What the columns of `front` are."""


class Row(NamedTuple):
    """One quantity; "" for what there is not."""

    label: str
    before: str
    after: str
    change: str


class Limit(NamedTuple):
    """One constraint: what it is about, what was found, the most that is allowed, whether that is met, and what of."""

    label: str
    value: str
    most: str
    met: bool
    note: str


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


_COSTS: tuple[tuple[str, CostKey, Callable[[float | None], str]], ...] = (
    ("parameters", "params", count),
    ("MAdds", "madds", count),
    ("size (bytes)", "size_bytes", count),
    ("latency (ms, 1 thread)", "latency_ms", _milliseconds),
)


def form(name: str) -> Callable[[float | None], str]:
    """Return what prints a cost, by its key in `ModelRow`."""
    return next((found for _, key, found in _COSTS if key == name), count)


def rows(report: OptimizeReport) -> list[Row]:
    """The quantities of the input, and of the output where there is one, with the change."""
    before, after, unit = report["input"], report["output"], report["objective"]["unit"]
    found = []
    for name, key, shape in _COSTS:
        old, new = before[key], after[key] if after else None
        found.append(Row(name, shape(old), shape(new) if after else "", ratio(old, new)))
    for row in score_rows(report["objective"], (before, after)):
        before_text, after_text = (with_interval(*pair, unit) for pair in zip(row.values, row.errors, strict=True))
        worth, count_of = row.values, report["data"]["samples"][row.split]
        change = "" if worth[0] is None or worth[1] is None else difference(worth[1] - worth[0], unit)
        of = "" if count_of is None else f" of {count_of:,}"
        found.append(Row(heading(f"{row.label}{of}", unit), before_text, after_text, change))
    return found


def limits(report: OptimizeReport) -> list[Limit]:
    """The constraints, in the order of the payload."""
    return [
        Limit(row["label"], _amount(row, row["value"]), _amount(row, row["limit"]), row["met"], _basis(row))
        for row in report["constraints"]
    ]


def _amount(row: ConstraintRow, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "no architecture found"
    if row["unit"] is None:
        return form(row["name"])(value)
    return difference(value, row["unit"]) if "promise" not in row else bound(value, row["unit"])


def _basis(row: ConstraintRow) -> str:
    """What an upper bound was found by, and what would lower it enough."""
    promise, unit = row.get("promise"), row["unit"]
    if promise is None or unit is None:
        return ""
    told = f"{promise['samples']:,} {promise['split']} samples, which lost {difference(promise['lost'], unit)}"
    if promise["enough"] is None:
        return told
    return f"{told}; about {promise['enough']:,} that lose as much would be enough"


def notes(report: OptimizeReport) -> list[str]:
    """What else a reader must know to judge the result: a sentence each, without a capital and a full stop."""
    found = [*report["data"]["notes"]]
    if report["without_gradient"]:
        kinds = ", ".join(report["without_gradient"])
        found.append(f"run by onnxruntime, so that what only leads there was not trained: {kinds}")
    objective = report["objective"]
    if len(objective["outputs"]) == 1 and objective["outputs"][0]["measure"] != objective["measure"]:
        (output,) = objective["outputs"]
        found.append(f"{objective['measure']} is the {output['measure']} of {output['name']}")
    if beta := report["finetuned_input"]:
        split = reported_split(beta["score"])
        told = f"{label(split, objective)} {in_words(beta['score'][split], objective['unit'])}"
        how = "trained from scratch" if report["protocol"] == "scratch" else "fine-tuned"
        found.append(f"the input itself, {how} by the same budget: {told}")
    if report["protocol"] == "scratch":
        found += [_behind(number, row, objective) for number, row in enumerate(report["front"], 1)]
    if (nearest := report["nearest"]) is not None:
        found.append(_nearest(nearest))
    return [*found, *_images(report)]


def _behind(number: int, row: FrontRow, objective: Objective) -> str:
    """What a model loses to the input, both from scratch."""
    unit, interval = objective["unit"], row.get("behind_interval")
    between = "" if interval is None else f" (95 % interval {' to '.join(difference(end, unit) for end in interval)})"
    lost = difference(row.get("behind", 0.0), unit)
    return f"number {number}, from scratch: {label('validation', objective)} lost to that input {lost}{between}"


def _nearest(nearest: NearestRow) -> str:
    """Which model came nearest, where none was good enough."""
    by = "" if nearest["samples"] is None else f", by {nearest['samples']:g} validation samples"
    option = "" if nearest["option"] is None else f"; {nearest['option']} would accept it"
    return f"number {nearest['front']} of the models that were made came nearest{by}{option}"


def _images(report: OptimizeReport) -> list[str]:
    """Where the images went."""
    images = report["images"]
    if not images["training"]:
        return []
    told = f"{images['training']:,.0f} training images"
    if images["output"] is not None:
        share = 100 * images["output"] / images["training"]
        told += f", {share:.0f} % of them into the model that is written"
    more = f"the teacher's took {images['teacher']:,.0f} more, look-ups {images['look_ups']:,.0f}"
    return [f"{told}; {more}"]


def _verdict(row: FrontRow, unit: Unit) -> str:
    if row["met"] is None:
        return "met on validation"
    if row["met"] or "lost_at_most" not in row:
        return "met" if row["met"] else "not met"
    return f"not met: up to {bound(row['lost_at_most'], unit)} lost"


def front(report: OptimizeReport) -> list[tuple[str, ...]]:
    """The models that were made, dearest first, a row each; see `FRONT`."""
    unit, full = report["objective"]["unit"], report["input"]["madds"]
    found: list[tuple[str, ...]] = []
    for number, row in enumerate(report["front"], 1):
        interval = row["interval"]
        between = "" if interval is None else " to ".join(difference(end, unit).split()[0] for end in interval)
        found.append(
            (
                str(number),
                "" if row["target"] is None else f"{row['target']:g}",
                f"{row['share']:.3f}",
                ratio(full, row["madds"]),
                difference(row["lost"], unit),
                between,
                str(len(row["edits"])),
                _verdict(row, unit),
            )
        )
    return found
