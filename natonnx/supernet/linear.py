"""Linear operators as matrices: Conv, ConvTranspose, Gemm and MatMul with a constant weight.

A matrix is [groups, outputs, features]; an operator computes `matrix @ features(x)` at each position of its output, and
what an output position is made of are the features there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from natonnx.supernet.ops import OpSpec
from natonnx.supernet.ops.geometry import Window, torch_pads

__all__ = ["LinearOperator", "channels_of", "rows_of"]

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})


@dataclass(frozen=True)
class LinearOperator:
    """One linear node.

    Attributes:
        spec: The node as the op table sees it.
        groups: Its groups, which may be fewer than the node says where channels were cut.
    """

    spec: OpSpec
    groups: int

    @classmethod
    def of(cls, spec: OpSpec | None, rank: int, groups: int | None = None) -> "LinearOperator | None":
        """Read a node; None where it is no linear operator of one tensor and a constant.

        Args:
            spec: The node.
            rank: Of its weight, input 1.
            groups: In the place of the node's own.
        """
        if spec is None:
            return None
        if spec.op_type in _CONVOLUTIONS and rank >= 3:
            return cls(spec, groups or spec.integer("group", 1))
        plain = spec.number("alpha", 1.0) == spec.number("beta", 1.0) == 1.0 and not spec.integer("transA")
        return cls(spec, 1) if spec.op_type in {"Gemm", "MatMul"} and rank == 2 and plain else None

    @property
    def is_convolution(self) -> bool:
        """Whether channels are axis 1 of the output, rather than the last."""
        return self.spec.op_type in _CONVOLUTIONS

    def to_matrix(self, weight: Tensor) -> Tensor:
        """Return a weight as a matrix [groups, outputs, features]."""
        if self.spec.op_type == "Conv":
            return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)
        if self.spec.op_type == "ConvTranspose":
            split = weight.reshape(self.groups, weight.shape[0] // self.groups, *weight.shape[1:])
            return split.transpose(1, 2).flatten(2)
        return (weight if self._transposed else weight.t())[None]

    def to_weight(self, matrix: Tensor, shape: Sequence[int]) -> Tensor:
        """Return a matrix as a weight of this shape; the inverse of `to_matrix`."""
        if self.spec.op_type == "Conv":
            return matrix.reshape(*shape)
        if self.spec.op_type == "ConvTranspose":
            split = matrix.reshape(self.groups, shape[1], shape[0] // self.groups, *shape[2:])
            return split.transpose(1, 2).reshape(*shape)
        return matrix[0] if self._transposed else matrix[0].t()

    @property
    def _transposed(self) -> bool:
        return bool(self.spec.integer("transB"))

    def features(self, x: Tensor, weight: Tensor, sizes: Sequence[int], chosen: Tensor) -> Tensor | None:
        """Return what the outputs at some positions are made of.

        Args:
            x: The operator's input.
            weight: Its weight.
            sizes: Shape of its output.
            chosen: Positions, as `rows_of` counts them.

        Returns:
            [groups, positions, features], or None for an operator whose output positions have different features.
        """
        if not self.is_convolution:
            return x.flatten(0, -2)[chosen][None]
        if self.spec.op_type == "ConvTranspose":
            return None
        window = Window.of(self.spec, weight.shape[2:])
        begins, ends = window.padding(x.shape[2:])
        padded = functional.pad(x, torch_pads(begins, ends)).movedim(1, -1)
        sample, places = _unravel(chosen, (sizes[0], *sizes[2:]))
        taps = [torch.arange(size, device=x.device) for size in window.kernel]
        position = sample[(..., *[None] * len(taps))]  # of each tap in the padded input, flattened
        for axis, (place, tap) in enumerate(zip(places, taps, strict=True)):
            along = place[:, None] * window.strides[axis] + tap * window.dilations[axis]
            shape = [len(chosen), *[1] * len(taps)]
            shape[axis + 1] = len(tap)
            position = position * padded.shape[axis + 1] + along.reshape(shape)
        taken = padded.flatten(0, -2)[position.flatten(1)]  # [positions, taps, channels]
        split = taken.reshape(len(chosen), -1, self.groups, weight.shape[1])
        return split.permute(2, 0, 3, 1).flatten(2)


def _unravel(index: Tensor, shape: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    """Return the sample of each flat index, and its place along each spatial axis."""
    places: list[Tensor] = []
    for size in reversed(shape[1:]):
        places.append(index % size)
        index = index // size
    return index, places[::-1]


def rows_of(value: Tensor, *, convolution: bool) -> Tensor:
    """Return a tensor as [positions, channels]: channels are axis 1 of a convolution's output, else the last."""
    return (value.movedim(1, -1) if convolution else value).flatten(0, -2)


def channels_of(value: Tensor, *, convolution: bool) -> int:
    """Return the number of channels."""
    return value.shape[1 if convolution else -1]
