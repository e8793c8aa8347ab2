"""The parameter-free skip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from natonnx.architecture import Shape, Skip, match_skip
from tests.architecture.strategies import property_test

sizes = st.integers(1, 12)


@pytest.mark.parametrize(
    ("source", "target", "skip"),
    [
        pytest.param((1, 8, 16, 16), (1, 8, 16, 16), Skip(4), id="identity"),
        pytest.param((5,), (5,), Skip(1), id="identity of a vector"),
        pytest.param(("n", 8), ("n", 8), Skip(2), id="identity of features"),
        pytest.param(("n", "c", "h", "w"), ("n", "c", "h", "w"), Skip(4), id="identity, all symbolic"),
        pytest.param((1, 8, 16, 16), (1, 8, 8, 8), Skip(4, (2, 2)), id="stride 2"),
        pytest.param((1, 8, 16, 16), (1, 8, 16, 4), Skip(4, (1, 4)), id="one axis"),
        pytest.param((1, 8, 7, 7), (1, 8, 1, 1), Skip(4, (7, 7)), id="global"),
        pytest.param((1, 8, 16), (1, 8, 8), Skip(3, (2,)), id="one dimension"),
        pytest.param((1, 8, 4, 4, 4), (1, 8, 2, 4, 1), Skip(5, (2, 1, 4)), id="three dimensions"),
        pytest.param((1, 8, 16, 16), (1, 12, 16, 16), Skip(4, (), 4), id="more channels"),
        pytest.param(("n", 8), ("n", 10), Skip(2, (), 2), id="more features"),
        pytest.param((1, 8, 16, 16), (1, 16, 8, 8), Skip(4, (2, 2), 8), id="stride and channels"),
        pytest.param(("n", 8, 16, 16), ("n", 16, 8, 8), Skip(4, (2, 2), 8), id="symbolic batch"),
        pytest.param(("n", 8, "h", 4), ("n", 9, "h", 2), Skip(4, (1, 2), 1), id="symbolic height that stays"),
        pytest.param((1, 2, 3, 3, 3, 3), (1, 5, 3, 3, 3, 3), Skip(6, (), 3), id="rank 6 without pooling"),
    ],
)
def test_shapes_that_match(source: Shape, target: Shape, skip: Skip) -> None:
    assert match_skip(source, target) == skip


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        pytest.param((), (1, 8), "a shape is unknown", id="unknown source"),
        pytest.param((1, 8), (), "a shape is unknown", id="unknown target"),
        pytest.param((1, None), (1, None), "a shape is unknown", id="unknown sizes"),
        pytest.param((1, 8, 4, 4), (1, 8), "rank 4 cannot become rank 2", id="rank"),
        pytest.param((1, 8), (2, 8), "axis 0 of size 1 cannot become 2", id="batch"),
        pytest.param(("n", 8), (1, 8), "axis 0 of size n cannot become 1", id="symbolic batch"),
        pytest.param((1, 8), (1, 4), "8 channels cannot become fewer (4) without parameters", id="fewer channels"),
        pytest.param((1, "c"), (1, 8), "whether c channels are more than 8 is open", id="symbolic channels"),
        pytest.param(
            (1, 8, 16, 7),
            (1, 8, 8, 4),
            "axis 3 of size 7 cannot be pooled to 4 by an integer ratio",
            id="no integer ratio",
        ),
        pytest.param((1, 8, 8), (1, 8, 16), "axis 2 of size 8 cannot be pooled to 16 by an integer ratio", id="larger"),
        pytest.param(
            (1, 8, "h"),
            (1, 8, "g"),
            "axis 2 would go from h to g, and whether by an integer ratio is open",
            id="other symbol",
        ),
        pytest.param(
            (1, 8, "h"),
            (1, 8, 4),
            "axis 2 would go from h to 4, and whether by an integer ratio is open",
            id="symbol",
        ),
        pytest.param((1, 8, 4), (1, 8, 0), "its source or its target is empty", id="empty"),
        pytest.param(
            (1, 8, "h/4"), (1, 8, "h/2"), "axis 2 of size h/4 cannot be pooled to h/2 by an integer ratio", id="up"
        ),
        pytest.param(
            (1, 8, "h"),
            (1, 8, "floor(h/2)"),
            "axis 2 would go from h to floor(h/2), and whether by an integer ratio is open",
            id="rounded",
        ),
        pytest.param((1, 2, 4, 3, 3, 3), (1, 2, 2, 3, 3, 3), "a tensor of rank 6 cannot be pooled", id="rank 6"),
    ],
)
def test_shapes_that_do_not_match(source: Shape, target: Shape, reason: str) -> None:
    assert match_skip(source, target) == reason


@pytest.mark.parametrize(("size", "wanted", "ratio"), [("h", "h/2", 2), ("3*h/2", "h/4", 6), ("a.1/2", "a.1/4", 2)])
def test_whole_parts_of_open_sizes_are_pooled(size: str, wanted: str, ratio: int) -> None:
    assert match_skip(("n", 8, size), ("n", 9, wanted)) == Skip(3, (ratio,), 1)


@pytest.mark.parametrize(("skip", "identity"), [(Skip(4), True), (Skip(4, (2, 2)), False), (Skip(4, (), 1), False)])
def test_is_identity(skip: Skip, identity: bool) -> None:
    assert skip.is_identity is identity


def _apply(skip: Skip, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average non-overlapping windows, then append zero channels."""
    for axis, ratio in enumerate(skip.pool, start=2):
        shape = values.shape
        windows = values.reshape(*shape[:axis], shape[axis] // ratio, ratio, *shape[axis + 1 :])
        values = windows.mean(axis + 1)
    if skip.pad_channels:
        zeros = np.zeros((values.shape[0], skip.pad_channels, *values.shape[2:]))
        values = np.concatenate([values, zeros], 1)
    return values


@property_test
@given(
    batch=sizes,
    channels=sizes,
    spatial=st.lists(st.tuples(sizes, st.integers(1, 3)), max_size=3),
    growth=st.integers(0, 5),
)
def test_a_skip_makes_the_targets_shape(batch: int, channels: int, spatial: list[tuple[int, int]], growth: int) -> None:
    source = (batch, channels, *(size * ratio for size, ratio in spatial))
    target = (batch, channels + growth, *(size for size, _ in spatial))
    skip = match_skip(source, target)
    assert isinstance(skip, Skip)
    assert _apply(skip, np.ones(source)).shape == target


@property_test
@given(*[st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)] * 2)
def test_a_skip_exists_exactly_when_sizes_divide_and_channels_do_not_shrink(source: Shape, target: Shape) -> None:
    fits = source == target or (
        len(source) == len(target) >= 2
        and source[0] == target[0]
        and _int(source[1]) <= _int(target[1])
        and all(_int(size) % _int(wanted) == 0 for size, wanted in zip(source[2:], target[2:], strict=True))
    )
    assert isinstance(match_skip(source, target), Skip) == fits


@property_test
@given(*[st.lists(st.one_of(st.integers(1, 4), st.sampled_from(["n", "h"]), st.none()), max_size=5).map(tuple)] * 2)
def test_a_refusal_is_one_line(source: Shape, target: Shape) -> None:
    verdict = match_skip(source, target)
    assert isinstance(verdict, Skip) or (verdict.strip() == verdict != "" and "\n" not in verdict)


def _int(size: int | str | None) -> int:
    assert isinstance(size, int)
    return size


def test_a_size_of_thousands_of_digits_is_open() -> None:
    """Names of sizes are the file's; Python reads no number of so many digits."""
    named = f"{'9' * 5000}*H"
    assert match_skip(("n", 4, named, "W"), ("n", 4, "H", "W")) == (
        f"axis 2 would go from {named} to H, and whether by an integer ratio is open"
    )
