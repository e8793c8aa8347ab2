"""A folder of files of arrays."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from natonnx.data.convert import check_numbers, first_samples
from natonnx.data.folder import Listing
from natonnx.data.items import Items
from natonnx.data.npz import Archive, read_npy
from natonnx.data.signature import Signature
from natonnx.errors import InputError

__all__ = ["EXPANSION", "array_items"]

EXPANSION = 4
"""Bytes that a byte of raw data takes as a model's input, in float32."""
_MAPPED = 1 << 20
"""Bytes of a file that need not stay there."""


def array_items(listings: Mapping[str, Listing], signature: Signature, size: int) -> dict[str, Items]:
    """Read files: of each ``.npz`` a batch, keyed by input names; of each ``.npy`` a batch or a sample.

    Where they are large, arrays that are not compressed stay in their files.

    Args:
        listings: Files by part.
        signature: The model's inputs; ``.npy`` is for a model with one. A file with fewer axes than that is a sample.
        size: Bytes that samples may take in memory.

    Raises:
        InputError: If a file cannot be read, or the model has several inputs and a file one array.
    """
    paths = [path for listing in listings.values() for path in listing.arrays]
    mapped = _MAPPED if sum(path.stat().st_size for path in paths) > size // EXPANSION else math.inf
    parts: dict[str, Items] = {}
    for part, listing in listings.items():
        if not listing.arrays:
            raise InputError(f"{listing.folder}: holds images, but other parts hold arrays: give all parts one kind")
        items = [_read(path, signature, mapped) for path in listing.arrays]
        parts[part] = Items(lambda items=items: items, str(listing.folder), files=listing.arrays)  # type: ignore[misc]
    return parts


def _read(path: Path, signature: Signature, mapped: float) -> Any:
    if path.suffix.lower() == ".npz":
        archive = Archive(path, mapped)
        wanted = {*signature.names, "images", "labels", "label"}
        arrays = {name: archive[name] if name in wanted else None for name in archive}
        axes = signature.axes if len(signature.inputs) > 1 else {**signature.axes, "images": 0}
        for name, axis in axes.items():
            if (array := arrays.get(name)) is not None:
                check_numbers(
                    first_samples(array, axis, mapped), axis, f"{path}: {name}", masks=len(signature.inputs) > 1
                )
        return arrays
    if len(signature.inputs) != 1:
        raise InputError(
            f"{path}: is one array, but the model has {len(signature.inputs)} inputs ({', '.join(signature.names)}): "
            "save .npz files keyed by these names"
        )
    array, spec = read_npy(path, mapped), signature.inputs[0]
    axis = spec.batch_axis if array.ndim == len(spec.shape) else None
    check_numbers(first_samples(array, axis, mapped), axis, str(path))
    if array.ndim < len(spec.shape) and spec.batch_axis is not None:
        return array[(slice(None),) * spec.batch_axis + (None,)] if array.ndim >= spec.batch_axis else array
    return array
