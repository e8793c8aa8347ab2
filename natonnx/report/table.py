"""Tables that fit where they are shown: columns where there is room for them, else a record a row."""

import re
from collections.abc import Collection, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from natonnx.report.text import visible

__all__ = ["plain", "show_line", "show_table"]

_GAP = 2
_LEAST = 24
"""Columns that a last column keeps at least for its text to be wrapped in it."""


def plain(text: str) -> str:
    """Text of others for a line of markup: it says what it says, whatever it looks like."""
    return escape(visible(text))


def show_line(console: Console, markup: str) -> None:
    """Show a line of markup, wrapped between words; a word that is too long is not broken."""
    text = Text.from_markup(markup, emoji=False)
    for line in text.divide(_breaks(text.plain, console.width)):
        line.rstrip()
        console.print(line, soft_wrap=True)


def show_table(
    console: Console, header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()
) -> None:
    """Show rows of plain text.

    Nothing is cut, and no word or number is broken. The text of the last column is wrapped between words. Where the
    console is too narrow even so, each row is a record: its first cell, then a line for each other that is not empty.

    Args:
        console: Where; its width decides.
        header: A name for each column.
        rows: A cell for each column.
        right: Columns that are aligned to the right.
    """
    lines = [[visible(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    last = len(widths) - 1
    room = console.width - sum(widths[:last]) - _GAP * last
    if last not in right and widths[last] > room >= max(_LEAST, _longest_word(line[last] for line in lines)):
        widths[last] = room
    if widths[last] > room:
        _show_records(console, lines[0], lines[1:])
        return
    for position, line in enumerate(lines):
        *cells, text = line
        start = (" " * _GAP).join(_aligned(cell, widths[i], i in right) for i, cell in enumerate(cells))
        first, *more = _wrap(text, widths[last])
        parts = [start + " " * _GAP + _aligned(first, widths[last], last in right)]
        parts += [" " * (cell_len(start) + _GAP) + part for part in more]
        for part in parts:
            console.print(Text(part.rstrip(), style="" if position else "bold"), soft_wrap=True)


def _show_records(console: Console, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    label_width = max(map(cell_len, header[1:]))
    indent = 2 + label_width + _GAP
    for title, *cells in rows:
        console.print(Text(title, style="bold"), soft_wrap=True)
        for label, cell in zip(header[1:], cells, strict=True):
            if not cell:
                continue
            if 2 * indent > console.width:  # the labels are long: the text goes below
                console.print(Text(f"  {label}"), soft_wrap=True)
                start, inner = "    ", 4
            else:
                start, inner = f"  {_aligned(label, label_width, False)}{' ' * _GAP}", indent
            for part in _wrap(cell, max(1, console.width - inner)):
                console.print(Text(start + part), soft_wrap=True)
                start = " " * inner


def _aligned(cell: str, width: int, to_the_right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if to_the_right else cell + space


def _wrap(text: str, width: int) -> list[str]:
    """Lines of whole words; a word that is too long is a line."""
    starts = [0, *_breaks(text, width)]
    return [text[start:end].rstrip() for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def _breaks(text: str, width: int) -> list[int]:
    """Where lines after the first begin."""
    found: list[int] = []
    words = [(match.start(), match[0]) for match in re.finditer(r"\S+\s*", text)]
    used = cell_len(text[: words[0][0]]) if words else 0
    for position, (start, word) in enumerate(words):
        if position and used + cell_len(word.rstrip()) > width:
            found.append(start)
            used = 0
        used += cell_len(word)
    return found


def _longest_word(texts: Iterator[str]) -> int:
    return max((cell_len(word) for text in texts for word in text.split()), default=0)
