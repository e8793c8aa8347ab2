"""A folder with the tiny model and its data."""

from pathlib import Path

import numpy as np
import pytest

from natonnx.data.shipped import read_builtin
from tests.cli import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.fill(tmp_path)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few pictures of the built-in data: 40 for training, 300 for validation, 500 for the test."""
    path = tmp_path_factory.mktemp("pictures") / "pictures.npz"
    arrays = read_builtin("fashion-mnist", 10)
    counts = {"train": 40, "val": 300, "test": 500}
    np.savez(path, allow_pickle=False, **{name: array[: counts[name[2:]]] for name, array in arrays.items()})
    return path
