"""Rows, resuming, tables and intervals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from natonnx.frontend import Transitions
from natonnx.verbs.optimize.prepare import Prepared
from tools.benchmarks.bench_search.__main__ import main
from tools.benchmarks.bench_search.networks import NETWORKS
from tools.benchmarks.bench_search.paired import mean_difference, resample
from tools.benchmarks.bench_search.row import Row, append, pack, read, unpack
from tools.benchmarks.bench_search.tables import page


def row(method: str = "greedy", seed: int = 0, share: float = 0.45, right: float = 0.7, samples: int = 400) -> Row:
    flags = np.random.default_rng([seed, *method.encode()]).random(samples) < right
    images = {"look_ups": 100.0, "training": 600.0, "teacher": 200.0, "own": 450.0}
    return Row(
        *("net", method, 0.5, seed, 900.0, "noise", share, float(flags.mean()), samples, pack(flags), images, 12.0),
        latency=(0.5, 0.4, 0.6),
        edits=[{"edge": "a", "from": "O", "to": "S"}],
        commit="abc",
    )


@pytest.mark.parametrize("count", [1, 8, 13])
def test_flags_survive(count: int) -> None:
    flags = np.random.default_rng(count).random(count) < 0.5
    np.testing.assert_array_equal(unpack(pack(flags), count), flags)


def test_rows_survive_and_a_line_that_was_cut_off_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "rows.jsonl"
    first, second = row(seed=0), row(seed=1)
    append(path, first)
    append(path, second)
    with path.open("a") as file:
        file.write('{"network": "ne')
    assert read(path) == {first.key: first, second.key: second}


def test_the_last_of_equal_runs_counts(tmp_path: Path) -> None:
    append(tmp_path / "rows.jsonl", row())
    append(tmp_path / "rows.jsonl", replace(row(), commit="later"))
    assert [found.commit for found in read(tmp_path / "rows.jsonl").values()] == ["later"]


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random(10_000) < 0.72, generator.random(10_000) < 0.70
    found = mean_difference([resample([first], [second])])
    differences = first.astype(float) - second
    half = 1.96 * differences.std() / 100
    assert found.value == pytest.approx(differences.mean())
    assert found.low == pytest.approx(found.value - half, abs=0.15 * half)
    assert found.high == pytest.approx(found.value + half, abs=0.15 * half)


def test_seeds_that_differ_widen_the_interval_and_pairs_narrow_it() -> None:
    generator = np.random.default_rng(1)
    base = generator.random(5_000) < 0.7
    better = base | (generator.random(5_000) < 0.05)
    same = mean_difference([resample([better, better], [base, base])])
    mixed = mean_difference([resample([better, base], [base, better])])
    unpaired = mean_difference([resample([generator.permutation(better)], [base])])
    assert 0 < same.low < same.high < 0.03
    assert mixed.low < 0 < mixed.high
    assert unpaired.high - unpaired.low > 2 * (same.high - same.low)


def test_the_mean_of_networks_is_narrower_than_each() -> None:
    generator = np.random.default_rng(2)
    found = [
        resample([generator.random(4_000) < 0.7], [generator.random(4_000) < 0.7], f"set {number}")
        for number in range(4)
    ]
    single = mean_difference(found[:1])
    together = mean_difference(found)
    assert together.value == pytest.approx(np.mean([each.value for each in found]))
    assert together.high - together.low == pytest.approx((single.high - single.low) / 2, rel=0.15)


def test_the_page_has_every_method_and_pairs_only_equal_seeds() -> None:
    rows = [row("greedy", 0), row("greedy", 1), row("natonnx", 1), row("last", 0, share=0.6)]
    text = page(rows)
    lines = {line.split(" | ")[1]: line for line in text.split("## net")[1].splitlines() if line.startswith("| 0.5")}
    difference = 100 * (rows[2].accuracy - rows[1].accuracy)
    assert f" {difference:+.2f} [" in lines["natonnx"]
    assert "0.600 (missed)" in lines["last"]
    assert f"{50 * (rows[0].accuracy + rows[1].accuracy):.2f}" in lines["greedy"]
    assert "| 50% |" in lines["natonnx"]
    mean = text.split("## net")[0]
    assert f"| 0.5 | natonnx | {difference:+.2f} [" in mean
    assert "greedy-2025 |" not in mean.split("|---")[-1]


class Tiny:
    name, data = "tiny", "noise"

    def __init__(self, prepared: Prepared) -> None:
        self._prepared, self.times = prepared, 0

    def prepare(self, _folder: Path, _archive: Path | None, _transitions: Transitions) -> Prepared:
        self.times += 1
        return self._prepared


def test_a_second_run_goes_on(tmp_path: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Tiny(prepared)
    monkeypatch.setitem(NETWORKS, "tiny", tiny)
    usual = ["--network", "tiny", "--target", "0.6", "--budget", "2000", "--folder", str(tmp_path), "--latency", "0"]
    runner = CliRunner()
    first = runner.invoke(main, [*usual, "--method", "last", "--seed", "0,1"])
    assert first.exit_code == 0, first.output
    assert first.output.count("tiny last at 0.6") == 2
    again = runner.invoke(main, [*usual, "--method", "last,given", "--seed", "0,1", "--markdown", str(tmp_path / "m")])
    assert again.exit_code == 0, again.output
    assert "tiny last" not in again.output
    assert again.output.count("tiny given at 1") == 2
    assert tiny.times == 2
    rows = read(tmp_path / "search.jsonl")
    assert len(rows) == 4
    assert (tmp_path / "m").read_text().count("| last | 2 |") == 1
    anew = runner.invoke(main, [*usual, "--method", "last", "--seed", "0", "--again"])
    assert anew.output.count("tiny last at 0.6") == 1
    assert read(tmp_path / "search.jsonl")[next(iter(rows))].correct == rows[next(iter(rows))].correct


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--network", "lenet"], "no network is called 'lenet'"),
        (["--method", "oracle"], "no method is called 'oracle'"),
    ],
)
def test_unknown_names_are_refused(options: list[str], says: str) -> None:
    found = CliRunner().invoke(main, options)
    assert found.exit_code != 0
    assert says in str(found.exception)
