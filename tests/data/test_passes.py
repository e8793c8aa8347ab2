"""A pass over samples may begin anywhere, and be shared among processes."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from natonnx.data import ArrayBatches, Batch, Batches, StreamBatches

COUNT, SIZE = 23, 5
X, Y = np.arange(2 * COUNT).reshape(2, COUNT), np.arange(COUNT) + 100
AXES = {"x": 1}


def pieces() -> Iterator[Batch]:
    for first in range(0, COUNT, 4):
        targets = Y[first : first + 4]
        yield Batch({"x": X[:, first : first + 4]}, targets, len(targets))


SOURCES: dict[str, Batches] = {"memory": ArrayBatches({"x": X}, AXES, Y), "stream": StreamBatches(pieces, AXES, True)}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("start", [0, 2, 4, 5, 9])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_pass_begins_where_it_is_told(source: str, start: int, shuffled: bool) -> None:
    split: Batches = SOURCES[source]
    whole = list(split.batches(SIZE, generator() if shuffled else None))
    rest = list(split.batches(SIZE, generator() if shuffled else None, start=start))
    assert len(rest) == max(0, len(whole) - start)
    for one, other in zip(rest, whole[start:], strict=True):
        np.testing.assert_array_equal(one.inputs["x"], other.inputs["x"])
        np.testing.assert_array_equal(one.targets, other.targets)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_shares_of_a_batch_are_the_batch(source: str, parts: int) -> None:
    split = SOURCES[source]
    passes = [list(split.batches(SIZE, share=(part, parts))) for part in range(parts)]
    for number, whole in enumerate(split.batches(SIZE)):
        own = [one[number] for one in passes]
        assert max(part.size for part in own) - min(part.size for part in own) <= 1
        assert [0 if part.targets is None else len(part.targets) for part in own] == [part.size for part in own]
        np.testing.assert_array_equal(np.concatenate([part.inputs["x"] for part in own], 1), whole.inputs["x"])


def test_the_order_is_drawn_as_the_pass_begins() -> None:
    drawn, other = generator(), generator()
    opened = SOURCES["memory"].batches(SIZE, drawn)
    torch.randperm(COUNT, generator=other)
    assert torch.equal(drawn.get_state(), other.get_state())
    next(opened)
    assert torch.equal(drawn.get_state(), other.get_state())
