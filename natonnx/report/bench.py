"""What `natonnx bench` found: tables for people, CSV for spreadsheets."""

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from natonnx.report.numbers import count
from natonnx.report.table import plain, show_line, show_table
from natonnx.report.text import visible

__all__ = ["show_benchmark", "to_csv"]

_SHORT = 8  # operator types shown; the rest is summed up


def show_benchmark(console: Console, payload: Mapping[str, Any]) -> None:
    """Render the payload of `natonnx bench`."""
    models, given, samples = payload["models"], payload["conditions"], payload["data"]
    splits = [split for split in ("validation", "test") if samples and samples["samples"][split] is not None]
    lines: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("parameters", lambda row: count(row["params"])),
        ("MAdds", lambda row: count(row["madds"])),
        ("size (bytes)", lambda row: count(row["size_bytes"])),
        ("peak memory (MiB)", lambda row: _number(row["peak_memory_bytes"], "{:.1f}", 2**20)),
        ("latency, median (ms)", lambda row: f"{row['latency_ms']['median']:.3f}"),
        ("latency, p90 (ms)", lambda row: f"{row['latency_ms']['p90']:.3f}"),
    ]
    if len(models) > 1:
        lines += [
            ("latency ratio", lambda row: f"{row['ratio']['value']:.3f}" if row["ratio"] else ""),
            (f"{100 * given['confidence']:g} % interval", lambda row: _interval(row["ratio"])),
        ]
    rows = [(label, *map(form, models)) for label, form in lines]
    for split in splits:
        shares = (_number(row["accuracy"][split], "{:.1f}", 0.01) for row in models)
        rows.append((f"{split} accuracy (%)", *shares))
    show_table(
        console,
        ("", *(row["path"] for row in models)),
        rows,
        right=range(1, 1 + len(models)),
    )
    for tensor in given["inputs"]:
        show_line(console, f"  input {plain(tensor['name'])}: {tensor['dtype']} {plain(str(tensor['shape']))}")
    threads = "1 thread" if given["threads"] == 1 else f"{given['threads']} threads"
    used = ", ".join(dict.fromkeys(row["provider"] for row in models))
    show_line(
        console,
        f"  onnxruntime {given['onnxruntime']} on {used}, {threads}, {given['rounds']:,} rounds in "
        f"{given['sessions']} sessions a model",
    )
    for row in models:
        if row["profile"] is not None:
            _show_profile(console, row)


def _show_profile(console: Console, row: Mapping[str, Any]) -> None:
    shown, rest = row["profile"][:_SHORT], row["profile"][_SHORT:]
    if rest:
        others = {key: sum(entry[key] for entry in rest) for key in ("nodes", "ms", "share")}
        shown = [*shown, {"op_type": f"{len(rest)} others", "provider": "", **others}]
    console.print()
    console.print(Text(visible(row["path"]), style="italic"), soft_wrap=True)
    show_table(
        console,
        ("operator", "provider", "nodes", "ms", "share (%)"),
        [
            (
                entry["op_type"],
                entry["provider"].removesuffix("ExecutionProvider"),
                str(entry["nodes"]),
                f"{entry['ms']:.3f}",
                f"{100 * entry['share']:.1f}",
            )
            for entry in shown
        ],
        right=[2, 3, 4],
    )


def to_csv(payload: Mapping[str, Any]) -> str:
    """One row a model, without profiles; what was not measured is empty."""
    rows = [
        {
            **{key: row[key] for key in ("path", "provider", "params", "madds", "size_bytes", "peak_memory_bytes")},
            "latency_median_ms": row["latency_ms"]["median"],
            "latency_p90_ms": row["latency_ms"]["p90"],
            **{f"ratio{end}": (row["ratio"] or {}).get(key) for key, end in _RATIO_COLUMNS},
            **{f"{split}_accuracy": row["accuracy"][split] for split in ("validation", "test")},
        }
        for row in payload["models"]
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


_RATIO_COLUMNS = (("value", ""), ("low", "_low"), ("high", "_high"))


def _number(value: float | None, form: str, unit: float) -> str:
    return "unknown" if value is None else form.format(value / unit)


def _interval(ratio: Mapping[str, float] | None) -> str:
    return f"{ratio['low']:.3f} to {ratio['high']:.3f}" if ratio else ""
