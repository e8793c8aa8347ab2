"""What a data set is, once it fits a model: three splits, and how raw images became their inputs."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from natonnx.errors import InputError

__all__ = ["Augment", "Dataset", "Layout", "Preprocessing", "Split"]

Layout = Literal["NCHW", "NHWC"]
Augment = Literal["none", "shift", "shift-flip"]


@dataclass(frozen=True)
class Preprocessing:
    """How raw values become model inputs: ``(x * scale - mean) / std``, in float32.

    Attributes:
        mean: One value, or one a channel, on the scaled values; None is 0.
        std: One value, or one a channel, on the scaled values; None is 1.
        scale: Factor on the raw values; None is 1/255 for uint8 data and 1 for any other.
        layout: The order of the axes of the *model's* input, where the shapes alone do not tell.
        augment: What training may do to an image: nothing, small shifts, or shifts and horizontal flips.

    Raises:
        InputError: A value is not finite, a std is not positive, the scale is 0, or a word is unknown.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scale: float | None = None
    layout: Layout | None = None
    augment: Augment = "none"

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and (not values or not all(map(math.isfinite, values))):
                raise InputError(f"{name} {values} must be one finite number, or one a channel")
        if self.std is not None and min(self.std) <= 0:
            raise InputError(f"std {self.std} must be positive: it divides the images")
        if self.scale is not None and (self.scale == 0 or not math.isfinite(self.scale)):
            raise InputError(f"scale {self.scale} must be finite and not 0: it multiplies the images")
        if self.layout is not None and self.layout not in get_args(Layout):
            raise InputError(f"unknown layout {self.layout!r}: choose one of {', '.join(get_args(Layout))}")
        if self.augment not in get_args(Augment):
            raise InputError(f"unknown augmentation {self.augment!r}: choose one of {', '.join(get_args(Augment))}")


@dataclass(frozen=True, eq=False)
class Split:
    """Samples that are used for one purpose.

    Attributes:
        inputs: float32 ``[n, *input_shape]``, preprocessed, in the model's layout.
        labels: int64 ``[n]``, class indices.
    """

    inputs: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set that fits one model.

    Attributes:
        name: The spec that it was loaded by.
        train: For the weights.
        validation: For the policy and for selection.
        test: For the final report only; None if there is none.
        classes: Width of the model's output.
        augment: See `Preprocessing.augment`.
    """

    name: str
    train: Split
    validation: Split
    test: Split | None
    classes: int
    augment: Augment = "none"
