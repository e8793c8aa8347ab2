"""Data of a subject: parts of named arrays in the model's own layout, written as the .npz that natonnx reads."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from natonnx.files import write_bytes

__all__ = ["Arrays", "Effort", "Parts", "make_parts", "save_parts"]

Arrays = Mapping[str, npt.NDArray[np.generic]]
"""Arrays by input name, and `labels`."""

Parts = Mapping[str, Arrays]
"""Arrays by part: train, val, test."""


@dataclass(frozen=True)
class Effort:
    """How much is made: less for a test.

    Attributes:
        sizes: Samples of each part where there is no end of them.
        steps: Share of the training steps that make a model worth optimising.
    """

    sizes: Mapping[str, int] = field(default_factory=lambda: {"train": 512, "val": 256, "test": 512})
    steps: float = 1.0

    def of(self, steps: int) -> int:
        """Return that share of a number of steps, at least one."""
        return max(1, round(self.steps * steps))


def make_parts(make: Callable[[np.random.Generator, int, str], Arrays], seed: int, effort: Effort) -> dict[str, Arrays]:
    """Make all parts of a data set that has no end, each from a seed of its own.

    Args:
        make: Gives samples: from a generator, how many, for which part.
        seed: Of the data set.
        effort: Samples of each part.
    """
    return {
        part: make(np.random.default_rng([seed, position]), size, part)
        for position, (part, size) in enumerate(effort.sizes.items())
    }


def save_parts(parts: Parts, path: Path) -> Path:
    """Write parts as PART/NAME arrays; the path is returned.

    Raises:
        InputError: If the file cannot be written.
    """
    buffer = io.BytesIO()
    arrays = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())
    return path
