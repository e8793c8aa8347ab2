"""Policies without a look-up on made-up tables."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.research.nasbench.cells import write_cells
from tests.tools.research.nasbench.macro_table import write_macro

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_both_tables(tmp_path: Path) -> None:
    write_macro(tmp_path / "macro.json")
    write_cells(tmp_path / "cells.csv")
    options = ["--macro", "macro.json", "--cells", "cells.csv", "--seeds", "2", "--steps", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "tools.benchmarks.bench_transfer", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row[0].partition(" (")[0] for row in rows] == [
        "policy",
        "---",
        "trained on NAS-Bench-201",
        "trained on Macro",
        "untrained",
        "random within 0.85 to 1 of the budget",
        "policy",
        "---",
        "trained on NAS-Bench-201",
        "trained on Macro",
    ]
    assert f"{2 * 64 * 5:,} look-ups" in done.stdout
    assert all(float(point) >= 0 for row in rows[2:6] for point in row[1:])
    assert rows[6] == ["policy", "cifar10", "cifar100", "imagenet16", "MAdds"]
    assert all(float(row[4].removesuffix(" %")) <= 0 for row in rows[8:])
