"""The benchmark of reading pictures measures processes that do what it says."""

import math
import sys
from pathlib import Path

import pytest

from tools.benchmarks.bench_data import OURS, make_pictures, measure


def test_a_process_is_measured_with_its_children(tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures", 30, 16)
    assert len(list(pictures.rglob("*.jpg"))) == 30
    cost = measure([sys.executable, "-c", OURS, str(pictures), "16", "8", "0.5"])
    assert cost.cpu > 0
    assert 10 << 20 < cost.peak < 1 << 30
    assert math.isnan(cost.first)  # it says nothing on stderr
    with pytest.raises(RuntimeError, match="ended with 3: oh no"):
        measure([sys.executable, "-c", "import sys; print('oh no', file=sys.stderr); sys.exit(3)"])
