"""A folder of files of arrays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from natonnx.data.convert import check_numbers
from natonnx.data.folder import Listing
from natonnx.data.items import Items
from natonnx.data.npz import Archive, read_npy
from natonnx.data.signature import Signature
from natonnx.errors import InputError

__all__ = ["array_items"]


def array_items(listings: Mapping[str, Listing], signature: Signature) -> dict[str, Items]:
    """Read files into memory: of each ``.npz`` a batch, keyed by input names; of each ``.npy`` a batch or a sample.

    Args:
        listings: Files by part.
        signature: The model's inputs; ``.npy`` is for a model with one. A file with fewer axes than that is a sample.

    Raises:
        InputError: If a file cannot be read, or the model has several inputs and a file one array.
    """
    parts: dict[str, Items] = {}
    for part, listing in listings.items():
        if not listing.arrays:
            raise InputError(f"{listing.folder}: holds images, but other parts hold arrays: give all parts one kind")
        items = [_read(path, signature) for path in listing.arrays]
        parts[part] = Items(lambda items=items: items, str(listing.folder))  # type: ignore[misc]
    return parts


def _read(path: Path, signature: Signature) -> Any:
    if path.suffix.lower() == ".npz":
        archive = Archive(path)
        wanted = {*signature.names, "images", "labels", "label"}
        arrays = {name: archive[name] if name in wanted else None for name in archive}
        axes = signature.axes if len(signature.inputs) > 1 else {**signature.axes, "images": 0}
        for name, axis in axes.items():
            if (array := arrays.get(name)) is not None:
                check_numbers(array, axis, f"{path}: {name}", masks=len(signature.inputs) > 1)
        return arrays
    if len(signature.inputs) != 1:
        raise InputError(
            f"{path}: is one array, but the model has {len(signature.inputs)} inputs ({', '.join(signature.names)}): "
            "save .npz files keyed by these names"
        )
    array, spec = read_npy(path), signature.inputs[0]
    check_numbers(array, spec.batch_axis if array.ndim == len(spec.shape) else None, str(path))
    if array.ndim < len(spec.shape) and spec.batch_axis is not None:
        return array[(slice(None),) * spec.batch_axis + (None,)] if array.ndim >= spec.batch_axis else array
    return array
