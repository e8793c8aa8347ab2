"""Numbers in plain text, for terminals. A change is "" where one side of it was not measured."""

__all__ = ["count", "percent", "ratio"]


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return "unknown" if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """A fraction in per cent, without the sign."""
    return "" if value is None else f"{100 * value:.1f}"


def ratio(old: float | None, new: float | None) -> str:
    """The relative change from old to new."""
    return "" if not old or new is None else f"{100 * (new / old - 1):+.1f} %"
