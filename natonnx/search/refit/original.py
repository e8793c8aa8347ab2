"""What the original computes on calibration samples: whole tensors, and targets at some positions."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from natonnx.supernet import Supernet
from natonnx.supernet.linear import rows_of
from natonnx.supernet.module import as_channels_last
from natonnx.supernet.ops.placement import moved
from natonnx.supernet.plan import Step, freeing

__all__ = ["MOST_KEPT", "Original", "Sampled", "Target"]

MOST_KEPT = 1 << 30
"""Bytes that are kept: a gigabyte."""


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

    def thinned(self, share: float) -> "Sampled":
        """Return such a share of the positions, spread evenly."""
        count = math.ceil(share * len(self.chosen))
        index = torch.arange(count, device=self.chosen.device) * len(self.chosen) // max(1, count)
        return self._replace(rows=self.rows.index_select(0, index), chosen=self.chosen.index_select(0, index))


class Original:
    """The original on calibration samples; what has been asked for is kept, within limits.

    What else is asked for is computed from there.

    Args:
        supernet: The original; its weights stay as they are.
        batches: Inputs by name, in the model's own layout, a mapping a batch.
        rows: Positions of a tensor that are looked at, of all samples together.
        seed: Of their choice.
        expected: Targets that will be asked for: they are kept as soon as the original runs.
        most_bytes: What may be kept until something else is asked for.

    Raises:
        ValueError: If there is no batch.
    """

    def __init__(
        self,
        supernet: Supernet,
        batches: Sequence[Mapping[str, Tensor]],
        rows: int,
        seed: int,
        expected: Iterable[Target] = (),
        most_bytes: int = MOST_KEPT,
    ) -> None:
        if not batches:
            raise ValueError("a refit takes calibration samples")
        self._supernet, self._seed, self._most = supernet, seed, most_bytes
        self._batches = [as_channels_last(batch) for batch in batches]
        counts = [max(1, supernet.network.batch_axes.count(batch)) for batch in batches]
        self.samples = sum(counts)
        self._rows = [-(-rows * count // self.samples) for count in counts]
        self._expected = tuple(expected)
        self._chosen: dict[tuple[int, int], Tensor] = {}
        self._tensors: dict[str, list[Tensor]] = {}
        self._targets: dict[Target, list[Sampled]] = {}

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def fetch(
        self, tensors: Iterable[str], targets: Iterable[Target]
    ) -> tuple[Mapping[str, list[Tensor]], Mapping[Target, list[Sampled]]]:
        """Return whole tensors and targets, a value a batch; the original runs once for those that are not kept."""
        wanted, aims = dict.fromkeys(tensors), dict.fromkeys(targets)
        if not (wanted.keys() <= self._tensors.keys() and aims.keys() <= self._targets.keys()):
            self._compute(wanted, aims)
        return {name: self._tensors[name] for name in wanted}, {aim: self._targets[aim] for aim in aims}

    def _compute(self, wanted: Iterable[str], aims: Iterable[Target]) -> None:
        kept = [*(part for parts in self._tensors.values() for part in parts)]
        kept += [part.rows for parts in self._targets.values() for part in parts]
        if sum(value.numel() * value.element_size() for value in kept) > self._most:
            self._tensors.clear()
            self._targets.clear()
        names = [name for name in wanted if name not in self._tensors]
        fresh = [aim for aim in dict.fromkeys((*aims, *self._expected)) if aim not in self._targets]
        known = dict(self._tensors)
        steps = self._steps(names, {*names, *(aim.tensor for aim in fresh)}, known.keys())
        self._tensors.update({name: [] for name in names})
        self._targets.update({aim: [] for aim in fresh})
        sampled = {aim.tensor: [other for other in fresh if other.tensor == aim.tensor] for aim in fresh}
        for i, batch in enumerate(self._batches):
            values = self._supernet.constants() | batch | {name: parts[i] for name, parts in known.items()}

            def keep(made: Mapping[str, Tensor], i: int = i) -> None:
                for name in made:
                    for aim in sampled.get(name, ()):
                        rows = rows_of(made[name], convolution=aim.convolution)
                        chosen = self._choose(i, len(rows), rows.device)
                        self._targets[aim].append(Sampled(rows[chosen], chosen, made[name].shape))

            keep({name: values[name] for name in sampled if name in values})
            for step in steps:
                made = step.call(values, momentum=0.0)
                keep({name: value for name, value in made.items() if name not in known})
                values.update(made)
                for name in step.spent:
                    values.pop(name, None)
            for name in names:
                self._tensors[name].append(values[name])

    def _steps(self, kept: Collection[str], wanted: Collection[str], known: Collection[str]) -> tuple[Step, ...]:
        """Return the original's steps that make what is wanted, others being known; some of that is kept."""
        needed, steps = set(wanted) - set(known), list[Step]()
        for step in reversed(self._supernet.plan(self._supernet.network.architecture).steps):
            if not needed.isdisjoint(step.outputs):
                steps.append(step)
                needed.update(name for name in step.inputs if name not in known)
        return freeing(steps[::-1], {*kept, *self._supernet.constants()})

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
