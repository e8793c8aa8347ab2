"""Half of the validation samples put aside, where there is no test part."""

from collections.abc import Iterator

import numpy as np
import pytest

from natonnx.data import ArrayBatches, Batch, Batches, Parts, StreamBatches, put_aside

COUNT = 230


def in_memory() -> ArrayBatches:
    values = np.arange(COUNT, dtype=np.float32)[:, None]
    return ArrayBatches({"x": values}, {"x": 0}, np.arange(COUNT) % 3)


def streamed(count: int | None, size: int) -> StreamBatches:
    def read() -> Iterator[Batch]:
        yield from in_memory().batches(size)

    return StreamBatches(read, {"x": 0}, has_targets=True, samples=count)


def ids(split: Batches) -> list[int]:
    return [int(value) for batch in split.batches(16) for value in batch.inputs["x"][:, 0]]


def labels(split: Batches) -> list[int]:
    return [int(value) for batch in split.batches(16) if batch.targets is not None for value in batch.targets]


def parts(validation: Batches) -> Parts:
    return Parts("set", in_memory(), validation, None)


def halves(validation: Batches, seed: int = 0) -> tuple[Batches, Batches]:
    found = put_aside(parts(validation), seed)
    assert found.test is not None
    return found.validation, found.test


@pytest.mark.parametrize("validation", [in_memory(), streamed(COUNT, 7), streamed(None, 50)])
def test_each_sample_is_in_one_half(validation: Batches) -> None:
    kept, aside = halves(validation)
    assert sorted(ids(kept) + ids(aside)) == list(range(COUNT))
    assert abs(len(ids(kept)) - len(ids(aside))) < 40
    for half in (kept, aside):
        assert [value % 3 for value in ids(half)] == labels(half)
        assert half.count() == len(ids(half))
        assert ids(half) == ids(half)
    assert (kept.samples is None) == (validation.samples is None)


def test_the_seed_says_which() -> None:
    for validation in (in_memory(), streamed(COUNT, 7)):
        first, same, other = (ids(halves(validation, seed)[1]) for seed in (0, 0, 1))
        assert first == same != other
    assert ids(halves(streamed(COUNT, 7))[0]) == ids(halves(streamed(None, 50))[0])  # however it is read


def test_classes_are_divided_alike() -> None:
    counts = [np.bincount(labels(half)) for half in halves(in_memory())]
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_a_test_part_stays() -> None:
    given = Parts("set", in_memory(), in_memory(), in_memory())
    assert put_aside(given, 0) is given


def test_it_is_noted() -> None:
    (note,) = put_aside(parts(in_memory()), 7).notes
    assert note == ("has no test part: half of the validation samples, drawn by chance (seed 7), are put aside as one")
