"""What a model takes: names, shapes, types and batch axes of its inputs, and how many classes it tells apart."""

from dataclasses import dataclass

import numpy as np

__all__ = ["InputSpec", "Signature"]


@dataclass(frozen=True)
class InputSpec:
    """One input.

    Attributes:
        name: Its name in the file.
        shape: Its sizes, the batch's included; None where the file leaves one open.
        dtype: Of its elements.
        batch_axis: The axis that counts samples; None where there is none, and one value holds for all samples.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[np.generic]
    batch_axis: int | None = 0

    @property
    def sample_shape(self) -> tuple[int | None, ...]:
        """Sizes of one sample, without the batch axis."""
        return tuple(size for axis, size in enumerate(self.shape) if axis != self.batch_axis)


@dataclass(frozen=True)
class Signature:
    """What data must fit.

    Attributes:
        inputs: The model's inputs, in the file's order.
        classes: Number of classes that its scores tell apart; None where no output is class scores.
        batch: Samples that the model takes at once; None for any number.
    """

    inputs: tuple[InputSpec, ...]
    classes: int | None = None
    batch: int | None = None

    @property
    def axes(self) -> dict[str, int | None]:
        """The batch axis of each input by name."""
        return {spec.name: spec.batch_axis for spec in self.inputs}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(spec.name for spec in self.inputs)
