"""What a model file says about its own data."""

from collections.abc import Mapping
from typing import cast

from natonnx.data.dataset import Augment, Layout, Preprocessing
from natonnx.data.shipped import BUILTIN
from natonnx.errors import InputError

__all__ = ["metadata_options"]


def metadata_options(metadata: Mapping[str, str]) -> tuple[str | None, Preprocessing]:
    """Read ``natonnx.data``, ``.mean``, ``.std``, ``.scale``, ``.layout`` and ``.augment`` from a model's metadata.

    A model file is not trusted: it may name a built-in data set, but no file to read and no code to run.

    Args:
        metadata: The model's ``metadata_props``; numbers are written ``0.286`` or ``0.49,0.48,0.45``.

    Returns:
        The name of a built-in data set, or None, and the preprocessing.

    Raises:
        InputError: The data set is not built in, or a value cannot be read.
    """
    data = metadata.get("natonnx.data")
    if data is not None and data not in BUILTIN:
        raise InputError(
            f"the model's metadata natonnx.data names {data!r}, but a model may name a built-in set only "
            f"({', '.join(BUILTIN)}): if you trust it, pass it by hand with --data"
        )
    scale = _numbers(metadata, "natonnx.scale")
    if scale is not None and len(scale) != 1:
        raise InputError(f"the model's metadata natonnx.scale has {len(scale)} numbers: it must be one")
    try:
        return data, Preprocessing(
            mean=_numbers(metadata, "natonnx.mean"),
            std=_numbers(metadata, "natonnx.std"),
            scale=scale[0] if scale else None,
            layout=cast("Layout | None", metadata.get("natonnx.layout")),
            augment=cast("Augment", metadata.get("natonnx.augment", "none")),
        )
    except InputError as error:
        raise InputError(f"the model's metadata natonnx.*: {error}") from error


def _numbers(metadata: Mapping[str, str], key: str) -> tuple[float, ...] | None:
    if key not in metadata:
        return None
    try:
        return tuple(float(number) for number in metadata[key].split(","))
    except ValueError as error:
        raise InputError(
            f"the model's metadata {key} is {metadata[key]!r}: write numbers with commas, such as 0.49,0.48,0.45"
        ) from error
