"""Proposers, and policies without a look-up, on a made-up table of NAS-Bench-Macro."""

from pathlib import Path

import pytest

from tests.cli import tiny
from tests.tools.research.nasbench.macro_table import write_macro


def _bench(folder: Path, *options: str) -> tiny.Finished:
    return tiny.program(
        "tools.benchmarks.bench_macro", "--table", "macro.json", "--processes", "1", *options, cwd=folder
    )


@pytest.mark.slow
def test_what_is_kept_is_not_searched_again(tmp_path: Path) -> None:
    write_macro(tmp_path / "macro.json")
    kept = ["--networks", "3", "--results", "kept.jsonl"]
    first = _bench(tmp_path, "--proposers", "greedy", *kept)
    assert first.code == 0, first.stderr
    lines = (tmp_path / "kept.jsonl").read_text().splitlines()
    assert len(lines) == 3
    second = _bench(tmp_path, "--proposers", "greedy,random", *kept)
    assert second.code == 0, second.stderr
    assert (tmp_path / "kept.jsonl").read_text().splitlines()[:3] == lines
    assert len((tmp_path / "kept.jsonl").read_text().splitlines()) == 6
    rows = [line for line in second.stdout.splitlines() if line.startswith(("| greedy", "| random"))]
    assert len(rows) == 2 * 2 * 3
    assert [line for line in first.stdout.splitlines() if line.startswith("| greedy")] == rows[:3] + rows[6:9]


@pytest.mark.slow
def test_layers_that_may_become_cheap_ones(tmp_path: Path) -> None:
    write_macro(tmp_path / "macro.json")
    done = _bench(tmp_path, "--proposers", "greedy", "--networks", "2", "--transitions", "nat++")
    assert done.code == 0, done.stderr
    assert "The best by NAT++ is better than the best by NAT, on average over all networks" in done.stdout
    assert len([line for line in done.stdout.splitlines() if line.startswith("| greedy")]) == 6


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--proposers", "greedy,oracle"], 2, "unknown proposer 'oracle': choose from gcn-directed, gcn, gcn-max"),
        (["--networks", "257"], 2, "257 is not in the range 1<=x<=256"),
        ([], 1, "macro.json: needs mean_acc and flops of all 3⁸ networks"),
    ],
)
def test_bad_usage(tmp_path: Path, options: list[str], code: int, says: str) -> None:
    (tmp_path / "macro.json").write_text("{}")
    done = _bench(tmp_path, *options)
    assert done.code == code
    assert says in " ".join(done.stderr.split()).replace("│ ", "")
    assert "Traceback" not in done.stderr


def test_results_of_another_command_are_refused(tmp_path: Path) -> None:
    write_macro(tmp_path / "macro.json")
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    done = _bench(tmp_path, "--results", "other.jsonl")
    assert done.code == 1
    assert "other.jsonl: holds no results of this command" in done.stderr
    assert "Traceback" not in done.stderr
