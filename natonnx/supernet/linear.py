"""Linear operators as matrices: Conv, ConvTranspose, Gemm and MatMul with a constant weight.

A matrix is [groups, outputs, features]; at each position of its output an operator computes `matrix @ features(x)`,
plus its bias. Features of a convolution are ordered by tap, then by channel: so they lie in channels_last.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from natonnx.supernet.ops import OpSpec
from natonnx.supernet.ops.geometry import Window, torch_pads
from natonnx.supernet.ops.placement import moved

__all__ = ["LinearOperator", "rows_of"]

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
_CHANNELS = 16
"""Of grouped convolutions, looked at together: their features stay in a processor's cache."""


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

    @property
    def _is_transposed(self) -> bool:
        return self.spec.op_type == "ConvTranspose"

    def to_matrix(self, weight: Tensor) -> Tensor:
        """Return a weight as a matrix [groups, outputs, features]."""
        if self._is_transposed:  # [inputs, outputs of a group, *kernel]
            split = weight.reshape(self.groups, weight.shape[0] // self.groups, weight.shape[1], -1)
            return split.permute(0, 2, 3, 1).flatten(2)
        if self.is_convolution:  # [outputs, inputs of a group, *kernel]
            split = weight.reshape(self.groups, weight.shape[0] // self.groups, weight.shape[1], -1)
            return split.transpose(2, 3).flatten(2)
        return (weight if self.spec.integer("transB") else weight.t())[None]

    def to_weight(self, matrix: Tensor, shape: Sequence[int]) -> Tensor:
        """Return a matrix as a weight of this shape; the inverse of `to_matrix`."""
        if self._is_transposed:
            split = matrix.reshape(self.groups, shape[1], -1, shape[0] // self.groups)
            return split.permute(0, 3, 1, 2).reshape(*shape)
        if self.is_convolution:
            split = matrix.reshape(self.groups, shape[0] // self.groups, -1, shape[1])
            return split.transpose(2, 3).reshape(*shape)
        return matrix[0] if self.spec.integer("transB") else matrix[0].t()

    def output_shape(self, x: Sequence[int], weight: Sequence[int]) -> tuple[int, ...] | None:
        """Return the shape that the operator makes of an input and a weight of these; None where it is not known."""
        if self._is_transposed:
            return None
        if not self.is_convolution:
            return (*x[:-1], weight[0] if self.spec.integer("transB") else weight[1])
        window = Window.of(self.spec, weight[2:])
        begins, ends = window.padding(x[2:])
        sizes = zip(x[2:], begins, ends, window.extents, window.strides, strict=True)
        return (x[0], weight[0], *((n + begin + end - reach) // step + 1 for n, begin, end, reach, step in sizes))

    def features(self, x: Tensor, weight: Tensor, sizes: Sequence[int], chosen: Tensor) -> Iterator[Tensor]:
        """Compute what the outputs at some positions are made of, a few groups at once.

        Args:
            x: The operator's input.
            weight: Its weight.
            sizes: Shape of its output.
            chosen: Positions, as `rows_of` counts them.

        Yields:
            Of the next groups [groups, positions, features].
        """
        if not self.is_convolution:
            yield rows_of(x, convolution=False).index_select(0, chosen)[None]
            return
        window = Window.of(self.spec, weight.shape[2:])
        spread = self._spread if self._is_transposed else self._pad
        padded, steps, offsets = spread(x, window, sizes[2:])
        sample, places = _unravel(chosen, (sizes[0], *sizes[2:]))
        position = sample[(..., *[None] * len(places))]  # of each tap in the padded input, flattened
        for axis, (place, step, offset) in enumerate(zip(places, steps, offsets, strict=True)):
            along = place[:, None] * step + moved(offset, place.device)
            shape = [len(chosen), *[1] * len(places)]
            shape[axis + 1] = len(offset)
            position = position * padded.shape[axis + 2] + along.reshape(shape)
        position, rows = position.flatten(), rows_of(padded, convolution=True)
        own = rows.shape[1] // self.groups
        for part in torch.split(rows, rows.shape[1] if self.groups == 1 else own * max(1, _CHANNELS // own), 1):
            taken = part.contiguous().index_select(0, position)  # [positions · taps, channels]
            split = taken.reshape(len(chosen), -1, part.shape[1] // own, own)
            yield split.permute(2, 0, 1, 3).flatten(2)

    def _pad(self, x: Tensor, window: Window, _: Sequence[int]) -> tuple[Tensor, Sequence[int], list[Tensor]]:
        """Return an input with its border, the step from output to output, and each tap's place in the window."""
        begins, ends = window.padding(x.shape[2:])
        taps = [torch.arange(k) * d for k, d in zip(window.kernel, window.dilations, strict=True)]
        return functional.pad(x, torch_pads(begins, ends)), window.strides, taps

    def _spread(self, x: Tensor, window: Window, made: Sequence[int]) -> tuple[Tensor, Sequence[int], list[Tensor]]:
        """Return the same of a transposed convolution: one by steps of one over its input with zeros between."""
        crops, _ = window.cropping(x.shape[2:], self.spec)
        spread = x.new_zeros(*x.shape[:2], *((n - 1) * s + 1 for n, s in zip(x.shape[2:], window.strides, strict=True)))
        spread[(slice(None), slice(None), *(slice(None, None, stride) for stride in window.strides))] = x
        begins = [extent - 1 - crop for extent, crop in zip(window.extents, crops, strict=True)]
        ends = [
            size + extent - 1 - begin - has
            for size, extent, begin, has in zip(made, window.extents, begins, spread.shape[2:], strict=True)
        ]
        taps = [torch.arange(k - 1, -1, -1) * d for k, d in zip(window.kernel, window.dilations, strict=True)]
        return functional.pad(spread, torch_pads(begins, ends)), [1] * len(made), taps


def _unravel(index: Tensor, shape: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    """Return the sample of each flat index, and its place along each spatial axis."""
    places: list[Tensor] = []
    for size in reversed(shape[1:]):
        places.append(index % size)
        index = index // size
    return index, places[::-1]


def rows_of(value: Tensor, *, convolution: bool) -> Tensor:
    """Return a tensor as [positions, channels]: channels are axis 1 of a convolution's output, else the last."""
    value = value.movedim(1, -1) if convolution else value
    return value.reshape(prod(value.shape[:-1]), value.shape[-1])
