"""One thread a process: tests run in several at once, and threads that wait for each other starve.

And no width of a terminal: pytest-xdist gives its processes that of its own. What was stopped over one test's model is
not counted against the next.
"""

import logging
import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
os.environ.pop("COLUMNS", None)


@pytest.fixture(autouse=True)
def _full_limits() -> None:
    from natonnx.limits import renew

    renew()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """What a test leaves behind there, another one would fail of."""
    logger = logging.getLogger("natonnx")
    yield
    assert (logger.level, logger.disabled, logger.propagate) == (logging.NOTSET, False, True)
    assert (logging.root.level, logging.root.manager.disable, bool(logging.root.handlers)) == (logging.WARNING, 0, True)
