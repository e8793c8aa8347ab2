"""Numbers and names as the HTML report shows them. What was not measured is an em dash, never a guess."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from natonnx.contract.objective import Unit
from natonnx.report import numbers
from natonnx.report import score as scores

__all__ = [
    "MINUS",
    "UNKNOWN",
    "count",
    "difference",
    "ratio",
    "rounded",
    "score",
    "shape",
    "short",
    "table",
    "with_interval",
]

UNKNOWN = "—"
MINUS = "−"


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return UNKNOWN if value is None else f"{value:,.0f}".replace("-", MINUS)


def short(value: float | None) -> str:
    """A whole number in three digits: 31.0M."""
    if value is None:
        return UNKNOWN
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def rounded(value: float | None, digits: int = 3) -> str:
    """A number with so many digits after the point."""
    return UNKNOWN if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def score(value: float | None, unit: Unit) -> str:
    """A score, without its unit."""
    return UNKNOWN if value is None else scores.score(value, unit).replace("-", MINUS)


def with_interval(value: float | None, error: float | None, unit: Unit) -> str:
    """A score, and how far from it the truth is 19 times of 20 at most."""
    return UNKNOWN if value is None else scores.with_interval(value, error, unit).replace("-", MINUS)


def difference(old: float | None, new: float | None, unit: Unit) -> str:
    """The difference of two scores, with its unit; nothing where one was not measured."""
    return "" if old is None or new is None else scores.difference(new - old, unit).replace("-", MINUS)


def ratio(old: float | None, new: float | None) -> str:
    """The relative change from old to new."""
    return numbers.ratio(old, new).replace("-", MINUS)


def shape(sizes: Sequence[Any] | None) -> str:
    """A shape, with ? for a size that is not known."""
    return "?" if sizes is None else " × ".join("?" if size is None else str(size) for size in sizes)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    caption: str,
    *,
    numeric: Iterable[str] = (),
    head: bool = True,
) -> str:
    """An HTML table.

    Args:
        columns: Headings, plain text.
        rows: Cells, HTML: whoever makes them escapes what comes from a model.
        caption: What the table is, plain text, for screen readers.
        numeric: Headings of columns that are set flush right.
        head: Whether the first cell of a row is its heading.
    """
    right = {columns.index(name) for name in numeric}
    kinds = [' class="n"' if i in right else "" for i in range(len(columns))]
    titles = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(columns, kinds, strict=True))

    def line(cells: Sequence[str]) -> str:
        first = f'<th scope="row"{kinds[0]}>{cells[0]}</th>' if head else f"<td{kinds[0]}>{cells[0]}</td>"
        rest = (f"<td{kind}>{cell}</td>" for cell, kind in zip(cells[1:], kinds[1:], strict=True))
        return f"<tr>{first}{''.join(rest)}</tr>"

    body = "\n".join(map(line, rows))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f'<caption class="quiet">{escape(caption)}</caption><thead><tr>{titles}</tr></thead>\n<tbody>{body}</tbody>'
        "</table></div>"
    )
