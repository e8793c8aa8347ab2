"""All cells and all networks, made once."""

import pytest

from tests.tools.research.nasbench.cells import EVERY
from tools.research.nasbench.chains import Chains
from tools.research.nasbench.space import Space


@pytest.fixture(scope="session")
def space() -> Space:
    return Space(EVERY)


@pytest.fixture(scope="session")
def chains() -> Chains:
    return Chains()
