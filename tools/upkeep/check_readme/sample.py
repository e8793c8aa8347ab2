"""The sample run of the README: what `natonnx optimize` printed, against a new run and against its own edits."""

import json
import re
from typing import Any

from natonnx.report.numbers import count, ratio
from tools.upkeep.check_readme.page import Shown
from tools.upkeep.check_readme.place import Place, Ran

__all__ = ["consistent", "optimized"]

_COUNTED = {"parameters": "params", "MAdds": "madds"}
_ROUNDING = 0.25
"""What a change may differ by where both of its sides are rounded."""


def consistent(shown: Shown, place: Place) -> list[str]:
    """The sample against itself: its edits, applied, cost what it says, and its changes are those of its figures."""
    page = _sections(shown.below.partition("```")[0])
    model = shown.command.split()[2]
    edits = [{"edge": edge, "from": old, "to": new} for old, new, edge in page["edits"]]
    (place.folder / "sample.json").write_text(json.dumps(edits), encoding="utf-8")
    applied = place.run(f"natonnx apply {model} sample.json -o sample.onnx --force")
    if applied.code:
        return [f"the edits shown cannot be applied: {applied.stderr.strip()}"]
    costs = [json.loads(place.run(f"natonnx inspect {path} --json").stdout)["cost"] for path in (model, "sample.onnx")]
    sizes = [(place.folder / path).stat().st_size for path in (model, "sample.onnx")]
    problems = []
    real = {label: [cost[key] for cost in costs] for label, key in _COUNTED.items()} | {"size (bytes)": sizes}
    for label, (old, new) in real.items():
        expected = [count(old), count(new), ratio(old, new)]
        if page["table"][label] != expected:
            problems.append(f"{label}: {expected}, on the page {page['table'][label]}")
    for label, (old, new, change) in page["table"].items():
        if label in real:
            continue
        before, after = (float(text.partition(" ± ")[0]) for text in (old, new))
        made = f"{after - before:+.1f} points" if "(%)" in label else ratio(before, after)
        (value, unit), (stated, stated_unit) = made.split(), change.split()
        if unit != stated_unit or abs(float(value) - float(stated)) > _ROUNDING:
            problems.append(f"{label}: from {old} to {new} is {made}, on the page {change}")
    return problems


def optimized(shown: Shown, ran: Ran) -> list[str]:
    """`natonnx optimize` against the block below it: labels, units, the input's figures, limits, the last line."""
    page, real = (_sections(text) for text in (shown.below.partition("```")[0], ran.stdout))
    problems = []
    if page["columns"] != real["columns"]:
        problems.append(f"columns {real['columns']}, on the page {page['columns']}")
    if list(page["table"]) != list(real["table"]):
        problems.append(f"rows {list(real['table'])}, on the page {list(page['table'])}")
    for label in set(page["table"]) & set(real["table"]) - {"latency (ms, 1 thread)"}:
        before = [part["table"][label][0] for part in (page, real)]
        if before[0] != before[1]:
            problems.append(f"{label} before: {before[1]}, on the page {before[0]}")
    parts = ("limits", "images", *(["end"] if ran.code == 0 else []))
    problems += [f"{part}: {real[part]}, on the page {page[part]}" for part in parts if page[part] != real[part]]
    if (ran.code == 1) != any(end.startswith("unchanged: ") for end in real["end"]):
        problems.append(f"ends with {real['end']}, exit code {ran.code}")
    return problems


def _sections(text: str) -> dict[str, Any]:
    lines = [line for line in text.splitlines() if line.strip()]
    wide = [re.split(r"\s{2,}", line.strip()) for line in lines if not line.startswith(" ")]
    limits = [re.match(r"  (.+?): .*, at most (.+): (?:not )?met$", line) for line in lines]
    return {
        "columns": lines[0].split() if lines else [],
        "table": {cells[0]: cells[1:] for cells in wide if len(cells) > 1},
        "edits": [match.groups() for line in lines if (match := re.match(r"  ([OSN]) → ([OSN])  (.+)$", line))],
        "limits": [match.groups() for match in limits if match],
        "images": [re.sub(r"[\d,]+", "#", line) for line in lines if " training images, " in line],
        "end": [re.sub(r"\d+ s\)", "# s)", line) for line in lines if re.match(r"(?:improved|unchanged): ", line)],
    }
