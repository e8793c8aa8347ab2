"""What `natonnx bench` found: tables for people, CSV for spreadsheets."""

import csv
import io
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from natonnx.contract.bench import BenchReport, MeasuredModel, OperatorTimeRow, Ratio
from natonnx.contract.objective import SPLITS
from natonnx.report.numbers import count
from natonnx.report.score import heading, label, score
from natonnx.report.table import plain, show_line, show_table
from natonnx.report.text import visible

__all__ = ["show_benchmark", "to_csv"]

_Line = tuple[str, Callable[[MeasuredModel], str]]
"""What a row of the table is called, and what it shows of a model."""
_SHORT = 8  # operator types shown; the rest is summed up


def show_benchmark(console: Console, payload: BenchReport) -> None:
    """Render the payload of `natonnx bench`."""
    models, given, objective, data = payload["models"], payload["conditions"], payload["objective"], payload["data"]
    lines: list[_Line] = [
        ("parameters", lambda row: count(row["params"])),
        ("MAdds", lambda row: count(row["madds"])),
        ("size (bytes)", lambda row: count(row["size_bytes"])),
        ("peak memory (MiB)", lambda row: _mebibytes(row["peak_memory_bytes"])),
        ("latency, median (ms)", lambda row: f"{row['latency_ms']['median']:.3f}"),
        ("latency, p90 (ms)", lambda row: f"{row['latency_ms']['p90']:.3f}"),
    ]
    if len(models) > 1:
        lines += [
            ("latency ratio", lambda row: f"{row['ratio']['value']:.3f}" if row["ratio"] else ""),
            (f"{100 * given['confidence']:g} % interval", lambda row: _interval(row["ratio"])),
        ]
    rows = [(label, *map(form, models)) for label, form in lines]
    for split in SPLITS:
        if objective is not None and data is not None and data["samples"][split] is not None:
            scores = (score(row["score"][split], objective["unit"]) or "unknown" for row in models)
            rows.append((heading(label(split, objective), objective["unit"]), *scores))
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
            _show_profile(console, row["path"], row["profile"])


def _show_profile(console: Console, path: str, entries: list[OperatorTimeRow]) -> None:
    shown, rest = entries[:_SHORT], entries[_SHORT:]
    if rest:
        others: OperatorTimeRow = {
            "op_type": f"{len(rest)} others",
            "provider": "",
            "nodes": sum(entry["nodes"] for entry in rest),
            "ms": sum(entry["ms"] for entry in rest),
            "share": sum(entry["share"] for entry in rest),
        }
        shown = [*shown, others]
    console.print()
    console.print(Text(visible(path), style="italic"), soft_wrap=True)
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


def to_csv(payload: BenchReport) -> str:
    """One row a model, without profiles; what was not measured is empty."""
    rows = [
        {
            "path": row["path"],
            "provider": row["provider"],
            "params": row["params"],
            "madds": row["madds"],
            "size_bytes": row["size_bytes"],
            "peak_memory_bytes": row["peak_memory_bytes"],
            "latency_median_ms": row["latency_ms"]["median"],
            "latency_p90_ms": row["latency_ms"]["p90"],
            "ratio": row["ratio"] and row["ratio"]["value"],
            "ratio_low": row["ratio"] and row["ratio"]["low"],
            "ratio_high": row["ratio"] and row["ratio"]["high"],
            "validation_score": row["score"]["validation"],
            "test_score": row["score"]["test"],
        }
        for row in payload["models"]
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _mebibytes(value: int | None) -> str:
    return "unknown" if value is None else f"{value / 2**20:.1f}"


def _interval(ratio: Ratio | None) -> str:
    return f"{ratio['low']:.3f} to {ratio['high']:.3f}" if ratio else ""
