"""Which costs are limited, and to what: the first price is what a search is about, and its targets are fractions."""

from collections.abc import Sequence

from natonnx.search.price import Price, Together
from natonnx.search.settings import Settings

__all__ = ["arrange", "limited_prices", "targets_of"]


def arrange(prices: Sequence[Price], settings: Settings) -> tuple[Price, ...]:
    """Put what is limited first, and several limits together before that.

    Args:
        prices: What architectures cost, everything that is limited among it.
        settings: Of the search.
    """
    limits = settings.limits
    limited = [price for price in prices if price.name in limits]
    others = [price for price in prices if price.name not in limits]
    if len(limited) < 2:
        return (*limited, *others)
    fractions = tuple(limits[price.name][0].of(price.full) for price in limited)
    return (Together(tuple(limited), fractions), *limited, *others)


def targets_of(prices: Sequence[Price], settings: Settings) -> tuple[float, ...]:
    """Return the highest costs by the first price, as fractions of β's, descending; empty for no target."""
    first = prices[0]
    if isinstance(first, Together):
        return (first.target,)
    return tuple(sorted({amount.of(first.full) for amount in settings.limits.get(first.name, ())}, reverse=True))


def limited_prices(prices: Sequence[Price], target: float | None) -> tuple[tuple[Price, float], ...]:
    """Return what an α's costs are held against, with the most that each may be, as a fraction of β's.

    Args:
        prices: As `arrange` puts them.
        target: Of the first price; None for no target: then it may cost what β does.
    """
    first = prices[0]
    if isinstance(first, Together):
        return tuple(zip(first.prices, first.limits, strict=True))
    return ((first, 1.0 if target is None else target),)
