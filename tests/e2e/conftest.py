"""Whole runs of `natonnx optimize` on the tiny model, each made once."""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cli import tiny

OPTIMIZE = ("optimize", "model.onnx", "--data", "data.npz", "--lookups=5", "--finetune-epochs", "1", "--json")
CHEAPER = (*OPTIMIZE, "--target-madds", "0.55", "--max-drop", "40", "--seed", "5")
SPOILT = (*OPTIMIZE, "--target-madds", "0.55,0.06", "--finetune-learning-rate", "100")


class Run(NamedTuple):
    """A finished run: where, how it ended, its report, what lay there before, and how long it took."""

    folder: Path
    code: int
    stderr: str
    report: dict[str, Any]
    before: dict[str, str]
    seconds: float

    @property
    def output(self) -> Path:
        return self.folder / "model.nat.onnx"


def optimize(folder: Path, *arguments: str, **environment: str) -> Run:
    before = tiny.snapshot(folder)
    begun = time.monotonic()
    code, stdout, stderr = tiny.natonnx(*arguments, cwd=folder, **environment)
    seconds = time.monotonic() - begun
    assert code in (0, 1), stderr
    return Run(folder, code, stderr, json.loads(stdout), before, seconds)


@pytest.fixture(scope="session")
def improved(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that finds something cheaper; what it is forked from has loaded before."""
    tiny.natonnx("--version", cwd=tiny.ROOT)
    return optimize(tiny.fill(tmp_path_factory.mktemp("improved")), *CHEAPER)


@pytest.fixture(scope="session")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose target cannot be met without losing accuracy; warnings are on."""
    folder = tiny.fill(tmp_path_factory.mktemp("unchanged"))
    return optimize(folder, *OPTIMIZE, "--target-madds", "0.01", PYTHONWARNINGS="always")


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run for two targets without training, of which every model is written."""
    folder = tiny.fill(tmp_path_factory.mktemp("several"))
    return optimize(folder, *OPTIMIZE, "--target-madds", "0.55,0.06", "--no-training", "--front", "front")


@pytest.fixture(scope="session")
def missed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose training spoils every model."""
    return optimize(tiny.fill(tmp_path_factory.mktemp("missed")), *SPOILT)


@pytest.fixture(scope="session")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of Algorithm 1."""
    folder = tiny.fill(tmp_path_factory.mktemp("paper"))
    options = [option for option in CHEAPER if option != "--lookups=5"]
    return optimize(folder, *options, "--algorithm", "paper", "--epochs", "2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.fill(tmp_path)
