"""Put samples aside that nothing is selected on."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from natonnx.data.batches import ArrayBatches, Batch, Batches, StreamBatches, take
from natonnx.data.dataset import Parts
from natonnx.data.divide import draw
from natonnx.data.indexed import IndexedBatches

__all__ = ["put_aside"]


def put_aside(parts: Parts, seed: int) -> Parts:
    """Make half of the validation samples the test part where there is none, and note it.

    Args:
        parts: The data.
        seed: Of the division; within each class where there are labels and the samples are in memory.
    """
    if parts.test is not None:
        return parts
    note = f"has no test part: half of the validation samples, drawn by chance (seed {seed}), are put aside as one"
    test, validation = _halves(parts.validation, seed)
    return replace(parts, validation=validation, test=test, notes=(*parts.notes, note))


def _halves(split: Batches, seed: int) -> tuple[Batches, Batches]:
    if isinstance(split, ArrayBatches | IndexedBatches):
        return draw(split, 0.5, np.random.default_rng(seed))
    assert isinstance(split, StreamBatches), "samples in memory, or read by position, or in their own order"
    return _half(split, seed, heads=True), _half(split, seed, heads=False)


def _half(split: StreamBatches, seed: int, *, heads: bool) -> StreamBatches:
    """Return the samples of a stream for which a coin shows heads, or the others; its order is always the same."""

    def read() -> Iterator[Batch]:
        coins = np.random.default_rng(seed)
        for batch in split.open():
            index = np.flatnonzero((coins.random(batch.size) < 0.5) == heads)
            if len(index):
                targets = None if batch.targets is None else batch.targets[index]
                yield Batch(take(batch.inputs, split.axes, index), targets, len(index))

    count = None
    if split.samples is not None:
        count = int(((np.random.default_rng(seed).random(split.samples) < 0.5) == heads).sum())
    return StreamBatches(read, split.axes, split.has_targets, count, split.is_ordered)
