"""Peak memory, profile and providers, by real onnxruntime."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from natonnx.bench import find_provider, open_saying, peak_memory, profile, provider_used, why_not
from natonnx.bench.profile import summarize
from natonnx.errors import InputError
from natonnx.session import session
from tests import external
from tests.cli import tiny

INPUTS = {"image": np.zeros((1, 1, 8, 8), np.float32)}
CPU = "CPUExecutionProvider"
MIB = 2**20


def test_memory_is_that_of_a_fresh_process(folder: Path) -> None:
    """Not that of this one, which is large, has torch, and is its parent."""
    ballast = np.ones(400 * MIB, np.int8)
    found = peak_memory(folder / "model.onnx", INPUTS, threads=1, provider=CPU)
    assert found is not None
    assert 20 * MIB < found < 300 * MIB < ballast.nbytes


def test_larger_inputs_take_more_memory(folder: Path) -> None:
    path, many = folder / "model.onnx", {"image": np.zeros((20_000, 1, 8, 8), np.float32)}
    small, large = (peak_memory(path, inputs, threads=1, provider=CPU) for inputs in (INPUTS, many))
    assert small is not None
    assert large is not None
    assert large > small + 20_000 * 8 * 8 * 4 * 8  # at least one feature map


def test_memory_of_a_model_with_external_data(tmp_path: Path) -> None:
    path = external.save(tiny.model(), tmp_path / "model.onnx")
    assert peak_memory(path, INPUTS, threads=1, provider=CPU)


def test_a_process_that_fails_is_told_in_one_line(folder: Path) -> None:
    with pytest.raises(InputError) as refused:
        peak_memory(folder / "model.onnx", {"image": np.zeros((1, 1, 9, 9), np.float32)}, threads=1, provider=CPU)
    assert "\n" not in str(refused.value)
    assert "Got invalid dimensions" in str(refused.value)


def test_profile_of_the_tiny_model(tmp_path: Path) -> None:
    rows = profile(lambda prefix: session(tiny.model(), profile=prefix), INPUTS)
    assert sum(row.share for row in rows) == pytest.approx(1.0)
    assert {row.provider for row in rows} == {CPU}
    by_type = {row.op_type: row.nodes for row in rows}
    assert sum(count for op_type, count in by_type.items() if "Conv" in op_type) == 3
    assert by_type["Gemm"] == by_type["ReduceMean"] == 1
    assert [row.ms for row in rows] == sorted((row.ms for row in rows), reverse=True)
    assert list(tmp_path.iterdir()) == []


def test_summary_of_a_profile() -> None:
    """Medians a node, summed by type and provider; the body of a loop is the loop's, and other events do not count."""

    def event(op_type: str, name: str, ts: int, dur: int, provider: str = CPU, cat: str = "Node") -> dict[str, object]:
        args = {"op_name": op_type, "provider": provider, "node_index": "0"}
        return {"cat": cat, "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": args}

    events = []
    for turn in range(3):
        at = 10_000 * turn
        events += [
            event("Conv", "a", at, 100 + 5000 * (turn == 0)),
            event("Conv", "b", at + 6000, 200),
            event("Conv", "c", at + 6300, 50, "CUDAExecutionProvider"),
            event("Add", "body", at + 6410, 10),
            event("Add", "body", at + 6430, 10),
            event("Loop", "loop", at + 6400, 50),
            event("Conv", "whole", at, 9000, cat="Session"),
        ]
    rows = {(row.op_type, row.provider): row for row in summarize(events, 3)}
    assert rows.keys() == {("Conv", CPU), ("Conv", "CUDAExecutionProvider"), ("Loop", CPU)}
    assert rows["Conv", CPU].nodes == 2
    assert rows["Conv", CPU].ms == pytest.approx(0.3)
    assert rows["Loop", CPU].share == pytest.approx(50 / 400)


def test_nothing_to_summarize() -> None:
    assert summarize([], 3) == []


@pytest.mark.parametrize("name", ["cpu", "CPU", "CPUExecutionProvider"])
def test_the_cpu_is_always_there(name: str) -> None:
    assert find_provider(name) == CPU
    assert provider_used(session(tiny.model(), provider=find_provider(name))) == CPU


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(InputError, match=r"--provider abacus: this build of onnxruntime has .*cpu"):
        find_provider("abacus")


def test_what_onnxruntime_says_is_held(capfd: pytest.CaptureFixture[str]) -> None:
    """What its C++ writes to file descriptor 2, and what its Python prints."""

    def opener() -> Any:
        os.write(2, b"[E:onnxruntime] Failed to load library x.so with error: libcublas.so.13: cannot open\n\xff\n")
        sys.stderr.write("EP Error")
        return session(tiny.model())

    runtime, said = open_saying(opener)
    assert provider_used(runtime) == CPU
    assert "Failed to load" in said
    assert "EP Error" in said
    assert why_not(said) == "libcublas.so.13: cannot open"
    os.write(2, b"heard again")
    assert capfd.readouterr() == ("", "heard again")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", None),
        ("nothing that is known", None),
        (
            "CUDA failure 100: no CUDA-capable device is detected ; GPU=-1",
            "CUDA failure 100: no CUDA-capable device is detected",
        ),
        (
            "EP Error /a/b.cc:729 void f(PySessionOptions&, const onnxruntime::ProviderOptions&) Please install",
            "Please install",
        ),
        ("EP Error Unknown Provider Type: X", "Unknown Provider Type: X"),
    ],
)
def test_why_a_provider_is_not_used(said: str, reason: str | None) -> None:
    assert why_not(said) == reason
