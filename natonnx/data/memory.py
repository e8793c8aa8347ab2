"""Data that a Python program has in its hands: arrays, and torch's data sets and loaders."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from natonnx.data.arrays import KEYS, Array, Arrays
from natonnx.data.dataset import Dataset
from natonnx.errors import InputError

if TYPE_CHECKING:
    from torch.utils.data import DataLoader
    from torch.utils.data import Dataset as TorchDataset

    Samples: TypeAlias = tuple[Any, Any] | TorchDataset[Any] | DataLoader[Any]
    """Inputs and class indices: two arrays, or what yields pairs of them."""

__all__ = ["Data", "Held", "data_name", "hold"]

Data: TypeAlias = Union[str, "os.PathLike[str]", Dataset, Mapping[str, Any], "Samples", "Held"]
"""What stands for labelled data.

A spec as in `natonnx.data.load`; a finished `Dataset`; arrays under the names of a ``.npz``; `Samples`, which are
divided 60/20/20; or `Samples` under the names ``train``, ``val`` and ``test``.
"""

_SPLITS = {"train": "train", "val": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, eq=False)
class Held:
    """Arrays in memory.

    Attributes:
        name: What they came as, for reports and messages.
        arrays: By the names of a ``.npz``.
        is_prepared: Whether they come from torch, whose data sets have transforms of their own: what a model's metadata
            says of preprocessing is not for them.
    """

    name: str
    arrays: Arrays
    is_prepared: bool


def hold(data: Data) -> str | Dataset | Held:
    """Read data that a program has in its hands into memory, once; a spec stays a spec.

    A torch data set is read sample by sample, a loader batch by batch, to the end; random transforms are drawn once.

    Raises:
        InputError: If it is nothing of `Data`, or does not yield pairs of an input and a label, all of one shape.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> images, labels = torch.zeros(20, 1, 8, 8), torch.arange(20) % 4
        >>> held = hold({"train": DataLoader(TensorDataset(images, labels), batch_size=8)})
        >>> {name: array.shape for name, array in held.arrays.items()}
        {'x_train': (20, 1, 8, 8), 'y_train': (20,)}
    """
    if isinstance(data, str | Dataset | Held):
        return data
    if isinstance(data, os.PathLike):
        return os.fspath(data)
    if not isinstance(data, Mapping):
        return Held(_name(data), _named("images", "labels", *_samples(data, _name(data))), _is_torch(data))
    if any(key in KEYS for key in data):
        return Held("arrays", {key: _array(data[key]) for key in KEYS if key in data}, is_prepared=False)
    if "train" not in data or not data.keys() <= _SPLITS.keys():
        raise InputError(
            f"data has the keys {', '.join(map(repr, data)) or 'of nothing'}: name arrays x_train, y_train, x_test, "
            "y_test, or images, labels; or name data sets train, val, test, the first at least"
        )
    arrays: dict[str, Array] = {}
    for key, samples in data.items():
        part = _SPLITS[key]
        arrays |= _named(f"x_{part}", f"y_{part}", *_samples(samples, f"data[{key!r}]"))
    from_torch = {_is_torch(samples) for samples in data.values()}
    if len(from_torch) > 1:
        raise InputError("data mixes arrays with torch's data sets, which are preprocessed differently: give one kind")
    return Held(_name(data["train"]), arrays, from_torch.pop())


def data_name(data: Data) -> str:
    """What data is called in reports: its spec, or what it came as."""
    held = hold(data)
    return held if isinstance(held, str) else held.name


def _named(x: str, y: str, inputs: Array, labels: Array) -> dict[str, Array]:
    return {x: inputs, y: labels}


def _name(samples: Any) -> str:
    inner = samples.dataset if _is_loader(samples) else samples
    return type(inner).__name__ if _is_torch(samples) else "arrays"


def _torch(name: str) -> type[Any] | tuple[()]:
    """A class of torch's; none where torch was not imported, as nothing can be of that class then."""
    module = sys.modules.get("torch.utils.data")
    return () if module is None else getattr(module, name)


def _is_loader(samples: Any) -> bool:
    return isinstance(samples, _torch("DataLoader"))


def _is_torch(samples: Any) -> bool:
    return _is_loader(samples) or isinstance(samples, _torch("Dataset"))


def _samples(samples: Any, where: str) -> tuple[Array, Array]:
    """Inputs [n, ...] and labels [n]."""
    if not _is_torch(samples):
        if not isinstance(samples, tuple | list) or len(samples) != 2:
            raise InputError(
                f"{where} is {type(samples).__name__}: give a pair of arrays (inputs, labels), a torch Dataset or a "
                "DataLoader"
            )
        return _array(samples[0]), _array(samples[1])
    inputs, labels = [], []
    for item in _items(samples):
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise InputError(f"{where}: yields {type(item).__name__}, not a pair of an input and its label")
        inputs.append(_array(item[0]))
        labels.append(_array(item[1]))
    if not inputs:
        raise InputError(f"{where}: yields no samples: give at least a few a class")
    join = np.concatenate if _is_loader(samples) else np.stack
    if _is_loader(samples) and min(inputs[0].ndim, labels[0].ndim) == 0:
        raise InputError(f"{where}: yields single samples: give the loader a batch size")
    try:
        return join(inputs), join(labels)
    except ValueError:
        shapes = sorted({array.shape for array in inputs})
        raise InputError(
            f"{where}: samples differ in shape, from {shapes[0]} to {shapes[-1]}: make them of one size"
        ) from None


def _items(samples: Any) -> Iterator[Any]:
    if _is_loader(samples) or isinstance(samples, _torch("IterableDataset")):
        batches: Iterable[Any] = samples
        yield from batches
    else:
        yield from (samples[position] for position in range(len(samples)))


def _array(value: Any) -> Array:
    """An array of numbers, from what numpy, torch (on any device) or Pillow made."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)
