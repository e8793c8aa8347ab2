"""Kendall's τ against scipy, and the table of rank fidelity on a tiny network."""

import json
from pathlib import Path

import numpy as np
import pytest

from natonnx.verbs.optimize.prepare import Prepared
from tools.benchmarks.bench_search.kendall import correlate, tau
from tools.benchmarks.bench_search.ranks import rank, table


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_that_of_scipy(seed: int) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is the oracle")
    generator = np.random.default_rng(seed)
    first = generator.integers(0, 8, 21).astype(float)
    second = first + generator.normal(0, 3, 21).round()
    assert tau(first, second) == pytest.approx(stats.kendalltau(first, second).statistic)


def test_the_error_shrinks_with_the_number_of_pairs() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=200)
    score = truth + generator.normal(size=200)
    few, many = correlate(score[:20], truth[:20]), correlate(score, truth)
    assert many.error < few.error
    assert many.value == pytest.approx(0.5, abs=0.1)  # 2/π · arcsin(1/√2)
    assert np.isnan(tau(np.ones(3), np.arange(3.0)))


def test_ranks_go_on_where_they_were(tmp_path: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.benchmarks.bench_search.ranks._EVOLVED", 8)
    path = tmp_path / "ranks.jsonl"
    first = rank(prepared, path, 3)
    lines = path.read_text().splitlines()
    assert len(lines) == 1 + len(first)
    assert len({each.states for each in first}) == len(first) == 3
    assert all(0.42 <= each.share <= 0.5 for each in first)
    path.write_text("\n".join(lines[:-1]) + "\n")
    again = rank(prepared, path, 3)
    assert again == first
    assert [json.loads(line) for line in path.read_text().splitlines()] == [json.loads(line) for line in lines]
    text = table("tiny", first)
    assert all(f"| {name} |" in text for name in first[0].scores)
    assert len(first[0].scores) == 2 * 3 + 2 + 2 * 6
