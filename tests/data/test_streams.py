"""Data that a program yields: in memory where it has to be, else read when it is needed."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

import natonnx.data.batches
from natonnx.data import ArrayBatches, Batch, Batches, Data, StreamBatches, hold, load
from natonnx.data.batches import take
from natonnx.errors import InputError
from tests.data.conftest import image_model, images, labels

X, Y = images(50, 1, 4, 4), labels(50)
MODEL = image_model(1, 4, 4)
TENSORS = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


class Samples(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from zip(X, Y.tolist(), strict=True)


class Loop:
    """What can be read in a loop, any number of times."""

    def __iter__(self) -> Iterator[Any]:
        return batches()


class Table:
    """What has a length and is read by index, as the data sets of other libraries."""

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> Any:
        return {"x": X[index].tolist(), "label": int(Y[index]), "text": "unused"}


def batches(labelled: bool = True) -> Iterator[Any]:
    for start in range(0, 50, 8):
        yield (X[start : start + 8], Y[start : start + 8]) if labelled else X[start : start + 8]


def everything(part: Batches, size: int = 16) -> tuple[Any, Any]:
    read = list(part.batches(size))
    assert [batch.size for batch in read[:-1]] == [size] * (len(read) - 1)
    targets = [batch.targets for batch in read if batch.targets is not None]
    return np.concatenate([batch.inputs["x"] for batch in read]), np.concatenate(targets) if targets else None


def check(part: Batches, *, labelled: bool = True) -> None:
    inputs, targets = everything(part)
    np.testing.assert_allclose(inputs, X / 255, atol=1e-7)
    assert inputs.dtype == np.float32
    assert part.has_targets == labelled
    if labelled:
        np.testing.assert_array_equal(targets, Y)


@pytest.mark.parametrize(
    ("source", "samples"),
    [
        (DataLoader(TENSORS, batch_size=7), 50),
        (DataLoader(TENSORS, batch_size=1), 50),
        (DataLoader(Samples(), batch_size=7), None),
        (Samples(), None),
        (batches, None),
        (Loop(), None),
    ],
    ids=["loader", "one by one", "loader of an iterable", "iterable", "function", "loop"],
)
def test_parts_that_can_be_read_again_are_not_held_in_memory(source: Any, samples: int | None) -> None:
    given: list[Data] = [{"train": source, "val": source, "test": source}, (source, source, source)]
    for data in given:
        parts = load(data, MODEL)
        for part in (parts.train, parts.validation, parts.test):
            assert isinstance(part, StreamBatches)
            assert part.samples == samples
            for _ in range(2):
                check(part)
        assert parts.notes == ()


def test_what_a_stream_counts() -> None:
    loader = DataLoader(TENSORS, batch_size=7, drop_last=True)
    part = load((loader, loader), MODEL).train
    assert part.samples == len(everything(part)[0]) == 49


@pytest.mark.parametrize(
    "source",
    [DataLoader(TENSORS, batch_size=7), Samples(), Loop(), batches, list(batches())],
    ids=["loader", "iterable", "loop", "function", "list"],
)
def test_a_single_source_is_read_into_memory_and_divided(source: Any) -> None:
    expected = load((X, Y), MODEL)
    found = load(source, MODEL)
    for name in ("train", "validation", "test"):
        one, other = getattr(found, name), getattr(expected, name)
        assert isinstance(one, ArrayBatches)
        np.testing.assert_array_equal(one.inputs["x"], other.inputs["x"])
        np.testing.assert_array_equal(one.targets, other.targets)
    told = [note for note in found.notes if note.endswith("was read into memory, as it has to be divided")]
    assert bool(told) != isinstance(source, list)


def test_generators_are_read_once() -> None:
    parts = load({"train": batches(), "val": batches(labelled=True)}, MODEL)
    check(parts.train)
    check(parts.train)
    check(parts.validation)
    assert isinstance(parts.train, ArrayBatches)
    assert not load(batches(labelled=False), MODEL).train.has_targets


def test_a_shuffled_validation_part_is_held_in_memory_as_results_are_compared_sample_by_sample() -> None:
    shuffled = DataLoader(TENSORS, batch_size=10, shuffle=True)
    parts = load({"train": shuffled, "val": shuffled}, MODEL)
    assert isinstance(parts.train, StreamBatches)
    assert isinstance(parts.validation, ArrayBatches)
    assert not np.array_equal(everything(parts.train)[0], everything(parts.train)[0])
    assert parts.notes[0] == "the validation samples come shuffled: they were read into memory once"


def test_data_sets_of_other_libraries() -> None:
    parts = load({"train": Table(), "val": Table()}, MODEL)
    np.testing.assert_array_equal(everything(parts.train)[0], X)  # no uint8 any more, and so not scaled
    assert parts.notes[0] == "not used: text"
    assert parts.train.has_targets


def test_a_mapping_of_one_part_divides_it() -> None:
    parts = load({"train": DataLoader(TENSORS, batch_size=7)}, MODEL)
    assert isinstance(parts.train, ArrayBatches)
    assert (parts.train.samples, parts.test) == (40, None)
    assert parts.notes[0] == "TensorDataset was read into memory, as it has to be divided"


def test_pairs_of_pairs_are_parts_and_pairs_of_arrays_are_not() -> None:
    parts = load(((X, Y), (X[:9], Y[:9])), MODEL)
    assert (parts.train.samples, parts.validation.samples, parts.test) == (50, 9, None)
    by_name = load(({"x": X, "labels": Y}, {"x": X[:9], "labels": Y[:9]}), MODEL)
    assert (by_name.train.samples, by_name.validation.samples) == (50, 9)
    assert load((X, Y), MODEL).train.samples == 30
    whole = load({"train": X, "val": X[:9]}, MODEL)
    assert (whole.train.samples, whole.train.has_targets) == (50, False)


@pytest.mark.usefixtures("functions")
def test_functions_of_a_spec_return_whatever_a_program_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model = image_model(4, 4)
    parts = load("mydata:batches", model)
    assert (parts.name, parts.train.samples, parts.train.has_targets) == ("mydata:batches", 30, True)
    streamed = load("mydata:parts", model)
    assert isinstance(streamed.validation, StreamBatches)
    assert len(list(streamed.validation.batches(25))) == 2
    np.savez("set.npz", images=images(50, 4, 4))
    assert load("mydata:path", model).name == "set.npz"
    held = hold("mydata:batches")
    monkeypatch.delattr("mydata.batches")
    assert load(held, model).train.samples == 30


class Broken(TorchDataset[Any]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        raise KeyError(index)


def _mixed() -> Iterator[Any]:
    yield X, Y
    yield X


def _late() -> Iterator[Any]:
    yield X, Y
    yield X[:, :, :3], Y


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (Broken(), "data: reading it failed with KeyError: 0"),
        (lambda: 1 / 0, "data: calling it failed with ZeroDivisionError"),
        (_mixed(), "data: yields labels with some samples only: give all labels, or none"),
        (_late(), r"data: inputs differ in shape, from \(50, 1, 3, 4\) to \(50, 1, 4, 4\)"),
        ((lambda: iter([]), batches), r"data\[0\]: yields no samples"),
        ((lambda: iter([]), lambda: iter([X])), r"data\[0\]: yields no samples"),
        (({"x": X}, {"y": X}), r"data\[1\]: has nothing for the model's input 'x', but 'y'"),
        ({"train": (X, Y), "val": X}, "arrays: has no labels for validation, but for other parts"),
        (
            DataLoader(TensorDataset(torch.zeros(4, 4, 4)), batch_size=None),
            "samples are 4, but the model's input is 1×4×4",
        ),
    ],
)
def test_bad_programs_are_one_line(data: Any, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        load(data, MODEL)
    assert "\n" not in str(caught.value)


def test_a_bad_batch_of_a_stream_is_one_line_when_it_is_read() -> None:
    part = load((_late, _late), MODEL).train
    with pytest.raises(InputError, match=r"data\[0\]: samples are 1×3×4, but the model's input is 1×4×4"):
        list(part.batches(60))


def test_progress_is_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natonnx.data.programs._SIGN_OF_LIFE", -1.0)
    read: Callable[[], Any] = lambda: load(TENSORS, MODEL)  # noqa: E731
    with caplog.at_level("INFO", "natonnx.data"):
        read()
    assert "data: read 50 samples" in caplog.messages


def test_a_large_batch_of_a_stream_is_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not over again for every small batch that is taken off it."""
    copied: list[int] = []

    def counting(inputs: Any, axes: Any, index: Any) -> Any:
        copied.append(len(index))
        return take(inputs, axes, index)

    monkeypatch.setattr(natonnx.data.batches, "take", counting)
    whole = Batch({"x": np.arange(1003, dtype=np.float32)[:, None]}, np.arange(1003), 1003)
    source = StreamBatches(lambda: [whole, whole], {"x": 0}, has_targets=True)
    read = [batch.targets for batch in source.batches(10)]
    assert np.array_equal(np.concatenate([part for part in read if part is not None]), np.tile(np.arange(1003), 2))
    assert sum(copied) <= 2 * 1003 + 2 * 10


def test_a_stream_says_whether_it_shuffles() -> None:
    validation = DataLoader(TENSORS, batch_size=8)
    for shuffled in (True, False):
        parts = load((DataLoader(TENSORS, batch_size=8, shuffle=shuffled), validation), MODEL)
        assert isinstance(parts.train, StreamBatches)
        assert parts.train.is_ordered != shuffled


def test_a_shuffled_loader_that_is_divided_gives_the_same_parts_each_time() -> None:
    """Whatever was drawn before, and nothing else is drawn otherwise for it."""
    parts = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        expected = torch.rand(1)
        torch.manual_seed(seed)
        parts.append(load(DataLoader(TENSORS, batch_size=8, shuffle=True), MODEL))
        assert torch.equal(torch.rand(1), expected)
    first, second = (next(iter(part.validation.batches(50))) for part in parts)
    assert first.targets is not None
    assert second.targets is not None
    assert np.array_equal(first.targets, second.targets)
    name = MODEL.names[0]
    assert np.array_equal(first.inputs[name], second.inputs[name])


@pytest.mark.parametrize("is_ordered", [True, False])
def test_samples_of_a_source_in_order_are_drawn_from_all_of_it(is_ordered: bool) -> None:
    """Each about as often; one that shuffles by itself is asked for its first ones."""
    values = np.arange(20_000, dtype=np.float32)[:, None]
    opened = 0

    def source() -> Iterator[Batch]:
        nonlocal opened
        opened += 1
        yield from ArrayBatches({"x": values}, {"x": 0}).batches(64)

    stream = StreamBatches(source, {"x": 0}, has_targets=False, is_ordered=is_ordered)
    drawn = [stream.sample(500, torch.Generator().manual_seed(seed)).inputs["x"][:, 0] for seed in range(3)]
    assert all(len(set(one.tolist())) == 500 for one in drawn)
    if is_ordered:
        assert opened == 1
        assert not np.array_equal(drawn[0], drawn[1])
        assert all(one.mean() == pytest.approx(10_000, rel=0.1) for one in drawn)  # 4 standard errors
        every = stream.sample(10_000, torch.Generator().manual_seed(0)).inputs["x"][:, 0]
        shares = np.histogram(every, 10, (0, 20_000))[0] / len(every)
        assert shares == pytest.approx(0.1, abs=0.02)
    else:
        assert all(np.array_equal(one, values[:500, 0]) for one in drawn)
    assert (stream.count(), stream.count()) == (20_000, 20_000)
    assert opened == (1 if is_ordered else 4)  # its samples and their number are read at once
    assert stream.sample(10).inputs["x"][:, 0].tolist() == list(range(10))
