"""Where the windows of convolutions and pools lie: strides, dilations, explicit and automatic padding, rounding up."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natonnx.supernet.ops.registry import OpSpec

__all__ = ["Window", "split_evenly", "torch_pads"]

_LARGEST = 2**31 - 1
"""In torch's windows."""


@dataclass(frozen=True)
class Window:
    """A window that slides over the spatial axes.

    Attributes:
        kernel: Its size along each axis.
        strides: Its step along each axis.
        dilations: The distance of its taps along each axis.
        begins: Explicit padding in front of each axis.
        ends: Explicit padding behind each axis.
        auto_pad: NOTSET, VALID, SAME_UPPER or SAME_LOWER.
        ceil: Whether a last window that overhangs the padded input still counts.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    auto_pad: str
    ceil: bool

    @classmethod
    def of(cls, spec: OpSpec, kernel: Sequence[int]) -> Window:
        """Read a node's window.

        Args:
            spec: The node.
            kernel: The size of its window.

        Returns:
            The window, every default filled in.

        Raises:
            UnsupportedOpError: If a number of it is none that torch takes.
        """
        rank = len(kernel)
        auto_pad = spec.text("auto_pad", "NOTSET") or "NOTSET"
        pads = spec.integers("pads") if auto_pad == "NOTSET" else None
        pads = pads or (0,) * (2 * rank)
        strides = spec.integers("strides") or (1,) * rank
        dilations = spec.integers("dilations") or (1,) * rank
        if any(abs(number) > _LARGEST for number in (*kernel, *strides, *dilations, *pads)):
            raise spec.unsupported("its window is larger than any that torch takes")
        return cls(
            kernel=tuple(kernel),
            strides=strides,
            dilations=dilations,
            begins=pads[:rank],
            ends=pads[rank:],
            auto_pad=auto_pad,
            ceil=bool(spec.integer("ceil_mode")),
        )

    @property
    def is_same(self) -> bool:
        """Whether the padding follows from the input, so that the output has input / stride elements, rounded up."""
        return self.auto_pad.startswith("SAME")

    @property
    def extents(self) -> tuple[int, ...]:
        """How far the window reaches along each axis, gaps between its taps included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def fits_torch(self) -> bool:
        """Tell whether a torch pool can pad by itself: equally on both sides, by half a window at most."""
        halves = (0 <= 2 * pad <= size for pad, size in zip(self.begins, self.kernel, strict=True))
        return not self.is_same and self.begins == self.ends and all(halves)

    def padding(self, sizes: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the padding that counts as such.

        Automatic padding is never negative, as in TensorFlow; onnxruntime's convolutions crop a little, and its pools
        refuse to run, where a stride exceeds the window by two or more.

        Args:
            sizes: The spatial sizes of the input.

        Returns:
            What to put in front of each axis, and what behind it.
        """
        if not self.is_same:
            return self.begins, self.ends
        totals = [
            max((-(-size // stride) - 1) * stride + extent - size, 0)
            for size, stride, extent in zip(sizes, self.strides, self.extents, strict=True)
        ]
        return split_evenly(totals, odd_at_end=self.auto_pad == "SAME_UPPER")

    def cropping(self, sizes: Sequence[int], spec: OpSpec) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return what a transposed convolution takes away in front of each axis and behind it; negative numbers add.

        Args:
            sizes: The spatial sizes of the input.
            spec: The node. Where it asks for an output shape, what is missing is added behind; automatic padding asks
                for the input's sizes times the strides, at most.

        Returns:
            The two croppings, before `output_padding` adds anything.
        """
        asked, extra = spec.integers("output_shape"), spec.integers("output_padding") or (0,) * len(sizes)
        if asked is None and not self.is_same:
            return self.begins, self.ends
        axes = zip(sizes, self.strides, extra, self.extents, strict=True)
        full = [stride * (size - 1) + more + extent for size, stride, more, extent in axes]
        if asked is None:
            asked = tuple(map(min, full, map(operator.mul, sizes, self.strides)))
        totals = [size - target for size, target in zip(full, asked[-len(sizes) :], strict=True)]
        begins, _ = split_evenly([max(total, 0) for total in totals], odd_at_end=self.auto_pad == "SAME_UPPER")
        return begins, tuple(total - begin for total, begin in zip(totals, begins, strict=True))

    def overhang(self, sizes: Sequence[int], begins: Sequence[int], ends: Sequence[int]) -> tuple[int, ...]:
        """Return how far the last windows reach beyond the padded input when the output size is rounded up.

        A window must start inside the input or the padding in front of it; one that starts behind is dropped.

        Args:
            sizes: The spatial sizes of the input.
            begins: The padding in front of each axis.
            ends: The padding behind each axis.

        Returns:
            What to add behind each axis so that rounding down gives the same output size; it may be negative.
        """
        if not self.ceil or self.is_same:
            return (0,) * len(sizes)
        overhangs = []
        for size, begin, end, stride, extent in zip(sizes, begins, ends, self.strides, self.extents, strict=True):
            last = -(-(size + begin + end - extent) // stride)
            if last * stride >= size + begin:
                last -= 1
            overhangs.append(last * stride + extent - (size + begin + end))
        return tuple(overhangs)


def split_evenly(totals: Sequence[int], *, odd_at_end: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split the padding of each axis into two halves.

    Args:
        totals: The padding of each axis.
        odd_at_end: Whether the odd element goes behind the axis rather than in front of it.

    Returns:
        The halves in front, and the halves behind.
    """
    small, large = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    return (small, large) if odd_at_end else (large, small)


def torch_pads(begins: Sequence[int], ends: Sequence[int]) -> list[int]:
    """Order padding as `torch.nn.functional.pad` wants it: in pairs, the last axis first."""
    return [pad for pair in zip(reversed(begins), reversed(ends), strict=True) for pad in pair]
