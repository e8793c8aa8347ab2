"""The benchmark of reading pictures measures processes that do what it says."""

import math
import sys
from pathlib import Path

import pytest

from tools.benchmarks.bench_data import OURS, make_model, make_pictures, measure, optimization


def test_a_process_is_measured_with_its_children(tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures", 30, 16)
    assert len(list(pictures.rglob("*.jpg"))) == 30
    cost = measure([sys.executable, "-c", OURS, str(pictures), "16", "8", "0.5"])
    assert cost.cpu > 0
    assert 10 << 20 < cost.peak < 1 << 30
    assert math.isnan(cost.first)  # it says nothing on stderr
    with pytest.raises(RuntimeError, match="ended with 3: oh no"):
        measure([sys.executable, "-c", "import sys; print('oh no', file=sys.stderr); sys.exit(3)"])


@pytest.mark.slow
def test_memory_does_not_grow_with_pictures(tmp_path: Path) -> None:
    """Of 12,000 pictures of 148 MB decoded, and 590 MB in float32, a search takes little more than of 1,000."""
    model = make_model(tmp_path / "model.onnx", 64)
    folders = [make_pictures(tmp_path / str(count), count, 64) for count in (1000, 12_000)]
    peaks = [measure(optimization(model, folder, tmp_path / "out.onnx", "--cache", "0")).peak for folder in folders]
    assert peaks[1] - peaks[0] < 100 << 20


@pytest.mark.slow
def test_a_limit_is_kept(tmp_path: Path) -> None:
    """Of 40,000 names, 490 MB decoded, which would be kept otherwise."""
    model = make_model(tmp_path / "model.onnx", 64)
    pictures = make_pictures(tmp_path / "pictures", 400, 64, links=100)
    assert len(list(pictures.rglob("*.jpg"))) == 40_000
    command = optimization(model, pictures, tmp_path / "out.onnx", "--memory", "800MiB", "--cache", "0.2")
    assert measure(command).peak <= 800 << 20
