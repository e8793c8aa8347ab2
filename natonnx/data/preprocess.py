"""Raw values to model inputs."""

from typing import Any

import numpy as np
import numpy.typing as npt

from natonnx.data.batches import Array
from natonnx.data.dataset import Layout, Preprocessing
from natonnx.errors import InputError

__all__ = ["preprocess"]

_FLOAT32 = np.dtype(np.float32)
_AT_ONCE = 1 << 17
"""Values that are computed at once: what stays in a processor's cache takes half the time."""


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
    mean, std = (
        None if values is None else _per_channel(name, values, images, preprocessing.layout, where)
        for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std))
    )
    made = np.empty(images.shape, dtype)
    step = max(1, _AT_ONCE // max(1, images[:1].size))
    for first in range(0, len(images), step):
        part = images[first : first + step]
        with np.errstate(over="ignore", invalid="ignore"):
            x: Array = np.array(part, dtype=np.float64 if dtype == np.float64 else np.float32, order="C")
            x *= x.dtype.type(scale)
            if mean is not None:
                x -= mean
            if std is not None:
                x /= std
            made[first : first + step] = x
        if not np.isfinite(made[first : first + step]).all():
            bad = np.flatnonzero(~np.isfinite(made[first : first + step].reshape(len(x), -1)).all(1))[0]
            raise InputError(
                f"{where}: holds {np.abs(part[bad]).max():.4g}, too large for {dtype} by this scale, mean and std: "
                "scale it, or remove it"
            )
    return made


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
