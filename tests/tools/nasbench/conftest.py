"""All cells, made once."""

import pytest

from tests.tools.nasbench.cells import EVERY
from tools.nasbench.space import Space


@pytest.fixture(scope="session")
def space() -> Space:
    return Space(EVERY)
