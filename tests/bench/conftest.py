"""A folder with the tiny model and its data."""

from pathlib import Path

import pytest

from tests.cli import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.fill(tmp_path)
