"""The benchmark of look-ups on a tiny network."""

from pathlib import Path

from natonnx.verbs.optimize.prepare import Prepared
from tools.benchmarks.bench_search.lookups import PLAIN, look_up, table


def test_look_ups_are_bounded_and_not_done_twice(tmp_path: Path, prepared: Prepared) -> None:
    path = tmp_path / "lookups.jsonl"
    methods = ["greedy", PLAIN, "gcn-directed", "random"]
    first = look_up(prepared, methods, [4, 12], 0.6, [0], path)
    assert [(row.method, row.limit) for row in first] == [
        ("greedy", 0),
        (PLAIN, 0),
        *((name, limit) for name in methods[2:] for limit in (4, 12)),
    ]
    assert all(row.used <= row.limit for row in first if row.limit)
    assert all(row.share <= 0.6 for row in first if row.loss == row.loss)
    lazy, plain = first[:2]
    assert lazy.used <= plain.used
    assert look_up(prepared, methods, [4, 12], 0.6, [0], path) == first
    assert len(path.read_text().splitlines()) == len(first)
    text = table("tiny", first)
    assert f"| greedy | {lazy.used} | 1.00 |" in text
    assert "| +0 | 1 of 1 |" in text
