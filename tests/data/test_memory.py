"""Data that a program has in its hands: arrays, and torch's data sets and loaders."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from natonnx.data import ArrayBatches, Data, Dataset, Held, Split, data_name, hold, load
from natonnx.errors import InputError
from tests.data.conftest import Loaded, image_model, images, labels, read

SHAPE = (1, 4, 4)
X, Y = images(50, 1, 4, 4), labels(50)
TENSORS = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


class Pillow(TorchDataset[Any]):
    """Yields Pillow images and plain integers, as torchvision's data sets do without a transform."""

    def __getitem__(self, position: int) -> tuple[Any, int]:
        return Image.fromarray(X[position, 0]), int(Y[position])

    def __len__(self) -> int:
        return len(Y)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from zip(X, Y.tolist(), strict=True)


class Odd(TorchDataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __getitem__(self, position: int) -> Any:
        return self.items[position]

    def __len__(self) -> int:
        return len(self.items)


class NoLength(TorchDataset[Any]):
    def __getitem__(self, position: int) -> tuple[Any, int]:
        return X[position], int(Y[position])


FLOATS = TensorDataset(torch.from_numpy(X).float(), torch.from_numpy(Y))


def load_all(data: Data, **preprocessing: Any) -> Loaded:
    return read(data, *SHAPE, seed=1, **preprocessing)


def same(one: Loaded, other: Loaded) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("train", "validation", "test")]
    return all(np.array_equal(a.inputs, b.inputs) and np.array_equal(a.labels, b.labels) for a, b in pairs)


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        [X, Y.tolist()],
        (torch.from_numpy(X), torch.from_numpy(Y)),
        {"images": X, "labels": Y},
        TENSORS,
        Pillow(),
        Stream(),
        DataLoader(TENSORS, batch_size=7),
        DataLoader(Stream(), batch_size=50),
    ],
    ids=lambda data: type(data).__name__,
)
def test_all_forms_of_the_same_samples_are_the_same_data(data: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=X, labels=Y, allow_pickle=False)
    assert same(load_all(data), load_all(str(tmp_path / "data.npz")))
    assert same(load_all(data), load_all(tmp_path / "data.npz"))


@pytest.mark.parametrize("loader", [False, True])
def test_named_parts(loader: bool) -> None:
    parts: dict[str, Any] = {
        "train": Subset(TENSORS, range(30)),
        "val": Subset(TENSORS, range(30, 40)),
        "test": Subset(TENSORS, range(40, 50)),
    }
    if loader:
        parts = {name: DataLoader(part, batch_size=4) for name, part in parts.items()}
    found = load_all(parts)
    assert found.test is not None
    for part, rows in ((found.train, slice(30)), (found.validation, slice(30, 40)), (found.test, slice(40, 50))):
        assert np.array_equal(part.labels, Y[rows])
        assert np.allclose(part.inputs, X[rows] / 255, atol=1e-7)
    arrays = dict.fromkeys(("train", "validation"), (X[:30], Y[:30]))
    assert load_all(arrays).test is None


def test_names_and_what_torch_prepared() -> None:
    """Floating-point numbers from torch went through transforms; pixels did not."""
    assert hold("a.npz") == "a.npz"
    assert hold(Path("a.npz")) == "a.npz"
    cases: list[tuple[Data, str, bool]] = [
        ((X, Y), "arrays", False),
        ((X.astype(np.float32), Y), "arrays", False),
        (TENSORS, "TensorDataset", False),
        (Pillow(), "Pillow", False),
        (FLOATS, "TensorDataset", True),
        ({"train": DataLoader(FLOATS)}, "TensorDataset", True),
        ({"train": TENSORS, "val": (X, Y)}, "TensorDataset", False),
    ]
    for data, name, is_prepared in cases:
        held = hold(data)
        assert isinstance(held, Held)
        assert (data_name(held), held.is_prepared) == (name, is_prepared)
        assert hold(held) is held


def test_a_random_loader_is_read_once() -> None:
    loader = DataLoader(TENSORS, batch_size=10, shuffle=True)
    held = hold(loader)
    assert same(load_all(held), load_all(held))
    assert same(load_all(loader), load_all(loader))  # as its order is the same whenever it is read to be divided


def test_a_finished_set_is_taken_as_it_is() -> None:
    split = Split(X.astype(np.float32), Y)
    assert load_all(Dataset("mine", split, split, None, 3)).train.inputs is split.inputs


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (7, "data is int: give arrays, a tuple or a mapping of them, a torch Dataset, a DataLoader"),
        ((X, Y, Y), r"data: yields 3 values, but the model has 1 input \(x\): give the inputs so, and labels last"),
        (iter([]), "data: yields no samples"),
        ({}, "data has no keys"),
        ({"z": X, "labels": Y}, "data: has nothing for the model's input 'x', but 'z', 'labels': name"),
        ({"val": (X, Y)}, "the first at least"),
        ({"train": "set.npz"}, r"data\['train'\] is str: give arrays"),
        ({"train": (X, Y), "x_test": X, "y_test": Y}, "the keys 'train', 'x_test', 'y_test': name data sets train"),
        ({"train": (X, Y), "val": (X, Y), "validation": (X, Y)}, "each once"),
        ({"train": (X, Y), "val": FLOATS}, "mixes raw arrays with floating-point numbers from torch"),
        (([[1, 2], [3]], [0, 1]), "data: inputs cannot be read as an array of numbers"),
        ((torch.eye(3).to_sparse(), Y), "data: inputs cannot be read as an array of numbers"),
        (Odd([(X[0], [0]), (X[0], [0, 1])]), r"labels differ in shape, from \(1,\) to \(2,\)"),
        (NoLength(), "NoLength has no length: give it a __len__"),
        (Odd([{"image": 1}]), "data: has nothing for the model's input 'x', but 'image'"),
        (Odd([(X[0], 1, 2)]), "data: yields 3 values, but the model has 1 input"),
        (Odd([]), "yields no samples"),
        (Odd([(X[0], 0), (X[0, 0], 1)]), r"inputs differ in shape, from \(1, 4, 4\) to \(4, 4\)"),
        (DataLoader(TENSORS, batch_size=None), "give the loader a batch size|yields single samples"),
        ((X, np.eye(50)), "labels must be integer class indices"),
        (lambda: 7, "data is int: give arrays"),
        ((TENSORS, Y), r"data: inputs cannot be read as an array of numbers \(it has a TensorDataset in it\)"),
        (({1, 2}, Y), "it has a set in it"),
        ({1: X}, "data has the keys 1: name arrays after the model's inputs"),
        ((X.reshape(50, 16), Y), "samples are 16, but the model's input is 1×4×4"),
        (({"x": X, "labels": Y}, Y), "yields labels both beside the inputs and among them"),
        (({"x": X}, (X, Y)), "arrays: has no labels for train, but for other parts: give all parts labels, or none"),
        ((X, Y[:-1]), "50 samples but"),
        ((np.array([None] * 50), Y), "not of numbers"),
        (DataLoader(Odd([]), batch_size=2), "yields no samples"),
    ],
)
def test_bad_data_is_one_line(data: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_all(data)
    assert "\n" not in str(caught.value)


def test_bfloat16_which_numpy_lacks() -> None:
    held = hold((torch.ones(3, 2, dtype=torch.bfloat16), [0, 1, 2]))
    parts = load(held, image_model(2), targets="labels")
    assert isinstance(parts.train, ArrayBatches)
    np.testing.assert_array_equal(parts.train.inputs["x"], np.ones((2, 2), np.float32)[:1])
