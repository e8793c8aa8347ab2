"""Data of a subject: parts of named arrays in the model's own layout, written as the .npz that natonnx reads."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from natonnx.files import write_bytes

__all__ = ["SIZES", "Arrays", "Parts", "make_parts", "save_parts", "seeds"]

Arrays = Mapping[str, npt.NDArray[np.generic]]
"""Arrays by input name, and `labels`."""

Parts = Mapping[str, Arrays]
"""Arrays by part: train, val, test."""

SIZES = {"train": 256, "val": 128, "test": 256}
"""Samples of each part where data is made without limit."""


def seeds(seed: int) -> dict[str, int]:
    """Return one seed a part: no part's samples are another's."""
    return {part: 1000 * seed + i for i, part in enumerate(SIZES)}


def make_parts(
    make: Callable[[np.random.Generator, int], Arrays], seed: int, sizes: Mapping[str, int] | None = None
) -> dict[str, Arrays]:
    """Make all parts of a data set that has no end.

    Args:
        make: Gives that many samples from a generator.
        seed: Of the data set.
        sizes: Samples of each part; `SIZES` where None.
    """
    own = sizes or SIZES
    return {part: make(np.random.default_rng(each), own[part]) for part, each in seeds(seed).items() if part in own}


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
