"""What data is: samples for one purpose, read batch by batch, each batch a mapping of input names to arrays."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from natonnx.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = [
    "WHOLE",
    "ArrayBatches",
    "Batch",
    "Batches",
    "Positions",
    "Share",
    "StreamBatches",
    "concatenate",
    "ordered",
    "sample_keys",
    "shuffled",
    "take",
]

_MOST_KEPT, _FEWEST_KEPT, _KEPT_BYTES = 4096, 256, 1 << 28
"""Samples of a stream that are drawn from: most, fewest, and what they may take in between."""

Array = npt.NDArray[Any]
Positions = npt.NDArray[np.int64]
Axes = Mapping[str, int | None]
"""The axis of each input that counts samples; None where it has none, and its value holds for every sample."""
Share = tuple[int, int]
"""A process's position among several, from 0 on, and how many there are: of a batch, that of as many like parts."""
WHOLE: Share = (0, 1)


@dataclass(frozen=True, eq=False)
class Batch:
    """Some samples.

    Attributes:
        inputs: Arrays by input name, in the model's own layout.
        targets: What the outputs should be [n, ...], such as class indices [n]; None where that is not known.
        size: How many samples there are.
    """

    inputs: Mapping[str, Array]
    targets: Array | None
    size: int


class Batches(Protocol):
    """Samples that are used for one purpose. They may be read any number of times."""

    @property
    def axes(self) -> Axes:
        """The axis of each input that counts samples."""

    @property
    def samples(self) -> int | None:
        """How many there are; None where that is not known before they were read."""

    @property
    def has_targets(self) -> bool:
        """Whether the batches have targets."""

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample as a model's inputs; 0 where that is not known."""

    def count(self) -> int:
        """Return how many samples there are; where that is not known they are read, once."""

    def batches(
        self, size: int, generator: "torch.Generator | None" = None, *, start: int = 0, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """Read all samples once. The order is drawn now, not as the first batch is read.

        Args:
            size: Samples a batch; the last one may have fewer.
            generator: Shuffles them, where they can be; in their own order where None. A last batch of a single sample
                is left out then, as a minibatch's statistics need two.
            start: Batches to skip; they are not read where samples are read by index.
            share: Of each batch, the part of one of several processes; all have as many batches, so that a batch of
                fewer samples than processes is empty for some.
        """

    def sample(self, count: int, generator: "torch.Generator | None" = None) -> "ArrayBatches":
        """Return some of the samples, in memory: at random where there is a generator, else the first ones."""

    def subset(self, count: int, generator: "torch.Generator | None" = None) -> "Batches":
        """Return the samples that `sample` does, not read yet where they are read by position."""

    def all_targets(self) -> Array | None:
        """Return the targets of all samples, in their own order; None where there are none."""


@dataclass(frozen=True, eq=False)
class ArrayBatches:
    """Samples in memory.

    Attributes:
        inputs: Arrays by input name, all samples along their batch axes.
        axes: The batch axis of each input.
        targets: [n, ...], or None.
        positions: Where each sample stood in what they were taken from [n]; None where they are all of it, in order.
    """

    inputs: Mapping[str, Array]
    axes: Axes
    targets: Array | None = None
    positions: npt.NDArray[np.int64] | None = None

    @property
    def samples(self) -> int:
        """How many there are."""
        return count_samples(self.inputs, self.axes, self.targets)

    @property
    def has_targets(self) -> bool:
        """Whether there are targets."""
        return self.targets is not None

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        total = sum(value.nbytes for name, value in self.inputs.items() if self.axes.get(name) is not None)
        return total // max(1, self.samples)

    def count(self) -> int:
        """See `Batches.count`."""
        return self.samples

    def batches(
        self, size: int, generator: "torch.Generator | None" = None, *, start: int = 0, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """See `Batches.batches`."""
        return map(self._batch, ordered(self.samples, size, generator, start, share))

    def _batch(self, index: npt.NDArray[np.int64]) -> Batch:
        targets = None if self.targets is None else self.targets[index]
        return Batch(take(self.inputs, self.axes, index), targets, len(index))

    def sample(self, count: int, generator: "torch.Generator | None" = None) -> "ArrayBatches":
        """See `Batches.sample`."""
        total = self.samples
        order = np.arange(total) if generator is None else shuffled(total, generator)
        return self.take(order[:count])

    def subset(self, count: int, generator: "torch.Generator | None" = None) -> "ArrayBatches":
        """See `Batches.subset`."""
        return self.sample(count, generator)

    def all_targets(self) -> Array | None:
        """See `Batches.all_targets`."""
        return self.targets

    def take(self, index: npt.NDArray[np.int64]) -> "ArrayBatches":
        """Choose samples by index."""
        targets = None if self.targets is None else self.targets[index]
        positions = index if self.positions is None else self.positions[index]
        return ArrayBatches(take(self.inputs, self.axes, index), self.axes, targets, positions)

    def unlabelled(self) -> "ArrayBatches":
        """Return the samples without their targets."""
        return replace(self, targets=None)

    def repeat(self, count: int) -> "ArrayBatches":
        """So many samples: these, over and over where they are fewer."""
        return self.take(np.resize(np.arange(self.samples), count))


@dataclass(frozen=True, eq=False)
class StreamBatches:
    """Samples that are read when they are needed, such as those of a torch `DataLoader`.

    Attributes:
        open: Begins to read them anew; its batches may be of any size.
        axes: The batch axis of each input.
        has_targets: Whether the batches have targets.
        samples: How many there are, where that is known.
        is_ordered: Whether they come in the same order each time, as far as one can tell.
        sample_bytes: See `Batches.sample_bytes`.
    """

    open: Callable[[], Iterable[Batch]]
    axes: Axes
    has_targets: bool
    samples: int | None = None
    is_ordered: bool = True
    sample_bytes: int = 0

    def count(self) -> int:
        """See `Batches.count`."""
        return self._read[1] if self.samples is None else self.samples

    def batches(
        self, size: int, generator: "torch.Generator | None" = None, *, start: int = 0, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """See `Batches.batches`; the order is the source's own, which may shuffle by itself."""
        for batch in islice(self._batches(size, generator), start, None):
            yield _part(batch, self.axes, *bounds(batch.size, share))

    def _batches(self, size: int, generator: "torch.Generator | None") -> Iterator[Batch]:
        waiting: list[Batch] = []
        for batch in self.open():
            waiting.append(batch)
            if (held := sum(part.size for part in waiting)) < size:
                continue
            whole = concatenate(waiting, self.axes)
            rest = held - held % size
            for start in range(0, rest, size):
                yield _part(whole, self.axes, start, start + size)
            waiting = [_part(whole, self.axes, rest, held)] if held > rest else []
        if waiting:
            last = concatenate(waiting, self.axes)
            if generator is None or last.size > 1:
                yield last

    def sample(self, count: int, generator: "torch.Generator | None" = None) -> ArrayBatches:
        """See `Batches.sample`.

        Of a source that shuffles these are the first ones. Another one is read to its end, once: later draws are from
        the same samples, as many as `_KEPT_BYTES` hold.
        """
        if generator is not None and self.is_ordered:
            return self._drawn.sample(count, generator)
        for batch in self.batches(count):
            return ArrayBatches(batch.inputs, self.axes, batch.targets)
        raise InputError("the data yields no samples: give at least a few")

    def subset(self, count: int, generator: "torch.Generator | None" = None) -> ArrayBatches:
        """See `Batches.subset`."""
        return self.sample(count, generator)

    def all_targets(self) -> Array | None:
        """See `Batches.all_targets`; they are read."""
        read = [batch.targets for batch in self.open() if batch.targets is not None]
        return np.concatenate(read) if read else None

    @cached_property
    def _drawn(self) -> ArrayBatches:
        kept, _ = self._read
        if not kept:
            raise InputError("the data yields no samples: give at least a few")
        whole = concatenate(kept, self.axes)
        return ArrayBatches(whole.inputs, self.axes, whole.targets)

    @cached_property
    def _read(self) -> tuple[list[Batch], int]:
        """Read all of it once: samples drawn, each as likely (Vitter 1985, algorithm R), and how many there are."""
        rng, kept, most, read = np.random.default_rng(0), list[Batch](), 0, 0
        for batch in self.open():
            size = sum(value.nbytes for value in batch.inputs.values()) // max(1, batch.size)
            most = most or min(_MOST_KEPT, max(_FEWEST_KEPT, _KEPT_BYTES // max(1, size)))
            for i in range(batch.size):
                place = read if read < most else int(rng.integers(read + 1))
                read += 1
                if place < most:
                    kept[place : place + 1] = [_part(batch, self.axes, i, i + 1)]
        return kept, read


def ordered(
    count: int, size: int, generator: "torch.Generator | None", start: int = 0, share: Share = WHOLE
) -> Iterator[npt.NDArray[np.int64]]:
    """Divide positions into batches; see `Batches.batches` for the arguments. The order is drawn now."""
    order = np.arange(count) if generator is None else shuffled(count, generator)
    cut = (order[first : first + size] for first in range(start * size, count, size))
    return (index[slice(*bounds(len(index), share))] for index in cut if generator is None or len(index) > 1)


def bounds(count: int, share: Share) -> tuple[int, int]:
    """Return where a process's part of so many samples begins and ends."""
    position, parts = share
    return position * count // parts, (position + 1) * count // parts


def sample_keys(split: Batches, size: int = 256) -> Iterator[int]:
    """Yield a number for each sample, the same for equal inputs; they are read so many at a time."""
    for batch in split.batches(size):
        counted = [(value, axis) for name, value in batch.inputs.items() if (axis := split.axes[name]) is not None]
        for i in range(batch.size):
            yield hash(tuple(np.take(value, i, axis).tobytes() for value, axis in counted))


def take(inputs: Mapping[str, Array], axes: Axes, index: npt.NDArray[np.int64]) -> dict[str, Array]:
    """Choose samples by index along the batch axes; what has no such axis is kept."""
    return {
        name: value if (axis := axes.get(name)) is None else np.take(value, index, axis)
        for name, value in inputs.items()
    }


def concatenate(batches: Iterable[Batch], axes: Axes) -> Batch:
    """Join several batches; what has no batch axis is the first one's.

    Raises:
        InputError: If they differ in shape.
    """
    parts = list(batches)
    if len(parts) == 1:
        return parts[0]
    targets = [part.targets for part in parts]
    try:
        inputs = {
            name: value if (axis := axes.get(name)) is None else np.concatenate([p.inputs[name] for p in parts], axis)
            for name, value in parts[0].inputs.items()
        }
        joined = None if any(t is None for t in targets) else np.concatenate([t for t in targets if t is not None])
    except ValueError:
        raise InputError("batches of the data differ in shape: make them of one size") from None
    return Batch(inputs, joined, sum(part.size for part in parts))


def count_samples(inputs: Mapping[str, Array], axes: Axes, targets: Array | None = None) -> int:
    """Return how many samples arrays hold.

    Raises:
        InputError: If they hold different numbers, or none says how many.
    """
    counts = {name: value.shape[axis] for name, value in inputs.items() if (axis := axes.get(name)) is not None}
    if targets is not None:
        counts["labels"] = len(targets)
    if len(set(counts.values())) != 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items()) or "no input has a batch axis"
        raise InputError(f"the data's arrays hold different numbers of samples ({told}): give each as many")
    return int(next(iter(counts.values())))


def _part(batch: Batch, axes: Axes, start: int, end: int) -> Batch:
    if (start, end) == (0, batch.size):
        return batch
    index = np.arange(start, end)
    targets = None if batch.targets is None else batch.targets[index]
    return Batch(take(batch.inputs, axes, index), targets, len(index))


def shuffled(count: int, generator: "torch.Generator") -> npt.NDArray[np.int64]:
    """Return so many positions in a random order."""
    import torch

    order: npt.NDArray[np.int64] = torch.randperm(count, generator=generator).numpy()
    return order
