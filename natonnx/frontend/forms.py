"""Write sizes that depend on symbols in one way, so that equal sizes have equal texts.

A size is what it is under several assignments of numbers to the symbols, however it came about: `floor(1.0*N)` is `N`,
and `floor(H/2 - 1/2) + 1` is what `ceiling(H/2)` is. The numbers also tell a short text for it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, combinations_with_replacement
from math import prod

__all__ = ["ANY", "FIRST", "Assignment", "Forms", "assignments"]

Assignment = Mapping[str, int]
"""A number for every symbol."""

ANY = 20160
"""A number that what axes are usually divided by divides."""
FIRST = 2
"""How many assignments tell whether a model takes such numbers."""
_FEW = 5
"""How many are enough where only the number of samples is open, which nothing is rounded of."""

_SAMPLES = (43, 47, 1, 2, 6, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14)
"""Numbers of samples; a single one may be broadcast."""
_OPEN = (193, 4095, 322, 259, 388, 134, 392, 220, 400, 384, 223, 158, 352, 353, 240, 239)
"""Sizes of another axis: with the remainders at which strides of 2 to 64 round, and one beyond usual lengths."""
_SMALLER = (
    (193, 447, 322, 259, 388, 134, 392, 220, 400, 384, 223, 158, 352, 353, 240, 239),
    (33, 63, 50, 35, 36, 38, 40, 60, 48, 64, 47, 62, 34, 49, 41, 55),
)
"""Sizes that fit into tables of positions."""
_MULTIPLES = (2, 4, 8, 16, 32, 64)
_PERIOD = 64
_MOST_FACTORS = 12
_DEGREE = 3


def assignments(symbols: Collection[str], batch: Collection[str] = ()) -> Iterator[tuple[Assignment, ...]]:
    """Choose numbers for all symbols, several times, and that in several ways.

    Args:
        symbols: The symbols.
        batch: Those among them that count samples.

    Yields:
        Assignments of which every model should take the first ones, and some only others: multiples of 2, 4, ..., where
        a model joins what it halved and doubled with what it did not, and smaller numbers.
    """
    if all(symbol in batch for symbol in symbols):
        yield _rows(symbols, batch, _OPEN)[:_FEW]
        return
    yield _rows(symbols, batch, _OPEN)
    for multiple in _MULTIPLES:
        yield _rows(symbols, batch, [max(size // multiple, 3 + row) * multiple for row, size in enumerate(_OPEN)])
    yield from (_rows(symbols, batch, sizes) for sizes in _SMALLER)


def _rows(symbols: Collection[str], batch: Collection[str], sizes: Sequence[int]) -> tuple[Assignment, ...]:
    count = len(sizes)

    def number(position: int, symbol: str, row: int) -> int:
        if symbol in batch:
            return _SAMPLES[row]
        return sizes[(row + position) % count] + position // count * _PERIOD

    return tuple({symbol: number(i, symbol, row) for i, symbol in enumerate(symbols)} for row in range(count))


class Forms:
    """Texts of sizes by their values under assignments.

    Attributes:
        rows: The assignments.
    """

    def __init__(self, rows: Sequence[Assignment]) -> None:
        self.rows = rows
        self._texts: dict[tuple[int | None, ...], int | str | None] = {}
        self._factors = {symbol: tuple(row[symbol] for row in rows) for symbol in list(rows[0])[:_MOST_FACTORS]}

    def write(self, values: Sequence[int | None], text: str | None = None) -> int | str | None:
        """Write a size as a constant, or as a product, a sum or a floor over symbols where it is one.

        Args:
            values: The size under each assignment; None where it is unknown.
            text: What it is written as if it is none of these.
        """
        key = tuple(values)
        if key not in self._texts:
            known = tuple(value for value in key if value is not None)
            self._texts[key] = self._find(known) if len(known) == len(key) else self._find_without(key)
        if self._texts[key] is None and None not in key:
            self._texts[key] = text
        found = self._texts[key]
        return text if found is None else found

    def _find_without(self, values: Sequence[int | None]) -> int | str | None:
        """A text of a size that is unknown under one assignment, as it is where a batch of 1 may be broadcast."""
        row = values.index(None)
        rest = [*values[:row], *values[row + 1 :]]
        if None in rest or len(rest) < 3:
            return None
        return Forms([*self.rows[:row], *self.rows[row + 1 :]]).write(rest)

    def _find(self, values: tuple[int, ...]) -> int | str | None:
        if len(set(values)) == 1:
            return values[0]
        for degree in range(1, _DEGREE + 1):
            for factors in combinations_with_replacement(self._factors, degree):
                if (product := self._product(factors, values)) is not None:
                    return product
        found = next((text for count in (1, 2) for text in self._sums(count, values)), None)
        found = found or next((text for symbol in self.rows[0] for text in self._floor(symbol, values)), None)
        if found and len(self._factors) < _MOST_FACTORS:
            self._factors[found if found.endswith(")") else f"({found})"] = values
        return found

    def _product(self, factors: Sequence[str], values: Sequence[int]) -> str | None:
        divisors = [prod(numbers) for numbers in zip(*(self._factors[factor] for factor in factors), strict=True)]
        if not all(divisors):
            return None
        ratios = {Fraction(value, divisor) for value, divisor in zip(values, divisors, strict=True)}
        return _term(ratios.pop(), "*".join(sorted(factors))) if len(ratios) == 1 else None

    def _sums(self, count: int, values: Sequence[int]) -> Iterator[str]:
        """Such as `H/2 - 1` or `past + seq`."""
        for symbols in combinations(self.rows[0], count):
            rows = [[*(row[symbol] for symbol in symbols), 1] for row in self.rows]
            factors = _solve(rows[: count + 1], values)
            if all(factors[:-1]) and all(_dot(factors, row) == value for row, value in zip(rows, values, strict=True)):
                terms = [_term(factor, symbol) for factor, symbol in zip(factors, symbols, strict=False)]
                yield " + ".join([*terms, str(factors[-1])] if factors[-1] else terms).replace("+ -", "- ")

    def _floor(self, symbol: str, values: Sequence[int]) -> Iterator[str]:
        """Such as `floor((H + 1)/2)`, behind a convolution with a stride."""
        sizes = [row[symbol] for row in self.rows]
        low, high = min(zip(sizes, values, strict=True)), max(zip(sizes, values, strict=True))
        span, steps = high[0] - low[0], high[1] - low[1]
        if steps < 1 or span < 1:
            return
        strides = range(max(2, span // (steps + 1)), span // max(steps - 1, 1) + 2)
        for stride in sorted(strides, key=lambda size: (size & (size - 1) != 0, size)):  # powers of two first
            for shift in range(stride):
                rest = {v - (size + shift) // stride for v, size in zip(values, sizes, strict=True)}
                if len(rest) == 1:
                    shifted = shift + stride * rest.pop()
                    sign = "+" if shifted > 0 else "-"
                    yield (
                        f"floor(({symbol} {sign} {abs(shifted)})/{stride})" if shifted else f"floor({symbol}/{stride})"
                    )


def _term(factor: Fraction, symbols: str) -> str:
    """A product such as `20*N`, `3*H/4` or `-H`."""
    sign, times = "-" if factor < 0 else "", "" if abs(factor.numerator) == 1 else f"{abs(factor.numerator)}*"
    return f"{sign}{times}{symbols}{'' if factor.denominator == 1 else f'/{factor.denominator}'}"


def _dot(one: Sequence[Fraction], other: Sequence[int]) -> Fraction:
    return sum((a * b for a, b in zip(one, other, strict=True)), Fraction())


def _solve(rows: Sequence[Sequence[int]], values: Sequence[int]) -> list[Fraction]:
    """Solve a small square system of equations exactly; zeros where it has no single solution."""
    system = [[*map(Fraction, row), Fraction(value)] for row, value in zip(rows, values, strict=False)]
    for column in range(len(system)):
        pivot = next((row for row in system[column:] if row[column]), None)
        if pivot is None:
            return [Fraction()] * len(system)
        system.remove(pivot)
        scaled = [number / pivot[column] for number in pivot]
        system = [[a - row[column] * b for a, b in zip(row, scaled, strict=True)] for row in system]
        system.insert(column, scaled)
    return [row[-1] for row in system]
