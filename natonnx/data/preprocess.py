"""Raw values to model inputs."""

from typing import Any

import numpy as np
import numpy.typing as npt

from natonnx.data.batches import Array
from natonnx.data.dataset import Layout, Preprocessing
from natonnx.errors import InputError

__all__ = ["preprocess"]

_FLOAT32 = np.dtype(np.float32)


def preprocess(images: Array, preprocessing: Preprocessing, where: str, dtype: np.dtype[Any] = _FLOAT32) -> Array:
    """Compute ``(x * scale - mean) / std``, in float32 or, for a model that takes it, in float64.

    Args:
        images: ``[n, ...]``, in the model's layout.
        preprocessing: The constants.
        where: The source, for messages.
        dtype: The element type of the result.

    Returns:
        A new contiguous array of the same shape.

    Raises:
        InputError: The number of means or stds is not that of the channels, or a value becomes infinite.
    """
    scale = preprocessing.scale if preprocessing.scale is not None else 1 / 255 if images.dtype == np.uint8 else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        x: Array = np.array(images, dtype=np.float64 if dtype == np.float64 else np.float32, order="C")
        x *= x.dtype.type(scale)
        if preprocessing.mean is not None:
            x -= _per_channel("mean", preprocessing.mean, images, preprocessing.layout, where)
        if preprocessing.std is not None:
            x /= _per_channel("std", preprocessing.std, images, preprocessing.layout, where)
        x = x.astype(dtype, copy=False)
    if not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(1))[0]
        largest = np.abs(images[bad]).max()
        raise InputError(
            f"{where}: holds {largest:.4g}, too large for {dtype} by this scale, mean and std: scale it, or remove it"
        )
    return x


def _per_channel(
    name: str, values: tuple[float, ...], images: Array, layout: Layout | None, where: str
) -> npt.NDArray[np.float32]:
    """Shape one value, or one a channel, so that it broadcasts over the images."""
    constant = np.array(values, dtype=np.float32)
    if len(values) == 1:
        return constant
    last = images.ndim - 1
    candidates = {"NCHW": [1], "NHWC": [last], None: sorted({1, last})}[layout] if last else []
    axes = [axis for axis in candidates if images.shape[axis] == len(values)]
    if not axes:
        sizes = " or ".join(str(images.shape[axis]) for axis in candidates)
        raise InputError(
            f"{where}: {name} has {len(values)} values for {sizes} channels: give one value, or one a channel"
        )
    if len(axes) > 1:
        raise InputError(f"{where}: {name} could belong to either axis of {len(values)}: give --layout NCHW or NHWC")
    return constant.reshape([-1 if axis == axes[0] else 1 for axis in range(images.ndim)])
