"""The check of one GPU: what it prints, and how it ends."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from natonnx.errors import InputError
from tests.cli import tiny
from tests.supernet.oracle import array, one_node, reference
from tools.benchmarks.check_gpu import equality
from tools.benchmarks.check_gpu.__main__ import main
from tools.conformance.onnx_cases import Case

CPU = torch.device("cpu")


def few_cases() -> Iterator[Case]:
    for op_type, inputs in (("Add", [array(2, 3), array(3)]), ("Relu", [array(4)]), ("Shape", [array(2, 3)])):
        model = one_node(op_type, inputs, 17)
        yield Case(op_type, model, inputs, reference(model, inputs), 1e-3, 1e-7)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equality, "all_cases", few_cases)


def test_the_check_runs_on_the_cpu(tmp_path: Path) -> None:
    folder = tiny.fill(tmp_path)
    sizes = ("--batch", "2", "--rounds", "2", "--lookups", "1", "--networks", "bert")
    model = ("--model", str(folder / "model.onnx"), "--data", str(folder / "data.npz"))
    result = CliRunner().invoke(main, ["--device", "cpu", *sizes, *model])
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if line.startswith("| ")]
    assert len([row for row in rows if row.startswith(("| bert | off | ", "| bert | bf16 | "))]) == 2
    assert "| bert | not seen on the CPU | not seen on the CPU |" in rows
    assert any(row.startswith("| operators | 3 cases of 3 | 0.0e+00 | ") for row in rows)
    assert "| batches copied ahead | 8 batches | 0.0e+00 | x |" in rows
    assert any(row.startswith("| bert, 2 samples | ") for row in rows)
    assert any(row.startswith("| look-ups per second | cpu | ") for row in rows)
    assert any(row.startswith("| optimize --device cpu | cpu | ") for row in rows)
    assert result.output.endswith("All as it should be.\n")


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_without_a_gpu_it_says_so() -> None:
    result = CliRunner().invoke(main, [])
    assert isinstance(result.exception, InputError)
    assert result.exception.exit_code == 2
    assert str(result.exception).startswith("torch sees no CUDA device here; --device cpu ")


def test_what_differs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def interpret(_model: object, inputs: list[np.ndarray], device: torch.device) -> list[torch.Tensor]:
        return [torch.from_numpy(inputs[0]) * (1 if device == CPU else 1.01)]

    monkeypatch.setattr(equality, "interpret", interpret)
    found = equality.operators(torch.device("meta"), None)
    assert not found.passed
    assert "Add: differs by 1.0e-02" in found.worst


@pytest.mark.parametrize(
    ("found", "expected", "difference", "rounds"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0, True),
        ([1.0, np.inf, np.nan], [1.0, np.inf, np.nan], 0.0, True),
        ([1.0, 2.2], [1.0, 2.0], 0.1, False),
        ([1.0, np.nan], [1.0, 2.0], np.inf, False),
        ([], [], 0.0, True),
    ],
)
def test_differences(found: list[float], expected: list[float], difference: float, rounds: bool) -> None:
    told, passed = equality._difference(torch.tensor(found), torch.tensor(expected))
    assert told == pytest.approx(difference, rel=1e-4)
    assert passed == rounds
