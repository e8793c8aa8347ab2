"""What `natonnx bench` found: tables for people, CSV for spreadsheets."""

import csv
import io
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from natonnx.contract.bench import BenchReport, MeasuredModel, OperatorTimeRow
from natonnx.contract.objective import SPLITS
from natonnx.report.numbers import count
from natonnx.report.score import heading, label, score
from natonnx.report.table import plain, show_line, show_table
from natonnx.report.text import visible

__all__ = ["show_benchmark", "to_csv"]

_SHORT = 8  # operator types shown; the rest is summed up


def show_benchmark(console: Console, payload: BenchReport) -> None:
    """Render the payload of `natonnx bench`: a column a model; a line for each provider of what depends on it."""
    by_provider = _by_provider(payload["models"])
    models = by_provider[0]
    lines = [
        ("parameters", *(count(row["params"]) for row in models)),
        ("MAdds", *(count(row["madds"]) for row in models)),
        ("size (bytes)", *(count(row["size_bytes"]) for row in models)),
    ]
    for rows in by_provider:
        where = f", {_short(rows[0]['provider'])}" if len(by_provider) > 1 else ""
        lines += [(f"{label}{where}", *cells) for label, *cells in _measured(rows, payload)]
    header = ("", *(row["path"] for row in models))
    show_table(console, header, lines, right=range(1, len(header)))
    given = payload["conditions"]
    for tensor in given["inputs"]:
        show_line(console, f"  input {plain(tensor['name'])}: {tensor['dtype']} {plain(str(tensor['shape']))}")
    threads = "1 thread" if given["threads"] == 1 else f"{given['threads']} threads"
    for rows in by_provider:
        used = ", ".join(dict.fromkeys(row["provider"] for row in rows))
        show_line(
            console,
            f"  onnxruntime {given['onnxruntime']} on {used}, {threads}, {rows[0]['rounds']:,} rounds in "
            f"{rows[0]['sessions']} sessions a model",
        )
    for row in payload["models"]:
        if row["profile"] is not None:
            on = f" on {row['provider']}" if len(by_provider) > 1 else ""
            _show_profile(console, f"{row['path']}{on}", row["profile"])


def _by_provider(models: Sequence[MeasuredModel]) -> list[list[MeasuredModel]]:
    """The same models on one provider after the other; the first of each has no ratio."""
    starts = [position for position, row in enumerate(models) if row["ratio"] is None]
    return [list(models[start:end]) for start, end in zip(starts, [*starts[1:], len(models)], strict=True)]


def _measured(rows: Sequence[MeasuredModel], payload: BenchReport) -> Iterator[tuple[str, ...]]:
    """Lines of what was measured of the models on a provider."""
    interval = f"{100 * payload['conditions']['confidence']:g} % interval"
    yield "peak memory (MiB)", *(_mebibytes(row["peak_memory_bytes"]) for row in rows)
    for name, times, ratios in (
        ("latency", [row["latency_ms"] for row in rows], [row["ratio"] for row in rows]),
        ("CPU time", [row["cpu_ms"] for row in rows], [row["cpu_ratio"] for row in rows]),
    ):
        if not any(times):
            continue
        yield f"{name}, median (ms)", *(f"{each['median']:.3f}" if each else "" for each in times)
        yield f"{name}, p90 (ms)", *(f"{each['p90']:.3f}" if each else "" for each in times)
        if len(rows) > 1:
            yield f"{name} ratio", *(f"{each['value']:.3f}" if each else "" for each in ratios)
            yield interval, *(f"{each['low']:.3f} to {each['high']:.3f}" if each else "" for each in ratios)
    objective, data = payload["objective"], payload["data"]
    for split in SPLITS:
        if objective is not None and data is not None and data["samples"][split] is not None:
            scores = (score(row["score"][split], objective["unit"]) or "unknown" for row in rows)
            yield heading(label(split, objective), objective["unit"]), *scores


def _short(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider")


def _show_profile(console: Console, title: str, entries: list[OperatorTimeRow]) -> None:
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
    console.print(Text(visible(title), style="italic"), soft_wrap=True)
    show_table(
        console,
        ("operator", "provider", "nodes", "ms", "share (%)"),
        [
            (
                entry["op_type"],
                _short(entry["provider"]),
                str(entry["nodes"]),
                f"{entry['ms']:.3f}",
                f"{100 * entry['share']:.1f}",
            )
            for entry in shown
        ],
        right=[2, 3, 4],
    )


def to_csv(payload: BenchReport) -> str:
    """One row a model and provider, without profiles; what was not measured is empty."""
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
            "cpu_median_ms": row["cpu_ms"] and row["cpu_ms"]["median"],
            "cpu_p90_ms": row["cpu_ms"] and row["cpu_ms"]["p90"],
            "cpu_ratio": row["cpu_ratio"] and row["cpu_ratio"]["value"],
            "cpu_ratio_low": row["cpu_ratio"] and row["cpu_ratio"]["low"],
            "cpu_ratio_high": row["cpu_ratio"] and row["cpu_ratio"]["high"],
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
