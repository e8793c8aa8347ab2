"""Run the command line on a subject, and keep its row."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from natonnx.files import write_bytes
from tools.benchmarks.subjects.row import Row, row_of
from tools.benchmarks.subjects.subject import Subject

__all__ = ["inspect", "optimize", "stored_row"]

_LIMIT = 1800
"""Seconds after which a command is ended; a time budget of a minute or two ends long before."""

_ENDED = 124


def optimize(subject: Subject, cache: Path, common: Sequence[str]) -> Row:
    """Run `natonnx optimize`, and `natonnx check` on what it wrote.

    Args:
        subject: Made before.
        cache: Where it is; the row is kept beside its model.
        common: Options that all subjects get.
    """
    folder, model, data = cache / subject.name, subject.model(cache), ["--data", str(subject.data(cache))]
    command = (*common, *_own(subject))
    output = folder / "out.onnx"
    output.unlink(missing_ok=True)
    code, report, problem = _run(["optimize", str(model), *data, *command, "--json", "-o", str(output), "--force"])
    if code != 0 or report is None:
        row = row_of(subject.name, command, code, report, problem=None if code == 1 else problem)
    else:
        gates = ["--min-agreement", "0", *(["--min-accuracy", "0"] if subject.objective == "labels" else [])]
        options = ["--baseline", str(model), *data, *subject.reading, "--objective", subject.objective, *gates]
        checked, check, problem = _run(["check", str(output), *options, "--json"])
        row = row_of(subject.name, command, code, report, checked, check, problem if checked else None)
    write_bytes(folder / "row.json", json.dumps(row.to_json(), indent=1).encode())
    return row


def stored_row(subject: Subject, cache: Path, common: Sequence[str]) -> Row | None:
    """Return the row that was kept, where it is of the same command."""
    try:
        row = Row.from_json(json.loads((cache / subject.name / "row.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return row if row.command == (*common, *_own(subject)) else None


def inspect(subject: Subject, cache: Path) -> str:
    """Say in a line what `natonnx inspect` sees: edges, legal transitions, MAdds at the data's sizes."""
    granularity = [option for option in subject.options if option in ("--granularity", "branch")]
    code, found, problem = _run(
        ["inspect", str(subject.model(cache)), *_shapes(subject, cache), *granularity, "--json"]
    )
    if found is None:
        return f"inspect ended with {code}: {problem}"
    edges = found["edges"]
    legal = sum(len(edge["legal"]) for edge in edges)
    madds, near = found["cost"]["madds"], [edge["madds"] for edge in edges if edge["legal"]]
    if madds is None or None in near:
        unknown = [edge["name"] for edge in edges if edge["madds"] is None]
        return f"{len(edges)} edges, {legal} legal transitions, unknown MAdds: {', '.join(unknown[:5])}"
    return f"{len(edges)} edges, {legal} legal transitions, {madds:,} MAdds, {sum(near) / max(madds, 1):.1%} in reach"


def _own(subject: Subject) -> tuple[str, ...]:
    drop = ("--objective", subject.objective, "--max-drop", f"{subject.max_drop:g}")
    return (*drop, *subject.options, *subject.reading)


def _shapes(subject: Subject, cache: Path) -> list[str]:
    """Give sizes of the data for every input that leaves any open but its batch."""
    path = subject.data(cache)
    if path.is_dir():
        return []
    graph, options = onnx.load(subject.model(cache), load_external_data=False).graph, []
    with np.load(path) as arrays:
        for info in graph.input:
            key, dims = f"test/{info.name}", info.type.tensor_type.shape.dim
            is_open = [axis > 0 and dim.dim_param != "batch" and not dim.dim_value for axis, dim in enumerate(dims)]
            if any(is_open) and key in arrays:
                options += ["--input-shape", f"{info.name}:1,{','.join(map(str, arrays[key].shape[1:]))}"]
    return options


def _run(arguments: Sequence[str]) -> tuple[int, Any, str]:
    """Return a command's exit code, what it printed as JSON (None where that is none), and its last line on stderr."""
    command = [sys.executable, "-m", "natonnx", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return _ENDED, None, f"ended after {_LIMIT} s"
    lines = done.stderr.strip().splitlines()
    try:
        payload = json.loads(done.stdout)
    except ValueError:
        payload = None
    return done.returncode, payload, lines[-1] if lines else ""
