"""The original's tensors on calibration samples, at some positions each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from natonnx.supernet import Supernet
from natonnx.supernet.linear import rows_of

__all__ = ["Original", "Sampled"]

_CACHED = 1 << 28
"""Numbers that are kept: a gigabyte."""


@dataclass(frozen=True)
class Sampled:
    """A tensor at some positions.

    Attributes:
        rows: Values [positions, channels].
        chosen: Which positions, as `rows_of` counts them.
        shape: Of the whole tensor.
    """

    rows: Tensor
    chosen: Tensor
    shape: torch.Size


class Original:
    """What the original computes on calibration samples.

    Args:
        supernet: The original; its weights stay as they are.
        batches: Inputs by name, in the model's own layout, a mapping a batch.
        rows: Positions of a tensor that are looked at, of all samples together.
        seed: Of their choice.
    """

    def __init__(self, supernet: Supernet, batches: Sequence[Mapping[str, Tensor]], rows: int, seed: int) -> None:
        self.supernet, self.batches = supernet, tuple(batches)
        self._rows, self._seed = -(-rows // max(1, len(batches))), seed
        self._chosen: dict[tuple[int, int], Tensor] = {}
        self._kept: dict[tuple[str, bool], list[Sampled]] = {}

    def choose(self, batch: int, count: int, device: torch.device) -> Tensor:
        """Return the positions that are looked at in a batch, of so many: the same for all tensors of the size."""
        found = self._chosen.get((batch, count))
        if found is None:
            found = torch.arange(count)
            if count > self._rows:
                generator = torch.Generator().manual_seed(self._seed * 1_000_003 + batch)
                found = torch.randperm(count, generator=generator)[: self._rows].sort().values
            found = self._chosen[batch, count] = found.to(device)
        return found

    def fetch(self, wanted: Iterable[tuple[str, bool]]) -> Mapping[tuple[str, bool], list[Sampled]]:
        """Return tensors, a value a batch; the original runs once for those that are not kept from before.

        Args:
            wanted: Names, and whether channels are axis 1 rather than the last.
        """
        wanted = list(dict.fromkeys(wanted))
        missing = [key for key in wanted if key not in self._kept]
        if missing:
            if sum(part.rows.numel() for parts in self._kept.values() for part in parts) > _CACHED:
                self._kept.clear()
                missing = wanted
            self._kept.update({key: [] for key in missing})
            names = list(dict.fromkeys(name for name, _ in missing))
            for i, batch in enumerate(self.batches):
                values = self.supernet.run(batch, capture=names)
                for name, convolution in missing:
                    self._kept[name, convolution].append(self.sample(i, values[name], convolution=convolution))
        return {key: self._kept[key] for key in wanted}

    def sample(self, batch: int, value: Tensor, *, convolution: bool) -> Sampled:
        """Look at some positions of a tensor."""
        rows = rows_of(value, convolution=convolution)
        chosen = self.choose(batch, len(rows), rows.device)
        return Sampled(rows[chosen], chosen, value.shape)
