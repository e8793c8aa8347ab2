"""What the original computes on calibration samples: whole tensors, and targets at some positions."""

import math
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from natonnx.supernet import Supernet
from natonnx.supernet.linear import rows_of
from natonnx.supernet.module import as_channels_last
from natonnx.supernet.ops.placement import moved

__all__ = ["MOST_KEPT", "Original", "Part", "Sampled", "Target"]

MOST_KEPT = 1 << 30
"""Bytes that are kept: a gigabyte."""
_PIECE = 50
"""Samples that run at once where tensors of all of them are not held."""


class Part(NamedTuple):
    """Samples of a batch that run at once.

    Attributes:
        batch: Which.
        inputs: By name.
        first: The first of its samples.
        size: How many; None for all of the batch.
    """

    batch: int
    inputs: dict[str, Tensor]
    first: int
    size: int | None


class Target(NamedTuple):
    """A tensor that an operator of α should make.

    Attributes:
        tensor: Its name in the original.
        convolution: Whether its channels are axis 1, rather than the last.
    """

    tensor: str
    convolution: bool


class Sampled(NamedTuple):
    """A tensor at some positions.

    Attributes:
        rows: Values [positions, channels].
        chosen: Which positions, as `rows_of` counts them.
        shape: Of the whole tensor.
    """

    rows: Tensor
    chosen: Tensor
    shape: torch.Size

    def within(self, part: Part) -> "Sampled":
        """Return what a part of the batch has of it: samples must be the first axis where that is not all."""
        if part.size is None:
            return self
        each = math.prod(self.shape) // (self.shape[0] * self.rows.shape[1])
        begin, end = _bounds(self.chosen, part.first * each, (part.first + part.size) * each)
        chosen = self.chosen[begin:end] - part.first * each
        return Sampled(self.rows[begin:end], chosen, torch.Size((part.size, *self.shape[1:])))


class Original:
    """The original on calibration samples; what has been asked for is kept, within limits.

    Args:
        supernet: The original; its weights stay as they are.
        batches: Inputs by name, in the model's own layout, a mapping a batch.
        rows: Positions of a tensor that are looked at, of all samples together.
        seed: Of their choice.
        held: Samples of which whole tensors may be held at once. Of more, parts of batches run one after the other, and
            no whole tensor is kept; unless a tensor's first axis does not count samples.
        most_bytes: What may be kept.

    Attributes:
        samples: How many there are.
        parts: What runs at once: a batch each, where whole tensors are held.
        is_held: Whether they are.

    Raises:
        ValueError: If there is no batch.
    """

    def __init__(
        self,
        supernet: Supernet,
        batches: Sequence[Mapping[str, Tensor]],
        rows: int,
        seed: int,
        *,
        held: int = sys.maxsize,
        most_bytes: int = MOST_KEPT,
    ) -> None:
        if not batches:
            raise ValueError("a refit takes calibration samples")
        self._supernet, self._seed, self._most = supernet, seed, most_bytes
        self._counts = [max(1, supernet.network.batch_axes.count(batch)) for batch in batches]
        self.samples = sum(self._counts)
        self.is_held = self.samples <= held or not self._is_divisible()
        piece = None if self.is_held else max(1, min(held, _PIECE))
        self.parts = [
            part for i, batch in enumerate(batches) for part in self._divided(i, as_channels_last(batch), piece)
        ]
        self._rows = [-(-rows * count // self.samples) for count in self._counts]
        self._chosen: dict[tuple[int, int], Tensor] = {}
        self._tensors: dict[str, list[Tensor]] = {}
        self._targets: dict[Target, list[Sampled]] = {}

    def _is_divisible(self) -> bool:
        """Return whether samples are the first axis of whatever depends on them, and the file leaves open how many."""
        network, supernet = self._supernet.network, self._supernet
        symbols, constants = network.batch_axes.symbols(network.shapes), supernet.constants()
        made = (name for step in supernet.plan(network.architecture).steps for name in step.outputs)
        shapes = (network.shapes.get(name, ()) for name in made if name and name not in constants)
        axes = network.batch_axes.inputs.values()
        return set(axes) == {0} and all(shape and shape[0] in symbols for shape in shapes)

    def _divided(self, batch: int, inputs: dict[str, Tensor], piece: int | None) -> Iterator[Part]:
        if piece is None:
            yield Part(batch, inputs, 0, None)
            return
        for first in range(0, count := self._counts[batch], piece):
            last = min(count, first + piece)
            yield Part(batch, {name: value[first:last] for name, value in inputs.items()}, first, last - first)

    def fetch(
        self, tensors: Iterable[str], targets: Iterable[Target]
    ) -> tuple[Mapping[str, list[Tensor]], Mapping[Target, list[Sampled]]]:
        """Return whole tensors, a value a part, where they are held, and targets, a value a batch.

        The original runs once for those that are not kept.
        """
        wanted, aims = dict.fromkeys(tensors if self.is_held else ()), dict.fromkeys(targets)
        if not (wanted.keys() <= self._tensors.keys() and aims.keys() <= self._targets.keys()):
            self._compute(wanted, aims)
        return {name: self._tensors[name] for name in wanted}, {aim: self._targets[aim] for aim in aims}

    def run(self, part: Part, wanted: Collection[str]) -> dict[str, Tensor]:
        """Run the original, in evaluation mode, until all that is wanted of a part is made; return that too."""
        values = self._supernet.constants() | part.inputs
        missing = set(wanted) - values.keys()
        for step in self._supernet.plan(self._supernet.network.architecture).steps:
            if not missing:
                break
            values.update(step.call(values, momentum=0.0))
            missing.difference_update(step.outputs)
            for name in step.spent:
                if name not in wanted:
                    values.pop(name, None)
        return values

    def _compute(self, wanted: Iterable[str], aims: Iterable[Target]) -> None:
        kept = [*(part for parts in self._tensors.values() for part in parts)]
        kept += [part.rows for parts in self._targets.values() for part in parts]
        if sum(value.numel() * value.element_size() for value in kept) > self._most:
            self._tensors.clear()
            self._targets.clear()
        names = [name for name in wanted if name not in self._tensors]
        fresh = [aim for aim in aims if aim not in self._targets]
        self._tensors.update({name: [] for name in names})
        found: dict[Target, list[list[Sampled]]] = {aim: [[] for _ in self._counts] for aim in fresh}
        for part in self.parts:
            values = self.run(part, {*names, *(aim.tensor for aim in fresh)})
            for name in names:
                self._tensors[name].append(values[name])
            for aim in fresh:
                found[aim][part.batch].append(self._sampled(part, values[aim.tensor], aim))
        for aim, batches in found.items():
            self._targets[aim] = [_joined(parts) for parts in batches]

    def _sampled(self, part: Part, value: Tensor, aim: Target) -> Sampled:
        """Return the rows of a part, with the positions and the shape of the whole batch."""
        rows, shape = rows_of(value, convolution=aim.convolution), value.shape
        if part.size is None:
            chosen = self._choose(part.batch, len(rows), rows.device)
            return Sampled(rows[chosen], chosen, shape)
        each, total = len(rows) // part.size, self._counts[part.batch]
        chosen = self._choose(part.batch, each * total, rows.device)
        begin, end = _bounds(chosen, part.first * each, (part.first + part.size) * each)
        return Sampled(rows[chosen[begin:end] - part.first * each], chosen, torch.Size((total, *shape[1:])))

    def _choose(self, batch: int, count: int, device: torch.device) -> Tensor:
        """Return the positions that are looked at in a batch, of so many: the same for all tensors of the size."""
        found = self._chosen.get((batch, count))
        if found is None:
            found = torch.arange(count)
            if count > self._rows[batch]:
                generator = torch.Generator().manual_seed(self._seed * 1_000_003 + batch)
                found = torch.randperm(count, generator=generator)[: self._rows[batch]].sort().values
            found = self._chosen[batch, count] = moved(found, device)
        return found


def _joined(parts: Sequence[Sampled]) -> Sampled:
    return parts[0] if len(parts) == 1 else parts[0]._replace(rows=torch.cat([part.rows for part in parts]))


def _bounds(rising: Tensor, least: int, end: int) -> tuple[int, int]:
    """Return where the numbers from the least on begin, and where those from another one on do."""
    first, last = torch.searchsorted(rising, rising.new_tensor([least, end])).tolist()
    return first, last
