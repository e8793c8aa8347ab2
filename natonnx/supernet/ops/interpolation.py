"""What each position of a resized axis takes from the positions of the axis before, as ONNX's Resize defines it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["COORDINATES", "ROUNDINGS", "Axis", "Rule", "extrapolated", "matrix", "sources"]

COORDINATES = frozenset(
    {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"}
)
"""The ways to tell where a position of the resized axis lies in the axis before."""

ROUNDINGS = frozenset({"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"})
"""The ways to round to the nearest position."""


@dataclass(frozen=True)
class Axis:
    """One axis to be resized.

    Attributes:
        at: Which axis.
        size: Its size before.
        scale: The scale that the node gives or that follows from the sizes.
        resized: Its size afterwards.
        start: Where the region to be cropped starts, as a share of the axis.
        end: Where it ends.
    """

    at: int
    size: int
    scale: float
    resized: int
    start: float = 0.0
    end: float = 1.0

    @property
    def unchanged(self) -> bool:
        """Whether resizing leaves the axis as it is."""
        return self.resized == self.size and self.scale == 1 and (self.start, self.end) == (0, 1)


@dataclass(frozen=True)
class Rule:
    """How a node interpolates.

    Attributes:
        mode: nearest, linear or cubic.
        coordinates: One of `COORDINATES`.
        rounding: One of `ROUNDINGS`, or "simple": up where the axis shrinks, else down.
        antialias: Whether the kernel widens where the axis shrinks.
        exclude_outside: Whether positions outside the axis count nothing, rather than as its ends.
        cubic_a: The free coefficient of the cubic kernel.
        outside: The value of what lies outside a cropped region.
    """

    mode: str
    coordinates: str
    rounding: str
    antialias: bool = False
    exclude_outside: bool = False
    cubic_a: float = -0.75
    outside: float = 0.0


def _positions(axis: Axis, coordinates: str) -> NDArray[np.float32]:
    """Return where each resized position lies in the axis before, in single precision as in onnxruntime.

    Where the corners are aligned, those of the whole result are meant, also after a scale that leads to a fraction.
    """
    half, scale = np.float32(0.5), np.float32(axis.scale)
    y = np.arange(axis.resized, dtype=np.float32)
    last, last_resized = np.float32(axis.size - 1), np.float32(axis.resized - 1)
    match coordinates:
        case "asymmetric":
            return y / scale
        case "align_corners":
            return y * last / last_resized if axis.resized > 1 else y
        case "tf_crop_and_resize":
            start, end = np.float32(axis.start), np.float32(axis.end)
            if axis.resized == 1:
                return y + half * (start + end) * last
            return start * last + y * (end - start) * last / last_resized
        case "pytorch_half_pixel" if axis.resized == 1:
            return y
        case "half_pixel_symmetric":
            overhang = np.float32(1) - np.float32(axis.resized) / (scale * np.float32(axis.size))
            return np.float32(axis.size / 2) * overhang + (y + half) / scale - half
        case _:
            return (y + half) / scale - half


def extrapolated(axis: Axis, rule: Rule) -> NDArray[np.bool_] | None:
    """Return which resized positions lie outside the axis, None where a rule extrapolates nothing."""
    if rule.coordinates != "tf_crop_and_resize":
        return None
    positions = _positions(axis, rule.coordinates)
    return (positions < 0) | (positions > axis.size - 1)


@lru_cache(maxsize=256)
def sources(axis: Axis, rule: Rule) -> tuple[int, ...]:
    """Return the position that each resized position repeats, for the mode nearest."""
    x = _positions(axis, rule.coordinates)
    half = np.float32(0.5)
    match rule.rounding:
        case "round_prefer_floor":
            rounded = np.ceil(x - half)
        case "round_prefer_ceil":
            rounded = np.floor(x + half)
        case "ceil":
            rounded = np.ceil(x)
        case "simple" if axis.scale < 1:
            rounded = np.ceil(x)
        case _:
            rounded = np.floor(x)
    return tuple(rounded.astype(int).clip(0, axis.size - 1).tolist())


@lru_cache(maxsize=256)
def matrix(axis: Axis, rule: Rule) -> NDArray[np.float64]:
    """Return the weights of the positions before, a row for each resized position, for the modes linear and cubic."""
    x = _positions(axis, rule.coordinates).astype(np.float64)
    kernel, reach = (_linear, 1) if rule.mode == "linear" else (_cubic(rule.cubic_a), 2)
    shrink = min(axis.scale, 1.0) if rule.antialias else 1.0
    span = math.ceil(reach / shrink)
    taps = np.floor(x).astype(int)[:, None] + np.arange(-span, span + 2)
    weights = kernel(np.abs(taps - x[:, None]) * shrink)
    inside = (taps >= 0) & (taps < axis.size)
    if rule.exclude_outside:
        weights = np.where(inside, weights, 0.0)
    if rule.exclude_outside or rule.antialias:
        total = weights.sum(1, keepdims=True)
        weights = weights / np.where(total == 0, 1.0, total)
    result = np.zeros((axis.resized, axis.size))
    np.add.at(result, (np.arange(axis.resized)[:, None], taps.clip(0, axis.size - 1)), weights)
    return result


def _linear(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    return (1 - distance).clip(0)


def _cubic(a: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return Keys' kernel of the distance."""

    def kernel(x: NDArray[np.float64]) -> NDArray[np.float64]:
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))

    return kernel
