"""Both ways to sum messages, as tests choose them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

import pytest

from natonnx.policy.backend import VARIABLE, serving

__all__ = ["BACKENDS", "by_both", "needs_dgl", "summed_by"]

_Found = TypeVar("_Found")
needs_dgl = pytest.mark.skipif(find_spec("dgl") is None, reason="DGL is not installed")
BACKENDS = [pytest.param("dgl", marks=needs_dgl), "torch"]


@contextmanager
def summed_by(name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, name)
        assert serving().name == name
        yield


def by_both(function: Callable[[], _Found]) -> tuple[_Found, _Found]:
    """What it gives by DGL, and by torch alone."""
    with summed_by("dgl"):
        one = function()
    with summed_by("torch"):
        return one, function()
