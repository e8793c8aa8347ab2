"""A torch data set that does not fit into the memory that is given for samples is read by index, as it is needed."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, get_worker_info

from natonnx.data import ArrayBatches, Batches, IndexedBatches, Parts, load
from natonnx.errors import InputError
from tests.data.conftest import image_model, images, labels

X, Y = images(60, 1, 4, 4), labels(60)
MODEL = image_model(1, 4, 4)


class Counted(Dataset[Any]):
    """Counts what is read of it, and fails where it is told to."""

    def __init__(self, *, noisy: bool = False, bad: int = -1, dies: int = -1) -> None:
        self.noisy, self.bad, self.dies, self.read = noisy, bad, dies, 0

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        self.read += 1
        if index == self.bad:
            raise KeyError(index)
        if index == self.dies and get_worker_info() is not None:
            os._exit(3)
        noise = torch.randint(0, 255, X[index].shape, dtype=torch.uint8) if self.noisy else 0
        return torch.from_numpy(X[index]) + noise, int(Y[index])


class Labelled(Counted):
    targets = Y.tolist()


def read(data: Any, cache: Any = 0, workers: int | None = None) -> Parts:
    return load(data, MODEL, seed=1, workers=workers, cache=cache)


def parts_of(parts: Parts) -> Iterator[Batches]:
    assert parts.test is not None
    yield from (parts.train, parts.validation, parts.test)


def same(ours: Batches, theirs: Batches) -> None:
    generators = (torch.Generator().manual_seed(4) for _ in range(2))
    passes = [split.batches(7, generator) for split, generator in zip((ours, theirs), generators, strict=True)]
    for one, other in zip(*passes, strict=True):
        np.testing.assert_array_equal(one.inputs["x"], other.inputs["x"])
        np.testing.assert_array_equal(one.targets, other.targets)


@pytest.mark.parametrize("workers", [0, 2])
def test_it_is_the_same_data_as_in_memory(workers: int) -> None:
    """With labels that are known before, the division is that of the arrays."""
    for ours, theirs in zip(parts_of(read(Labelled(), workers=workers)), parts_of(read((X, Y), 0.5)), strict=True):
        assert isinstance(ours, IndexedBatches)
        assert isinstance(theirs, ArrayBatches)
        same(ours, theirs)
        assert ours.subset(5).all_targets().tolist() == theirs.subset(5).all_targets().tolist()  # type: ignore[union-attr]


def test_divisions_read_next_to_nothing() -> None:
    data = Labelled()
    parts = read(data)
    assert data.read < 60 + 3 * 48  # a few to see whether they fit, a few of each part for what is said of their range
    before = data.read
    assert parts.train.all_targets() is not None
    assert data.read == before
    assert "divided by chance within each class (seed 1)" in parts.notes[0]


def test_labels_that_nobody_knows_before_are_read_with_the_samples() -> None:
    parts = read(Counted())
    assert parts.notes[0].startswith("divided by chance (seed 1)")
    assert isinstance(parts.train, IndexedBatches)
    np.testing.assert_array_equal(parts.train.all_targets(), Y[parts.train.index])
    named = {"train": Subset(Labelled(), range(40)), "val": Subset(Labelled(), list(range(40, 60)))}
    by_parts = read(named)
    assert isinstance(by_parts.validation, IndexedBatches)
    np.testing.assert_array_equal(by_parts.validation.targets, Y[40:])


def test_labels_that_are_changed_on_the_way_are_those_that_are_yielded() -> None:
    class Turned(Labelled):
        def __getitem__(self, index: int) -> tuple[Any, int]:
            image, label = super().__getitem__(index)
            return image, 2 - label

    parts = read(Turned())
    assert isinstance(parts.train, IndexedBatches)
    assert parts.train.targets is None
    np.testing.assert_array_equal(parts.train.all_targets(), 2 - Y[parts.train.index])


def test_random_samples_are_read_once_but_for_training() -> None:
    parts = read({"train": Counted(noisy=True), "val": Counted(noisy=True), "test": Counted()})
    told = "samples of data['val'] differ from reading to reading: they were read into memory once"
    assert told in parts.notes
    for part, differs in ((parts.train, True), (parts.validation, False)):
        first, second = (next(part.batches(8)).inputs["x"] for _ in range(2))
        assert (first != second).any() == differs


def test_what_fits_is_read_once() -> None:
    data = Counted(noisy=True)
    parts = read(data, 0.5)
    assert isinstance(parts.train, ArrayBatches)
    assert data.read == 1 + 1 + 60  # to see whether it was prepared, how large it is, and all of it


@pytest.mark.parametrize("workers", [0, 2])
def test_failures_are_one_line(workers: int) -> None:
    with pytest.raises(InputError, match=r"^data: reading it failed with KeyError: 33$") as caught:
        sum(batch.size for part in parts_of(read(Counted(bad=33), workers=workers)) for batch in part.batches(8))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Got pickle error")  # torch's, of newer versions
@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_what_cannot_be_sent_to_a_worker_is_one_line(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everywhere but on Linux before Python 3.14."""
    context = "multiprocessing.context._default_context._actual_context"
    monkeypatch.setattr(context, multiprocessing.get_context(start))
    data = Counted()
    data.transform = lambda value: value  # type: ignore[attr-defined]
    match = r"^data: reading it failed with (Attribute|Pickling)Error: .*lambda.* \(worker processes get the data"
    with pytest.raises(InputError, match=match) as caught:
        read(data, workers=1)
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("how", ["exits", "killed", "loader"])
def test_a_worker_that_dies_ends_it_in_one_line(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the next sample is asked for, not in the midst of whatever the program does by then."""
    waits = "torch.utils.data.dataloader._MultiProcessingDataLoaderIter._try_get_data.__defaults__"
    monkeypatch.setattr(waits, (0.1,))  # seconds, else 5
    data = Counted(dies=33 if how == "exits" else -1)
    before = signal.getsignal(signal.SIGCHLD)
    parts: Any = data
    if how == "loader":
        parts = {"train": DataLoader(data, batch_size=8, num_workers=1), "val": (X, Y)}

    def read_on() -> None:
        batches = read(parts, workers=1).train.batches(2)
        next(batches)
        if how != "exits":
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()
        for _ in range(1000):
            sum(range(1000))  # the program goes on, undisturbed
        list(batches)

    match = r"^data(\['train'\])?: reading it failed with RuntimeError: DataLoader worker [^\n]*exited unexpectedly"
    with pytest.raises(InputError, match=match):
        read_on()
    assert signal.getsignal(signal.SIGCHLD) == before


def test_empty_shares_and_stamps() -> None:
    parts = read(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), workers=1)
    assert isinstance(parts.train, IndexedBatches)
    shares = [[batch.size for batch in parts.train.batches(35, share=(part, 3))] for part in range(3)]
    assert shares == [[11, 0], [12, 0], [12, 1]]
    assert b"".join(parts.train.stamp()) == b"".join(parts.train.stamp())
