"""What a source yields: samples, or batches of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np

from natonnx.data.batches import Array, Positions
from natonnx.data.indexed import Reader

__all__ = ["IndexedItems", "Items", "Renamed", "is_structure", "spread"]


@dataclass(frozen=True, eq=False)
class Items:
    """Samples for one purpose, as a source yields them.

    An item is an array, for a model of one input; a mapping by input name, with ``labels`` where there are any; a tuple
    of arrays in the order of the model's inputs, labels last where there are any; or a pair of one of these and labels.

    Attributes:
        open: Begins to read them anew.
        where: The source, for messages.
        batched: Whether each item is a batch, rather than a sample.
        in_front: Whether batches have their samples along the first axis, wherever the model has them; else they are in
            the model's own layout.
        is_stream: Whether they are read from somewhere each time, rather than in memory.
        is_ordered: Whether they come in the same order each time, as far as one can tell.
        from_program: Whether a program yields them, which may have transformed them; else they are raw.
        samples: How many samples there are, where that is known before they were read.
        files: That they are read from, where they are files of arrays.
        by_index: What has a length and gives each sample by its index, if anything; it need not be read to the end.
    """

    open: Callable[[], Iterable[Any]]
    where: str
    batched: bool = True
    in_front: bool = False
    is_stream: bool = False
    is_ordered: bool = True
    from_program: bool = False
    samples: int | None = None
    files: tuple[Path, ...] = ()
    by_index: Any = None


@dataclass(frozen=True, eq=False)
class IndexedItems:
    """Samples for one purpose that are read by position.

    Attributes:
        reader: Reads them.
        count: How many there are.
        where: The source, for messages.
        labels: One entry a sample, where they are known without reading samples.
        has_labels: Whether samples have labels.
        is_read: Whether all samples were read, and are kept.
        own_layout: Whether the source has named the model's inputs, and so means the model's layout.
    """

    reader: Reader
    count: int
    where: str
    labels: Array | None = None
    has_labels: bool = False
    is_read: bool = False
    own_layout: bool = False


def spread(count: int, most: int) -> Positions:
    """Return as many positions of so many samples at most, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)


class Renamed(Mapping[str, Any]):
    """Some arrays of a mapping under other names.

    Attributes:
        keys_by_name: The key of each in the mapping.
    """

    def __init__(self, arrays: Mapping[str, Any], keys_by_name: Mapping[str, str]) -> None:
        self._arrays = arrays
        self.keys_by_name = keys_by_name

    def __getitem__(self, name: str) -> Any:
        return self._arrays[self.keys_by_name[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys_by_name)

    def __len__(self) -> int:
        return len(self.keys_by_name)


def is_structure(item: Any) -> bool:
    """Return whether something is several arrays, not one: a mapping; a tuple or a list, unless it is of numbers.

    A list of lists of numbers is one array, too; a tuple of such lists is several.
    """
    if isinstance(item, Mapping):
        return True
    if not isinstance(item, tuple | list) or not item:
        return False
    element = item[0]
    while isinstance(item, list) and isinstance(element, tuple | list) and element:
        element = element[0]
    is_plain: tuple[type[Any], ...] = (
        (Number, str, bytes) if isinstance(item, tuple) else (Number, str, bytes, tuple, list)
    )
    return not isinstance(element, is_plain)
