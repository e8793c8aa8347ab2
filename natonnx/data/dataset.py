"""What a data set is, once it fits a model: its parts, and how raw values became their inputs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from natonnx.data.batches import Array, Batches
from natonnx.errors import InputError

__all__ = ["Augment", "Dataset", "Layout", "Parts", "Preprocessing", "Split"]

Layout = Literal["NCHW", "NHWC"]
Augment = Literal["none", "shift", "shift-flip"]


@dataclass(frozen=True)
class Preprocessing:
    """How raw values become model inputs: ``(x * scale - mean) / std``, in float32.

    It is for the one input of a floating-point type that has a batch axis; a model may have others besides, but no
    second one of that kind.

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

    @property
    def is_given(self) -> bool:
        """Whether values are changed."""
        return self.mean is not None or self.std is not None or self.scale is not None

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
    """Samples that are used for one purpose, finished by the user: nothing is done to them any more.

    Attributes:
        inputs: Arrays by input name, or the array of a model's only input: preprocessed, of the model's element types,
            in its layout; float32 ``[n, *input_shape]`` for most.
        labels: Class indices int64 ``[n]``, or whatever else an objective takes, the samples in front; None where there
            are none.
    """

    inputs: Array | Mapping[str, Array]
    labels: Array | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set that the user made ready for one model.

    Attributes:
        name: What reports call it.
        train: For the weights.
        validation: For the policy and for selection.
        test: For the final report only; None if there is none.
        classes: Width of the model's output, to check that the two belong together; not checked where None.
        augment: See `Preprocessing.augment`.
    """

    name: str
    train: Split
    validation: Split
    test: Split | None = None
    classes: int | None = None
    augment: Augment = "none"


@dataclass(frozen=True, eq=False)
class Parts:
    """Data that fits one model: what `load` makes of any source. It may be in memory or read when needed.

    Attributes:
        name: What reports call it.
        train: For the weights.
        validation: For the policy and for selection.
        test: For the final report only; None if there is none.
        augment: See `Preprocessing.augment`.
        notes: What was done to the data that the user may want to know, a short sentence each.
    """

    name: str
    train: Batches
    validation: Batches
    test: Batches | None
    augment: Augment = "none"
    notes: tuple[str, ...] = ()
