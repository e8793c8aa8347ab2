"""Searches that other processes help: ranks of torchrun, and workers at a journal."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.cli import tiny
from tests.cli.started import ranks, wait_for
from tests.e2e.conftest import CHEAPER, OPTIMIZE, Run

OUTPUT = "model.nat.onnx"
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "natonnx")


def test_ranks_write_what_one_process_writes(several: Run, tmp_path: Path) -> None:
    """One report, one set of files, to the last byte; without training, which ranks share by parts of minibatches."""
    folder = tiny.fill(tmp_path)
    done = subprocess.run(
        [*TORCHRUN, *OPTIMIZE, "--target-madds", "0.55,0.06", "--no-training", "--front", "front"],
        cwd=folder,
        env={**tiny.ENVIRONMENT, "OMP_NUM_THREADS": "1", "NATONNX_MESSAGES": "torch"},  # DGL's bits, sooner loaded
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert "lost another rank" not in done.stderr
    assert json.loads(done.stdout)["front"] == several.report["front"]
    mine, others = tiny.snapshot(folder), tiny.snapshot(several.folder)
    assert mine == others


def test_ranks_end_alike_where_data_is_bad(tmp_path: Path) -> None:
    """With one line, by rank 0, and with one exit code."""
    folder = tiny.fill(tmp_path)
    first, second = ranks("optimize", "model.onnx", "--data", "nowhere.npz", cwd=folder)
    (line,) = first.stderr.splitlines()
    assert line.startswith("natonnx: error")
    assert "nowhere.npz: no such data" in line
    assert (first.code, second.code) == (2, 2)
    assert second.stderr == ""
    assert not (folder / OUTPUT).exists()


def test_workers_help_and_may_be_killed(improved: Run, tmp_path: Path) -> None:
    """One is killed amid the search, another one stays; what is written is what one process writes, bit for bit."""
    folder = tiny.fill(tmp_path)
    options = ("--journal", "journal", "--threads", "1", "--lease", "2", "--idle", "60", "-v")
    helpers = [tiny.Running("natonnx", ["worker", *options], cwd=folder) for _ in range(2)]
    alive = folder / "journal" / "alive"
    wait_for(lambda: alive.exists() and len(list(alive.iterdir())) >= 2)
    search = tiny.Running("natonnx", [*CHEAPER, "--journal", "journal"], cwd=folder)
    log = folder / "journal" / "journal.log"
    wait_for(lambda: log.exists() and '"claim"' in log.read_text())
    helpers[0].send_signal(signal.SIGKILL)
    code, stdout, stderr = search.finish()
    assert helpers[0].finish().code == -signal.SIGKILL
    helpers[1].send_signal(signal.SIGTERM)
    stopped = helpers[1].finish()
    assert code == 0, stderr
    assert json.loads(stdout)["front"] == improved.report["front"]
    assert (folder / OUTPUT).read_bytes() == improved.output.read_bytes()
    assert "joined the search of model.onnx" in stopped.stderr
    assert not list((folder / "journal" / "blobs").iterdir())
    assert stopped.code == 128 + 15


def test_a_worker_that_has_other_data_says_so(tmp_path: Path) -> None:
    """While a search goes on that does not end by itself."""
    folder, elsewhere = tiny.fill(tmp_path), tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(folder / "data.npz", elsewhere / "data.npz")
    other: dict[str, Any] = {**tiny.arrays(), "x_train": tiny.arrays()["x_train"] + 1}
    np.savez(elsewhere / "other.npz", **other)
    endless = [*CHEAPER, "--finetune-epochs", "1000", "--journal", "journal"]
    search = tiny.Running("natonnx", endless, cwd=folder)
    log = folder / "journal" / "journal.log"
    wait_for(lambda: log.exists() and log.read_text())
    done = tiny.natonnx("worker", "--journal", str(folder / "journal"), "--data", "other.npz", cwd=elsewhere)
    search.send_signal(signal.SIGKILL)
    search.finish()
    assert done.code == 2
    assert "other.npz: is not the data that the search of model.onnx has: give the same by --data" in done.stderr


def test_algorithm_1_is_for_one_process(tmp_path: Path) -> None:
    folder = tiny.fill(tmp_path)
    command = ("optimize", "model.onnx", "--data", "data.npz", "--journal", "journal", "--algorithm", "paper")
    done = tiny.natonnx(*command, cwd=folder)
    assert done.code == 2
    assert "--algorithm paper runs in one process: start it without --journal" in done.stderr
