"""Charts as inline SVG, coloured by the page's style sheet so that they follow light, dark and print."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

__all__ = ["Mark", "Scale", "line_chart", "scatter", "ticks"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 38
_STEPS = (1, 2, 2.5, 5, 10)


class Scale(NamedTuple):
    """A linear map from data to pixels, with the ticks of its axis."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float, most: int = 5) -> "Scale":
        """The scale of an axis that shows all of some finite values, from pixel `start` to pixel `end`."""
        low, high = min(values), max(values)
        margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
        low, high = low - margin, high + margin
        return cls(low, high, start, end, ticks(low, high, most))

    def at(self, value: float) -> float:
        """Where a value lies, in pixels."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


class Mark(NamedTuple):
    """A point of a scatter: where, its class in the style sheet, and what it is."""

    x: float
    y: float
    kind: str
    title: str


def ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Round numbers between two bounds, at most so many."""
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(s * size for s in _STEPS if s * size >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step), math.floor(high / step)
    return tuple(i * step for i in range(first, last + 1))


def line_chart(
    title: str,
    epochs: Sequence[int],
    values: Sequence[float | None],
    form: Callable[[float], str],
    limit: Sequence[float | None] = (),
) -> str:
    """A curve over epochs, broken where a value is missing; and, dashed, a limit that it had to keep.

    Returns:
        An SVG; "" where there is no value at all.
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    width, height = 272, 180
    x = Scale.over([float(epoch) for epoch in epochs], _LEFT, width - _RIGHT, 4)
    x = x._replace(ticks=tuple(tick for tick in x.ticks if tick.is_integer()) or (float(epochs[0]),))
    y = Scale.over(known + [value for value in limit if value is not None], height - _BOTTOM, _TOP, 4)
    parts = [_axes(x, y, ("epoch", ""), (lambda value: f"{value:g}", form))]
    if limit:
        parts.append(f'<path class="limit" d="{_path(x, y, epochs, limit)}"/>')
    parts.append(f'<path class="curve" d="{_path(x, y, epochs, values)}"/>')
    parts += [
        f'<circle class="dot" cx="{x.at(epoch):.1f}" cy="{y.at(value):.1f}" r="3"><title>epoch {epoch}: '
        f"{escape(form(value))}</title></circle>"
        for epoch, value in zip(epochs, values, strict=True)
        if value is not None
    ]
    told = f"{title} by epoch: from {form(known[0])} to {form(known[-1])}"
    return _svg(width, height, told, "".join(parts))


def scatter(
    marks: Sequence[Mark], axes: tuple[str, str], forms: tuple[Callable[[float], str], ...], limit: float | None
) -> str:
    """Cost against score; a dashed line at the most that the cost may be."""
    width, height = 720, 330
    x = Scale.over([mark.x for mark in marks] + ([] if limit is None else [limit]), _LEFT, width - _RIGHT, 7)
    y = Scale.over([mark.y for mark in marks], height - _BOTTOM, _TOP + 6)
    parts = [_axes(x, y, axes, forms)]
    if limit is not None:
        parts.append(f'<path class="limit" d="M{x.at(limit):.1f},{_TOP}V{y.start}"/>')
        parts.append(_text(x.at(limit) - 6, _TOP + 9, "end", "limit"))
    parts += [_mark(mark, x.at(mark.x), y.at(mark.y)) for mark in marks]
    told = f"{len(marks)} architectures, {axes[0]} against {axes[1]}; the table below has the same numbers"
    return _svg(width, height, told, "".join(parts))


def _mark(mark: Mark, x: float, y: float) -> str:
    symbols = {
        "given": f"M{x - 4:.1f},{y - 4:.1f}h8v8h-8z",
        "beta": f"M{x - 7:.1f},{y - 7:.1f}h14v14h-14z",
        "chosen": f"M{x:.1f},{y - 8:.1f}l8,8l-8,8l-8,-8z",
    }
    title = f"<title>{escape(mark.title)}</title>"
    if mark.kind in symbols:
        return f'<path class="mark {mark.kind}" d="{symbols[mark.kind]}">{title}</path>'
    return f'<circle class="mark {mark.kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{title}</circle>'


def _axes(x: Scale, y: Scale, titles: tuple[str, str], forms: Sequence[Callable[[float], str]]) -> str:
    parts = [
        f'<path class="grid" d="M{x.start:.1f},{y.at(tick):.1f}H{x.end:.1f}"/>'
        + _text(x.start - 7, y.at(tick) + 4, "end", forms[1](tick))
        for tick in y.ticks
    ]
    parts += [
        f'<path class="axis" d="M{x.at(tick):.1f},{y.start:.1f}v4"/>'
        + _text(x.at(tick), y.start + 17, "middle", forms[0](tick))
        for tick in x.ticks
    ]
    parts.append(f'<path class="axis" d="M{x.start:.1f},{y.start:.1f}H{x.end:.1f}"/>')
    parts.append(_text((x.start + x.end) / 2, y.start + 32, "middle", titles[0]))
    if titles[1]:
        turn = f"translate(12,{(y.start + y.end) / 2:.1f}) rotate(-90)"
        parts.append(f'<g transform="{turn}">{_text(0, 0, "middle", titles[1])}</g>')
    return "".join(parts)


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _path(x: Scale, y: Scale, xs: Sequence[int], ys: Sequence[float | None]) -> str:
    parts, pen = [], "M"
    for across, up in zip(xs, ys, strict=True):
        if up is None:
            pen = "M"
            continue
        parts.append(f"{pen}{x.at(across):.1f},{y.at(up):.1f}")
        pen = "L"
    return "".join(parts)


def _svg(width: float, height: float, told: str, content: str) -> str:
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(told)}">{content}</svg>'
