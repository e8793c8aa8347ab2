"""Samples that are read when they are needed, fitted to the model batch by batch."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from natonnx.data.batches import Batch, StreamBatches
from natonnx.data.collect import collect
from natonnx.data.conform import conform
from natonnx.data.dataset import Preprocessing
from natonnx.data.items import Items
from natonnx.data.labels import Targets
from natonnx.data.signature import Signature
from natonnx.errors import InputError

__all__ = ["stream"]

_CHUNK = 64  # samples that are fitted at once where a source yields them one by one


def stream(items: Items, signature: Signature, preprocessing: Preprocessing, targets: Targets) -> StreamBatches:
    """Fit what a source yields to a model, as it is read. The first batch is read now, to see whether it fits.

    Raises:
        InputError: If it does not, or there is none; also later, where another batch is bad.
    """

    def fitted() -> Iterator[Batch]:
        for chunk in _chunks(items):
            raw = collect(chunk, items, signature, targets)
            part = conform(raw.arrays, signature, preprocessing, items.where, own_layout=raw.own_layout)
            yield Batch(part.inputs, None if targets == "none" else part.targets, part.samples)

    first = next(fitted(), None)
    if first is None:
        raise InputError(f"{items.where}: yields no samples: give at least a few a class")
    return StreamBatches(fitted, signature.axes, first.targets is not None, items.samples, items.is_ordered)


def _chunks(items: Items) -> Iterable[list[Any]]:
    iterator = iter(items.open())
    for first in iterator:
        yield [first] if items.batched else list(chain([first], islice(iterator, _CHUNK - 1)))
