"""Numbers in plain text, for terminals. A change is "" where one side of it was not measured."""

__all__ = ["count", "gain", "percent", "points", "ratio"]


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return "unknown" if value is None else f"{value:,.0f}"


def gain(old: float | None, new: float | None) -> str:
    """The difference of two numbers in their own unit."""
    return "" if old is None or new is None else f"{new - old:+.4g}"


def percent(value: float | None) -> str:
    """A fraction in per cent, without the sign."""
    return "" if value is None else f"{100 * value:.1f}"


def points(old: float | None, new: float | None) -> str:
    """The difference of two fractions in percentage points."""
    return "" if old is None or new is None else f"{100 * (new - old):+.1f} points"


def ratio(old: float | None, new: float | None) -> str:
    """The relative change from old to new."""
    return "" if not old or new is None else f"{100 * (new / old - 1):+.1f} %"
