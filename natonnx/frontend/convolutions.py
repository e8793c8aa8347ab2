"""What a convolution may become by NAT++, and from which weights that starts.

Guo et al. 2021 let a convolution become a cheaper one: of a smaller kernel, a separable one, a dilated separable one,
or a pooling. Each starts from what the convolution has learnt: the centre of its kernel; the nearest product of one
kernel a channel and a matrix, which the singular value decomposition of each input channel's kernels gives; of a
dilated one, every other tap of such a kernel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

__all__ = ["Convolution", "Layer", "cheaper"]

_POOLED = 3
"""Size of the window of a pooling: all of NAT++ are 3 × 3."""

_DILATED = (5, 3)
"""A kernel of that size has every other tap in common with a dilated one of that."""


@dataclass(frozen=True)
class Convolution:
    """Geometry of a Conv (ONNX operator Conv).

    Attributes:
        kernel: Sizes, one a spatial axis.
        strides: One a spatial axis.
        dilations: One a spatial axis.
        pads: At the beginning of each spatial axis, then at the end of each.
        auto_pad: `NOTSET`, where pads count, or `SAME_UPPER`, `SAME_LOWER` or `VALID`.
        groups: Of channels.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    auto_pad: str = "NOTSET"
    groups: int = 1

    def shrunk(self, kernel: tuple[int, ...]) -> "Convolution | None":
        """The same with a smaller kernel of the same centres; None where none has the same outputs."""
        margins = [d * (old - new) for d, old, new in zip(self.dilations, self.kernel, kernel, strict=True)]
        if any(margin % 2 for margin in margins):
            return None
        if self.auto_pad != "NOTSET":  # the pads follow, symmetrical where each position has an output
            same = self.auto_pad.startswith("SAME") and set(self.strides) == {1}
            return replace(self, kernel=kernel) if same or kernel == self.kernel else None
        pads = tuple(pad - margin // 2 for pad, margin in zip(self.pads, [*margins, *margins], strict=True))
        return replace(self, kernel=kernel, pads=pads) if min(pads, default=0) >= 0 else None

    @property
    def attributes(self) -> dict[str, Any]:
        """Those of an ONNX node that Conv and poolings share."""
        own: dict[str, Any] = {"kernel_shape": list(self.kernel), "strides": list(self.strides)}
        return own | ({"pads": list(self.pads)} if self.auto_pad == "NOTSET" else {"auto_pad": self.auto_pad})

    @property
    def pointwise(self) -> "Convolution":
        """A convolution of single positions behind this one."""
        ones = (1,) * len(self.kernel)
        return Convolution(ones, ones, ones, (0,) * 2 * len(ones), groups=self.groups)


@dataclass(frozen=True)
class Layer:
    """A node of a cheaper operation.

    Attributes:
        kind: ONNX operator: Conv, AveragePool or MaxPool.
        attributes: The node's.
        weight: Of a Conv [out, in / groups, *kernel].
        part: What it is of an operation of several nodes, for its name; empty where it is all of it.
    """

    kind: str
    attributes: dict[str, Any]
    weight: np.ndarray | None = None
    part: str = ""


def cheaper(own: Convolution, weight: np.ndarray) -> dict[str, tuple[Layer, ...]]:
    """List what a convolution may become and takes less: fewer weights, and as many fewer multiply-adds.

    Args:
        own: Its geometry.
        weight: Its weight [out, in / groups, *kernel], of a floating-point type.

    Returns:
        By name of the operation, as the cells of DARTS call it: the nodes, in order. The last of several carries the
        bias. None has other outputs' sizes than the convolution.
    """
    if not np.isfinite(weight).all():
        return {}
    found = dict(_smaller(own, weight))
    if weight.shape[1] > 1 or own.groups == 1:  # not by channels already
        found |= dict(_separable(own, weight))
    if weight.shape[0] == weight.shape[1] * own.groups:
        found |= dict(_poolings(own))
    return {name: layers for name, layers in found.items() if _size(layers) < weight.size}


def _size(layers: Sequence[Layer]) -> int:
    """Number of weights; a convolution multiplies each once for every output position, of which all have as many."""
    return sum(layer.weight.size for layer in layers if layer.weight is not None)


def _kernels(own: Convolution) -> Iterator[Convolution]:
    """The convolution, then those of smaller kernels: two taps fewer along each axis, one at least."""
    found: Convolution | None = own
    while found is not None:
        yield found
        kernel = tuple(size if size < 2 else size - 2 if size % 2 else 0 for size in found.kernel)
        found = own.shrunk(kernel) if min(kernel) > 0 and kernel != found.kernel else None


def _smaller(own: Convolution, weight: np.ndarray) -> Iterator[tuple[str, tuple[Layer, ...]]]:
    for one in _kernels(own):
        if one.kernel != own.kernel:
            yield _named("conv", one), (_conv(one, _centre(weight, one.kernel)),)


def _separable(own: Convolution, weight: np.ndarray) -> Iterator[tuple[str, tuple[Layer, ...]]]:
    whole, half = _DILATED
    for one in _kernels(own):
        if prod(one.kernel) == 1:
            continue
        kept = _centre(weight, one.kernel)
        yield _named("sep_conv", one), _separated(one, kept)
        if set(one.kernel) == {whole}:
            dilated = replace(one, kernel=(half,) * len(one.kernel), dilations=tuple(2 * d for d in one.dilations))
            every_other = _taps(kept, [slice(None, None, 2)] * len(one.kernel))
            yield _named("dil_conv", dilated), _separated(dilated, every_other)


def _poolings(own: Convolution) -> Iterator[tuple[str, tuple[Layer, ...]]]:
    for one in _kernels(own):
        if set(one.kernel) == {_POOLED} and set(one.dilations) == {1} and max(one.pads) < _POOLED:
            yield _named("avg_pool", one), (Layer("AveragePool", one.attributes),)
            yield _named("max_pool", one), (Layer("MaxPool", one.attributes),)


def _named(kind: str, one: Convolution) -> str:
    return f"{kind}_{'x'.join(map(str, one.kernel))}"


def _conv(one: Convolution, weight: np.ndarray, part: str = "") -> Layer:
    attributes = one.attributes | {"dilations": list(one.dilations), "group": one.groups}
    return Layer("Conv", attributes, np.ascontiguousarray(weight), part)


def _centre(weight: np.ndarray, kernel: Sequence[int]) -> np.ndarray:
    """The taps in the middle of kernels [out, in / groups, *kernel]."""
    first = [(old - new) // 2 for old, new in zip(weight.shape[2:], kernel, strict=True)]
    return _taps(weight, [slice(at, at + size) for at, size in zip(first, kernel, strict=True)])


def _taps(weight: np.ndarray, chosen: Sequence[slice]) -> np.ndarray:
    """Those of the kernels [out, in / groups, *kernel] along each of their axes."""
    return weight[(slice(None), slice(None), *chosen)]


def _separated(one: Convolution, weight: np.ndarray) -> tuple[Layer, Layer]:
    """A kernel a channel, then a matrix of the channels of each group: of all such pairs the nearest to the weight.

    Their product is of rank 1 for each input channel, so the first singular vectors of its kernels [out, taps] are it.
    """
    groups, (outputs, inputs) = one.groups, weight.shape[:2]
    kernels = weight.astype(np.float64).reshape(groups, outputs // groups, inputs, -1).transpose(0, 2, 1, 3)
    _, vectors = np.linalg.eigh(kernels.swapaxes(2, 3) @ kernels)  # [groups, inputs, taps, taps], ascending
    taps = vectors[..., -1]
    taps = np.where(taps.sum(-1, keepdims=True) < 0, -taps, taps)
    matrix = (kernels @ taps[..., None])[..., 0].swapaxes(1, 2)  # [groups, outputs, inputs]
    spatial = (1,) * len(one.kernel)
    by_channel = taps.reshape(groups * inputs, 1, *one.kernel).astype(weight.dtype)
    mixing = matrix.reshape(outputs, inputs, *spatial).astype(weight.dtype)
    return (
        _conv(replace(one, groups=groups * inputs), by_channel, "depthwise"),
        _conv(one.pointwise, mixing, "pointwise"),
    )
