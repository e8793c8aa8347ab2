"""Samples that are read by position when they are needed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from natonnx.data.batches import WHOLE, Array, ArrayBatches, Axes, Batch, Positions, Share, ordered, shuffled
from natonnx.errors import InputError, SampleError

if TYPE_CHECKING:
    import torch

__all__ = ["IndexedBatches", "Reader"]

_PIECE = 64
"""Samples that are read at once where many are put into memory."""


class Reader(Protocol):
    """A source that gives samples by their positions, as often as it is asked."""

    def passes(self, order: Iterable[Positions]) -> Iterator[ArrayBatches]:
        """Yield raw samples for each array of positions, in this order; the next ones may be read meanwhile."""

    def keep(self, positions: Positions, size: int) -> int:
        """Keep samples in memory once they are read, the first ones as far as they fit.

        Args:
            positions: Which ones.
            size: Bytes that they may take.

        Returns:
            How many will be kept.
        """

    @property
    def kept_bytes(self) -> int:
        """What samples take in memory, or will take once they are read."""

    def stamp(self) -> Iterator[bytes]:
        """Yield what differs where the source does, without reading all of it."""


@dataclass(frozen=True, eq=False)
class IndexedBatches:
    """Samples that a reader reads by position; a split of them is a list of positions.

    Attributes:
        reader: Reads raw samples.
        fit: Makes them a model's inputs.
        axes: The batch axis of each input.
        index: Positions in the reader [n].
        has_targets: Whether there are targets.
        targets: [n, ...], where they are known without reading samples.
        positions: Where each sample stood in what they were taken from [n]; None where they are all of it, in order.
        identity: What `fit` goes by, in words.
    """

    reader: Reader
    fit: Callable[[ArrayBatches], ArrayBatches]
    axes: Axes
    index: Positions
    has_targets: bool
    targets: Array | None = None
    positions: Positions | None = None
    identity: str = ""

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self.index)

    def count(self) -> int:
        """See `Batches.count`."""
        return self.samples

    def batches(
        self, size: int, generator: "torch.Generator | None" = None, *, start: int = 0, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """See `Batches.batches`."""
        return self._read(ordered(self.samples, size, generator, start, share))

    def _read(self, order: Iterable[Positions]) -> Iterator[Batch]:
        asked: list[Positions] = []

        def positions() -> Iterator[Positions]:
            for index in order:
                asked.append(index)
                yield self.index[index]

        try:
            for raw in self.reader.passes(positions()):
                index, made = asked.pop(0), self.fit(raw)
                targets = made.targets if self.targets is None else self.targets[index]
                yield Batch(made.inputs, targets if self.has_targets else None, len(index))
        except InputError as error:
            raise SampleError(str(error)) from error

    def all_targets(self) -> Array | None:
        """See `Batches.all_targets`."""
        if not self.has_targets or self.targets is not None:
            return self.targets
        read = [batch.targets for batch in self.batches(_PIECE) if batch.targets is not None]
        return np.concatenate(read)

    def sample(self, count: int, generator: "torch.Generator | None" = None) -> ArrayBatches:
        """See `Batches.sample`."""
        return self.subset(count, generator).in_memory()

    def subset(self, count: int, generator: "torch.Generator | None" = None) -> "IndexedBatches":
        """See `Batches.subset`."""
        order = np.arange(self.samples) if generator is None else shuffled(self.samples, generator)
        return self.take(order[:count])

    def take(self, index: Positions) -> "IndexedBatches":
        """Choose samples by index; none is read."""
        return replace(
            self,
            index=self.index[index],
            targets=None if self.targets is None else self.targets[index],
            positions=index if self.positions is None else self.positions[index],
        )

    def unlabelled(self) -> "IndexedBatches":
        """Return the samples without their targets."""
        return replace(self, has_targets=False, targets=None)

    def in_memory(self) -> ArrayBatches:
        """Read all samples into memory."""
        count, inputs, targets = self.samples, dict[str, Array](), self.targets
        at = 0
        for batch in self.batches(_PIECE):
            for name, value in batch.inputs.items():
                axis = self.axes.get(name)
                if axis is None:
                    inputs[name] = value
                    continue
                if name not in inputs:
                    inputs[name] = np.empty((*value.shape[:axis], count, *value.shape[axis + 1 :]), value.dtype)
                inputs[name][(slice(None),) * axis + (slice(at, at + batch.size),)] = value
            if batch.targets is not None and self.targets is None:
                targets = (
                    np.empty((count, *batch.targets.shape[1:]), batch.targets.dtype) if targets is None else targets
                )
                targets[at : at + batch.size] = batch.targets
            at += batch.size
        return ArrayBatches(inputs, self.axes, targets if self.has_targets else None, self.positions)

    @cached_property
    def sample_bytes(self) -> int:
        """Bytes of one sample as a model's inputs."""
        return self.sample(1).sample_bytes if self.samples else 0

    def stamp(self) -> Iterator[bytes]:
        """Yield what differs where the samples do, without reading all of them."""
        yield self.identity.encode(errors="surrogateescape")
        yield self.index.tobytes()
        if self.targets is not None:
            yield self.targets.tobytes()
        yield from self.reader.stamp()
