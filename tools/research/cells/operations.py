"""The operations of the paper's cells and of NAS-Bench-201, by name.

Each is one branch: pre-activation, bias-free convolutions of as many channels, and an affine BN; or a pooling alone.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import NamedTuple

from natonnx.architecture import ChannelCutRule, Operation, Weight

__all__ = ["CELL_OPS", "cell_op", "preprocessing"]


class _Conv(NamedTuple):
    """A convolution, of each channel for itself or of all, with or without a BN behind it."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    depthwise: bool = False
    norm: bool = True


def _dense(k: int, s: int) -> tuple[_Conv, ...]:
    return (_Conv((k, k), (s, s)),)


def _factorised(k: int, s: int) -> tuple[_Conv, ...]:
    return (_Conv((1, k), (1, s), norm=False), _Conv((k, 1), (s, 1)))


def _dilated(k: int, s: int) -> tuple[_Conv, ...]:
    return (_Conv((k, k), (s, s), depthwise=True, norm=False), _Conv((1, 1)))


def _separable(k: int, s: int) -> tuple[_Conv, ...]:
    return (*_dilated(k, s), *_dilated(k, 1))


_CONVOLUTIONS: Mapping[str, tuple[Callable[[int, int], tuple[_Conv, ...]], int]] = {
    **{f"sep_conv_{k}x{k}": (_separable, k) for k in (3, 5, 7)},
    **{f"dil_conv_{k}x{k}": (_dilated, k) for k in (3, 5)},
    **{f"conv_{k}x{k}": (_dense, k) for k in (1, 3, 5)},
    **{f"nor_conv_{k}x{k}": (_dense, k) for k in (1, 3)},
    **{f"conv_{ends}": (_factorised, k) for ends, k in (("1x3_3x1", 3), ("1x7_7x1", 7), ("7x1_1x7", 7))},
}
_POOLS = {f"{kind}_pool_{k}x{k}": k for kind in ("max", "avg") for k in (2, 3, 5)}
CELL_OPS = (*_CONVOLUTIONS, *_POOLS)
"""Names of what an O edge of a cell may carry; those that begin with "nor_" are NAS-Bench-201's."""


def cell_op(op: str, edge: str, channels: int, size: int, stride: int) -> Operation:
    """Describe an operation; kind and geometry are those of its first convolution, as for a model's edges.

    Args:
        op: One of `CELL_OPS`.
        edge: Name of its edge, with which the names of its weights begin.
        channels: Of its input [batch, channels, size, size] and of its output.
        size: Height and width of its input.
        stride: Of its first convolution; divides the size.
    """
    if op in _POOLS:
        kind = "MaxPool" if op.startswith("max") else "AveragePool"
        return Operation(kind, (_POOLS[op],) * 2, (stride, stride))
    make, k = _CONVOLUTIONS[op]
    convolutions = make(k, stride)
    weights: list[Weight] = []
    madds, height, width = 0, size, size
    for i, conv in enumerate(convolutions):
        height, width = height // conv.stride[0], width // conv.stride[1]
        weights.append(Weight(f"{edge}.{i}.weight", prod(conv.kernel) * channels * (1 if conv.depthwise else channels)))
        madds += weights[-1].size * height * width
        weights += _norm(f"{edge}.{i}", channels) if conv.norm else ()
    first = convolutions[0]
    return Operation("Conv", first.kernel, first.stride, channels if first.depthwise else 1, tuple(weights), madds)


def preprocessing(edge: str, wide: int, channels: int, size: int) -> Operation:
    """Describe the 1×1 convolution by which a cell reads a concat; it absorbs the loss of the concat's channels.

    Args:
        edge: Name of its edge.
        wide: Channels of the concat [batch, wide, size, size].
        channels: Channels of what it makes.
        size: Height and width.
    """
    conv = Weight(f"{edge}.weight", wide * channels)
    madds = conv.size * size**2
    absorbs = ChannelCutRule(1, None, weights=frozenset({conv.name}), madds=madds)
    return Operation("Conv", (1, 1), (1, 1), 1, (conv, *_norm(edge, channels)), madds, (absorbs,))


def _norm(name: str, channels: int) -> tuple[Weight, Weight]:
    return Weight(f"{name}.scale", channels), Weight(f"{name}.shift", channels)
