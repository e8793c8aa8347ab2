"""The static path's benchmark runs on a small model without the tools that it is compared with."""

import sys
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from tests.cli import tiny
from tools.benchmarks.bench_static import __main__ as bench
from tools.benchmarks.bench_static.measure import Cost, cost_of, interleaved


def test_a_model_without_peers(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    onnx.save(tiny.model(), path)
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o700)
    ran = CliRunner().invoke(bench.main, ["--models", str(path), "--rounds", "1", "--peers-python", str(bare)])
    assert ran.exit_code == 0, ran.output
    assert f"onnxslim: left out, it is not installed; {bare} -m pip install onnxslim" in ran.stderr
    header, _, row = ran.stdout.splitlines()[-3:]
    cells = dict(zip(header.split(" | "), row.split(" | "), strict=True))
    assert cells["| model"].endswith("tiny.onnx")
    assert {"floor", "inspect", "apply", "inspect / floor |"} < cells.keys()
    assert float(cells["floor"].split()[0]) > 0


def test_what_fails_and_what_takes_too_long_is_said() -> None:
    said: list[str] = []
    commands = {
        "fine": [sys.executable, "-c", "pass"],
        "bad": [sys.executable, "-c", "raise SystemExit('no such model')"],
        "long": [sys.executable, "-c", "while True: pass"],
    }
    found = interleaved(commands, 2, 1, said.append)
    assert [type(cost) for cost in found["fine"]] == [Cost, Cost]
    assert said == ["bad: no such model", "long: more than 1 s"]
    assert found["bad"] == "no such model"


def test_modules_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    keeps = "import sys; sys.exit(sys.dont_write_bytecode or not sys.pycache_prefix)"
    assert isinstance(cost_of([sys.executable, "-c", keeps], 10), Cost)


def test_children_count() -> None:
    spin = "import time\nwhile time.process_time() < 0.2: pass"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}], check=True)"
    cost = cost_of([sys.executable, "-c", nested], 10)
    assert isinstance(cost, Cost)
    assert cost.seconds >= 0.2
