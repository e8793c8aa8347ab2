"""Learners on a made-up table of NAS-Bench-201."""

import json
from pathlib import Path

import pytest

from tests.cli import tiny
from tests.tools.research.nasbench.cells import write_cells


def _bench(folder: Path, *options: str) -> tiny.Finished:
    return tiny.program("tools.benchmarks.bench_policy", "--table", "table.csv", *options, cwd=folder)


@pytest.mark.slow
def test_every_table_and_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need the bench extra")
    write_cells(tmp_path / "table.csv")
    files = ["--json", "all.json", "--plot", "curves.svg", "--save", "theta.safetensors"]
    short = ["--seeds", "2", "--steps", "4", "--grid-steps", "2", "--processes", "2"]
    done = _bench(tmp_path, "--learners", "gcn-directed,gcn,random", *short, *files)
    assert done.code == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "all.json", "curves.svg", "theta.safetensors"}
    found = json.loads((tmp_path / "all.json").read_text())
    assert [len(found[name]) for name in ("grid", "learners")] == [8, 6]
    for run in found["learners"]:
        measures = run["measures"]["cifar10"]["zero_shot"]
        assert f"{measures['best']:.2f}" in done.stdout
        assert run["queries"] == (0 if run["learner"] == "random" else 4 * 256 * 5)
    assert "| ImageNet16-120 | gcn |" in done.stdout
    assert "6,004 cells in 164 groups that are equal under it" in done.stdout


@pytest.mark.slow
def test_cells_whose_operations_may_become_cheaper(tmp_path: Path) -> None:
    """More is within reach, so the best is better; noise has no other rules."""
    write_cells(tmp_path / "table.csv")
    best = []
    for transitions in ("nat", "nat++"):
        done = _bench(
            tmp_path, "--learners", "random", "--seeds", "1", "--transitions", transitions, "--json", "all.json"
        )
        assert done.code == 0, done.stderr
        (run,) = json.loads((tmp_path / "all.json").read_text())["learners"]
        assert run["transitions"] == transitions
        best.append(run["measures"]["cifar10"]["zero_shot"]["best"])
    assert best[0] != best[1]


@pytest.mark.slow
def test_settings_that_are_given_need_no_grid(tmp_path: Path) -> None:
    """By the seeds that are given, on cells that another division holds out."""
    write_cells(tmp_path / "table.csv")
    settings = ["--learning-rate", "0.002", "--entropy", "0.2", "--steps", "1", "--price", "0.5"]
    seeds = ["--seeds", "2", "--first-seed", "3", "--division", "1", "--processes", "2"]
    done = _bench(tmp_path, "--learners", "gcn", *settings, *seeds, "--json", "all.json")
    assert done.code == 0, done.stderr
    assert "Grid" not in done.stdout
    found = json.loads((tmp_path / "all.json").read_text())
    assert found["grid"] == []
    assert [run["seed"] for run in found["learners"]] == [3, 4]
    for run in found["learners"]:
        assert (run["recipe"]["steps"], run["recipe"]["learning_rate"], run["recipe"]["entropy"]) == (1, 0.002, 0.2)
        assert (run["price"], run["division"]) == (0.5, 1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ["--learners", "gcn,oracle"],
            "unknown learner 'oracle': choose from gcn-directed, gcn, gcn-max, lstm, random",
        ),
        (["--learners", "gcn", "--save", "theta"], "--save needs gcn-directed among --learners"),
        (["--learning-rate", "0.003"], "--learning-rate and --entropy go together"),
        (["--entropy", "0"], "--learning-rate and --entropy go together"),
        (["--learning-rate", "0", "--entropy", "0"], "0.0 is not in the range x>0"),
        (
            ["--start", "table.csv", "--learners", "gcn-directed"],
            "--start needs --transitions nat++ --learners gcn-dir",
        ),
        (["--start", "table.csv", "--transitions", "nat++"], "--start needs --transitions nat++ --learners gcn-dir"),
        (["--seeds", "0"], "0 is not in the range x>=1"),
        (["--transitions", "nat+"], "'nat+' is not one of 'nat', 'nat++'"),
        (["--table", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_bad_usage(tmp_path: Path, options: list[str], says: str) -> None:
    (tmp_path / "table.csv").write_text("cell\n")
    done = _bench(tmp_path, *options)
    assert done.code == 2
    assert says in " ".join(done.stderr.split()).replace("│ ", "")
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    done = _bench(tmp_path)
    assert done.code == 1
    assert "table.csv: needs the columns cell, cifar100_test" in done.stderr
    assert "Traceback" not in done.stderr
