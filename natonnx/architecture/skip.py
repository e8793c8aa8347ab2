"""The parameter-free skip: what state S does where the source's shape is not the target's."""

import functools
import re
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Shape", "Skip", "match_skip"]

Shape = tuple[int | str | None, ...]
"""Sizes of a tensor; a string is a symbol or a product such as `20*N`, None an unknown size."""

_FRACTION = re.compile(
    r"(?:(?P<times>[1-9]\d{0,17})\*)?(?P<symbol>[A-Za-z_][\w.]*)(?:/(?P<by>[1-9]\d{0,17}))?", re.ASCII
)
"""A whole part of an open size, such as `3*H/4`."""


@dataclass(frozen=True)
class Skip:
    """Identity, or average pooling by an integer ratio, then zero channels appended.

    The paper's cell networks use FactorizedReduce, which has parameters; this rule keeps c(S) at nearly nothing.

    Attributes:
        pool: Pooling ratio of each spatial axis; () where the resolution stays.
        pad_channels: Number of zero channels appended after the source's own.
        rank: Rank of the tensor, batch included.
    """

    rank: int
    pool: tuple[int, ...] = ()
    pad_channels: int = 0

    @property
    def is_identity(self) -> bool:
        """Whether the skip hands its source on unchanged."""
        return not self.pool and not self.pad_channels


@functools.lru_cache(maxsize=1024)  # a network has few shapes, and asks of each many times
def match_skip(source: Shape, target: Shape) -> Skip | str:
    """Find the parameter-free skip that turns one shape into another.

    Args:
        source: Shape of the map that is read.
        target: Shape of the map that is written.

    Returns:
        The skip, or the reason in one line why there is none.
    """
    if not source or not target or None in source or None in target:
        return "a shape is unknown"
    if source == target:
        return Skip(len(source))
    if len(source) != len(target):
        return f"rank {len(source)} cannot become rank {len(target)}"
    if source[0] != target[0]:
        return f"axis 0 of size {source[0]} cannot become {target[0]}"
    if 0 in source or 0 in target:
        return "its source or its target is empty"
    if len(source) < 2:
        return f"size {source} cannot become {target}"
    growth = _channel_growth(source[1], target[1])
    if isinstance(growth, str):
        return growth
    ratios: list[int] = []
    for axis, (size, wanted) in enumerate(zip(source[2:], target[2:], strict=True), start=2):
        ratio = _ratio(size, wanted)
        if ratio is None:
            return f"axis {axis} would go from {size} to {wanted}, and whether by an integer ratio is open"
        if ratio.denominator != 1:
            return f"axis {axis} of size {size} cannot be pooled to {wanted} by an integer ratio"
        ratios.append(int(ratio))
    if any(ratio > 1 for ratio in ratios) and len(source) not in (3, 4, 5):
        return f"a tensor of rank {len(source)} cannot be pooled"
    pool = tuple(ratios) if any(ratio > 1 for ratio in ratios) else ()
    return Skip(len(source), pool, growth)


def _ratio(size: int | str | None, wanted: int | str | None) -> Fraction | None:
    """How many times one size is another, as 8 is 4, or `H/2` is `H/4`; None where that is open."""
    if size == wanted:
        return Fraction(1)
    if isinstance(size, int) and isinstance(wanted, int):
        return Fraction(size, wanted)
    one, other = (_FRACTION.fullmatch(text) if isinstance(text, str) else None for text in (size, wanted))
    if one is None or other is None or one["symbol"] != other["symbol"]:
        return None
    return _factor(one) / _factor(other)


def _factor(fraction: re.Match[str]) -> Fraction:
    return Fraction(int(fraction["times"] or 1), int(fraction["by"] or 1))


def _channel_growth(source: int | str | None, target: int | str | None) -> int | str:
    if source == target:
        return 0
    if not isinstance(source, int) or not isinstance(target, int):
        return f"whether {source} channels are more than {target} is open"
    if target < source:
        return f"{source} channels cannot become fewer ({target}) without parameters"
    return target - source
