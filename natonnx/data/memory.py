"""Data that a Python program has in its hands: arrays, and torch's data sets and loaders."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from natonnx.data.arrays import KEYS, Array, Arrays
from natonnx.data.dataset import Dataset
from natonnx.errors import InputError, first_line

if TYPE_CHECKING:
    from torch.utils.data import DataLoader
    from torch.utils.data import Dataset as TorchDataset

    Samples: TypeAlias = tuple[Any, Any] | TorchDataset[Any] | DataLoader[Any]
    """Inputs and class indices: two arrays, or what yields pairs of them."""
else:
    Samples = Any  # torch is not imported for a name

__all__ = ["Data", "Held", "data_name", "hold"]

_SPLITS = {"train": "train", "val": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, eq=False)
class Held:
    """Arrays in memory.

    Attributes:
        name: What they came as, for reports and messages.
        arrays: By the names of a ``.npz``.
        is_prepared: Whether they are floating-point numbers from a torch data set or loader, where transforms make
            such: what a model's metadata says of preprocessing is not for them.
    """

    name: str
    arrays: Arrays
    is_prepared: bool


Data: TypeAlias = str | os.PathLike[str] | Dataset | Mapping[str, Any] | Samples | Held
"""What stands for labelled data.

A spec as in `natonnx.data.load`; a finished `Dataset`; arrays under the names of a ``.npz``; `Samples`, which are
divided 60/20/20; or `Samples` under the names ``train``, ``val`` and ``test``.
"""


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
    if isinstance(data, Mapping):
        return _from_mapping(data)
    inputs, labels = _samples(data, "data")
    return Held(_name(data), {"images": inputs, "labels": labels}, _is_prepared(data, inputs))


def _from_mapping(data: Mapping[str, Any]) -> Held:
    if data.keys() & set(KEYS):
        _refuse_others(data, KEYS)
        return Held("arrays", {key: _array(data[key], key) for key in KEYS if key in data}, is_prepared=False)
    _refuse_others(data, _SPLITS)
    if "train" not in data or {"val", "validation"} <= data.keys():
        raise InputError(f"data has {_keys(data)}: name its parts train, val and test, the first at least, each once")
    arrays: dict[str, Array] = {}
    prepared = set()
    for key, samples in data.items():
        inputs, labels = _samples(samples, f"data[{key!r}]")
        arrays |= {f"x_{_SPLITS[key]}": inputs, f"y_{_SPLITS[key]}": labels}
        prepared.add(_is_prepared(samples, inputs))
    if len(prepared) > 1:
        raise InputError(
            "data mixes raw arrays with floating-point numbers from torch, which are preprocessed differently: give one"
            " kind"
        )
    return Held(_name(data["train"]), arrays, prepared.pop())


def _refuse_others(data: Mapping[str, Any], known: Iterable[str]) -> None:
    if not data.keys() <= set(known):
        raise InputError(
            f"data has {_keys(data)}: name arrays x_train, y_train, x_val, y_val, x_test, y_test, or images, labels; "
            "or name data sets train, val, test"
        )


def _keys(data: Mapping[str, Any]) -> str:
    return f"the keys {', '.join(map(repr, data))}" if data else "no keys"


def data_name(data: str | Dataset | Held) -> str:
    """What data is called in reports: its spec, or what it came as."""
    return data if isinstance(data, str) else data.name


def _name(samples: Any) -> str:
    inner = samples.dataset if _is_loader(samples) else samples
    return type(inner).__name__ if _is_torch(samples) else "arrays"


def _is_prepared(samples: Any, inputs: Array) -> bool:
    return _is_torch(samples) and inputs.dtype.kind == "f"


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
        return _array(samples[0], f"{where}[0]"), _array(samples[1], f"{where}[1]")
    inputs, labels = [], []
    for item in _items(samples, where):
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise InputError(f"{where}: yields {type(item).__name__}, not a pair of an input and its label")
        inputs.append(_array(item[0], f"{where}: an input"))
        labels.append(_array(item[1], f"{where}: a label"))
    if not inputs:
        raise InputError(f"{where}: yields no samples: give at least a few a class")
    if _is_loader(samples) and min(inputs[0].ndim, labels[0].ndim) == 0:
        raise InputError(f"{where}: yields single samples: give the loader a batch size")
    join = np.concatenate if _is_loader(samples) else np.stack
    return _joined(join, inputs, f"{where}: inputs"), _joined(join, labels, f"{where}: labels")


def _joined(join: Any, arrays: list[Array], what: str) -> Array:
    try:
        return np.asarray(join(arrays))
    except ValueError:
        shapes = sorted({array.shape for array in arrays})
        raise InputError(f"{what} differ in shape, from {shapes[0]} to {shapes[-1]}: make them of one size") from None


def _items(samples: Any, where: str) -> Iterator[Any]:
    if _is_loader(samples) or isinstance(samples, _torch("IterableDataset")):
        batches: Iterable[Any] = samples
        yield from batches
        return
    if not hasattr(samples, "__len__"):
        raise InputError(f"{where}: {type(samples).__name__} has no length: give it a __len__")
    yield from (samples[position] for position in range(len(samples)))


def _array(value: Any, what: str) -> Array:
    """An array of numbers, from what numpy, torch (on any device) or Pillow made."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.float() if "bfloat16" in str(value.dtype) else value  # which numpy lacks
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} cannot be read as an array of numbers ({first_line(error)})") from None
