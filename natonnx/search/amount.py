"""Amounts of a cost as people write them: 0.7, 70%, 5ms, 2.5MB, 300k."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from natonnx.errors import InputError

__all__ = ["Amount", "amounts"]

_BYTES = {"B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_UNITS = {
    "latency_ms": {"us": 1e-3, "ms": 1.0, "s": 1e3},
    "size_bytes": _BYTES,
    "peak_memory_bytes": _BYTES,
    "madds": {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12},
    "params": {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9},
}
"""What an amount may be given in, by the price's name: in milliseconds, bytes, or numbers."""


class Amount(NamedTuple):
    """A limit on a cost.

    Attributes:
        value: The most that it may be.
        absolute: Whether that is in the price's own unit, not a fraction of what the input costs.
    """

    value: float
    absolute: bool = False

    def of(self, full: float) -> float:
        """Return the limit as a fraction of what the input costs; at most 1, for no α costs more."""
        return min(1.0, self.value / full) if self.absolute and full else self.value


def amounts(given: float | str | Iterable[float | str], name: str, option: str) -> tuple[Amount, ...]:
    """Read one limit or several on a cost, the largest first.

    Args:
        given: Numbers are fractions; texts may have a unit, and commas between several.
        name: The price's name.
        option: What to call it where it cannot be read.

    Raises:
        InputError: If there is none, or one is no amount of that cost, or no fraction from 0 to 1.
    """
    several = given.split(",") if isinstance(given, str) else [given] if isinstance(given, int | float) else list(given)
    found = [_amount(one, name, option) for one in several]
    if not found or len({one.absolute for one in found}) > 1:
        raise InputError(f"{option} {given}: give at least one amount, all of them fractions or all in a unit")
    return tuple(sorted(found, reverse=True))


def _amount(given: float | str, name: str, option: str) -> Amount:
    match = re.fullmatch(r"\s*([0-9.eE+-]+?)\s*([a-zA-Zµ%]*)\s*", str(given))
    units = _UNITS[name]
    try:
        value, unit = float(match[1]) if match else float("nan"), match[2] if match else ""
    except ValueError:
        value, unit = float("nan"), ""
    known = ", ".join(f"5{one}" for one in list(units)[:3])
    if unit in units and 0 < value < float("inf"):
        return Amount(value * units[unit], absolute=True)
    value /= 100 if unit == "%" else 1
    if unit not in ("", "%") or not 0 < value <= 1:
        raise InputError(
            f"{option} {given}: must be above 0 and at most 1, a fraction of the input's, or an amount such as {known}"
        )
    return Amount(value)
