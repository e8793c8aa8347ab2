"""Data that a Python program has in its hands, sorted by what it is for."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from natonnx.data.convert import to_array
from natonnx.data.dataset import Dataset
from natonnx.data.function import call_function
from natonnx.data.items import IndexedItems, Items, Renamed, is_structure
from natonnx.data.keys import LABELS, group, part_of
from natonnx.data.programs import called, first_item, is_program, program_items, program_name, read_now
from natonnx.data.shipped import BUILTIN
from natonnx.errors import InputError
from natonnx.importing import importable_here, is_named

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch.utils.data import DataLoader
    from torch.utils.data import Dataset as TorchDataset

    Samples: TypeAlias = (
        npt.NDArray[np.generic]
        | torch.Tensor
        | Mapping[str, Any]
        | Iterable[Any]
        | TorchDataset[Any]
        | DataLoader[Any]
        | Callable[[], Any]
    )
else:
    Samples = Any  # torch is not imported for a name

__all__ = ["Data", "Held", "data_name", "hold", "named_items"]

_PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Held:
    """Data in a program's hands: its parts, not yet fitted to a model.

    Attributes:
        name: What it came as, for reports and messages.
        parts: ``all``, which is still to be divided, or ``train`` and perhaps ``validation`` and ``test``.
        is_prepared: Whether it has floating-point numbers that a program yields, such as a torch data set with
            transforms: what a model's metadata says of preprocessing is not for them.
        notes: What was done to it, a short sentence each.
    """

    name: str
    parts: Mapping[str, Items | IndexedItems]
    is_prepared: bool = False
    notes: tuple[str, ...] = ()


Data: TypeAlias = str | os.PathLike[str] | Dataset | Samples | Held
"""What stands for data: a spec as in `natonnx.data.load`, or what a program has in its hands.

Samples are

- an array, for a model of one input; a tuple of arrays, one for each of the model's inputs in their order, and labels
  last where there are any, so that a pair of arrays is ``(inputs, labels)`` for a model of one input; a mapping from
  input names to arrays, with ``labels`` where there are any; or a pair of one of these and labels. Arrays under names
  are in the model's own layout, samples along its batch axis; what has no batch axis is one value for all;
- a torch `Dataset`, or what else has a length and is read by index, or an `IterableDataset`: they yield samples, each
  of the forms above but without a batch axis;
- a `DataLoader`, a generator, any other iterable, or a function that returns one: they yield batches of these forms. A
  loader with torch's own collation has the samples in front, and they are moved to where the model has them.

A data set is samples, which are divided 60/20/20; ``(train, validation)`` or ``(train, validation, test)``, a tuple of
samples that are not plain arrays, such as loaders, mappings or pairs; a mapping with ``train``, ``val`` and ``test``,
of which the first is a must; arrays under the names of a ``.npz``; or a finished `Dataset`.

Loaders, `IterableDataset` and functions are read whenever samples are needed if training and validation are both given,
and must yield the same validation and test samples in the same order each time. A torch `Dataset` that would not fit
into the memory that is given for samples is read by index as they are needed. Anything else is read into memory.
"""


def hold(data: Data) -> str | Dataset | Held:
    """Sort out what data is, and read what can be read once only; a spec stays a spec, but for a function's, which is
    called.

    A torch data set is read sample by sample, to the end, when it is first needed; random transforms are drawn once.

    Raises:
        InputError: If it is nothing of `Data`.

    Example:
        >>> import torch
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> images, labels = torch.zeros(20, 1, 8, 8), torch.arange(20) % 4
        >>> held = hold({"train": DataLoader(TensorDataset(images, labels), batch_size=8)})
        >>> held.name, list(held.parts), held.is_prepared
        ('TensorDataset', ['train'], True)
    """  # noqa: D205
    if isinstance(data, Dataset | Held):
        return data
    if isinstance(data, os.PathLike):
        return os.fspath(data)
    if not isinstance(data, str):
        return _held(data, "data")
    if data in BUILTIN or not is_named(data) or Path(data).exists():
        return data
    with importable_here():
        result = call_function(data)
        if isinstance(result, str) and is_named(result):
            raise InputError(f"{data}: returned the name of a function, {result!r}: return what that returns")
        if isinstance(result, Dataset | Held | str | os.PathLike):
            return hold(result)
        return replace(_held(result, data), name=data)


def data_name(data: str | Dataset | Held) -> str:
    """Return what data is called in reports: its spec, or what it came as."""
    return data if isinstance(data, str) else data.name


def named_items(arrays: Mapping[str, Any], where: str, files: tuple[Path, ...] = ()) -> dict[str, Items]:
    """Sort arrays by the parts that their names name: see `natonnx.data.keys.group`.

    Args:
        arrays: By name.
        where: The source, for messages.
        files: That they are read from.

    Raises:
        InputError: If there are parts, but none to train with.
    """
    grouped = group(arrays)
    shared = {name: key for name, key in grouped.pop("all", {}).items() if not grouped or name not in LABELS}
    if not grouped:
        return {"all": _single(Renamed(arrays, shared), where, files)}
    if "train" not in grouped:
        raise InputError(f"{where}: has {_keys(arrays)}, but nothing to train with: name it x_train, or train/NAME")
    return {part: _single(Renamed(arrays, {**shared, **names}), where, files) for part, names in grouped.items()}


def _held(data: Any, where: str) -> Held:
    data = called(data, where)
    named = {key: part_of(key) for key in data if isinstance(key, str)} if isinstance(data, Mapping) else {}
    if named and ("train" in named.values() or all(named.values())):
        if len(named) < len(data) or not all(named.values()):
            raise InputError(
                f"{where} has {_keys(data)}: name data sets train, val, test, and nothing else beside them"
            )
        if "train" not in named.values() or len({*named.values()}) < len(named):
            raise InputError(
                f"{where} has {_keys(data)}: name its parts train, val and test, the first at least, each once"
            )
        return _parted({part: (data[key], f"{where}[{key!r}]") for key, part in named.items() if part})
    if isinstance(data, Mapping):
        if not data:
            raise InputError(f"{where} has no keys: name arrays after the model's inputs, or images and labels")
        if not all(isinstance(key, str) for key in data):
            raise InputError(f"{where} has {_keys(data)}: name arrays after the model's inputs, or images and labels")
        return Held("arrays", named_items(data, where))
    if isinstance(data, tuple) and len(data) in (2, 3) and all(is_program(one) or is_structure(one) for one in data):
        return _parted(
            {part: (samples, f"{where}[{i}]") for i, (part, samples) in enumerate(zip(_PARTS, data, strict=False))}
        )
    return _parted({"all": (tuple(data) if isinstance(data, list) and not is_program(data) else data, where)})


def _parted(given: Mapping[str, tuple[Any, str]]) -> Held:
    """Sort out the parts of a data set, by name; what cannot be read as it is needed is read now."""
    parts, names, notes = {}, [], []
    is_divided = {"train", "validation"} <= given.keys()
    for part, (samples, where) in given.items():
        source = called(samples, where)
        names.append(program_name(source) if is_program(source) else "arrays")
        items = _items(source, where)
        if items.is_stream and not is_divided:
            notes.append(f"{names[-1]} was read into memory, as it has to be divided")
            items = read_now(items)
        elif items.is_stream and part != "train" and not items.is_ordered:
            notes.append(f"the {part} samples come shuffled: they were read into memory once")
            items = read_now(items)
        parts[part] = items
    prepared = {_is_prepared(items) for items in parts.values()}
    if len(prepared) > 1:
        where = ", ".join(items.where for items in parts.values())
        raise InputError(
            f"{where}: mixes raw arrays with floating-point numbers from torch or another program, which are "
            "preprocessed differently: give one kind"
        )
    return Held(names[0], parts, prepared.pop(), tuple(notes))


def _items(samples: Any, where: str) -> Items:
    if is_program(samples):
        return program_items(samples, where)
    if isinstance(samples, str | bytes | int | float | None):
        raise InputError(
            f"{where} is {type(samples).__name__}: give arrays, a tuple or a mapping of them, a torch Dataset, a "
            "DataLoader, or an iterable of batches"
        )
    return _single(samples, where)


def _single(samples: Any, where: str, files: tuple[Path, ...] = ()) -> Items:
    return Items(lambda: [samples], where, files=files)


def _is_prepared(items: Items) -> bool:
    if not items.from_program:
        return False
    item = first_item(items)
    if item is None:
        raise InputError(f"{items.where}: yields no samples: give at least a few a class")
    if isinstance(item, tuple | list) and len(item) == 2:
        item = item[0]  # the other one is labels, in most cases
    if isinstance(item, Mapping):
        item = [value for key, value in item.items() if key not in LABELS]
    return any(map(_is_floating, item if isinstance(item, tuple | list) else [item]))


def _is_floating(value: Any) -> bool:
    try:
        return to_array(value, "").dtype.kind == "f"
    except InputError:
        return False


def _keys(data: Mapping[str, Any]) -> str:
    return f"the keys {', '.join(map(repr, data))}" if data else "no keys"
