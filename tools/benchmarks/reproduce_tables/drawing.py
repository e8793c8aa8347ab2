"""Pictures of β and α side by side, as SVG."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple
from xml.etree import ElementTree as ET

from tools.benchmarks.reproduce_tables.layout import Layout, Point, lay_out
from tools.benchmarks.reproduce_tables.sections import Link, Look, Section

__all__ = ["draw"]

_WIDTH = 1080.0
"""Most that a row of sections is across, if it is not one wider section."""
_MARGIN, _HEAD, _LEGEND = 44.0, 36.0, 30.0
_NODE = (42.0, 18.0)
_LETTER, _BOLD, _TITLE, _LINE = 5.9, 7.0, 8.2, 13.0
"""About how wide a letter is, by font, and how high a line."""
_STYLE = """
text { font: 11px sans-serif; text-anchor: middle; dominant-baseline: central }
.title { font-size: 14px; font-weight: bold; text-anchor: start }
.head { font-weight: bold }
.legend { text-anchor: start }
rect.page { fill: #ffffff }
rect.map { fill: #f2f2f2; stroke: #555555 }
rect.outside { fill: #ffffff; stroke: #999999; stroke-dasharray: 3 2 }
path { fill: none; stroke-width: 1.4; stroke: #333333 }
.skip path, .fixed path { stroke: #aaaaaa }
.fixed path { stroke-width: 4; stroke: #dddddd }
.to-skip path { stroke: #0072b2; stroke-width: 2.4 }
.new-skip path { stroke: #009e73; stroke-width: 2.4 }
.dropped path { stroke: #d55e00; stroke-dasharray: 5 4 }
.idle path { stroke: #bbbbbb; stroke-dasharray: 2 3 }
.label rect { fill: #ffffff }
.dropped text { fill: #d55e00; text-decoration: line-through }
.idle text { fill: #999999 }
.to-skip text { fill: #0072b2; text-decoration: line-through }
"""
_APART = 5.0
"""That labels should keep from each other."""
_ALONG = (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74)
"""Where on a stretch of its line a label may be."""
_KEYS: tuple[tuple[Look, str], ...] = (
    ("operation", "operation"),
    ("skip", "skip"),
    ("to skip", "operation → skip"),
    ("new skip", "null → skip"),
    ("dropped", "→ null"),
    ("idle", "carries nothing any more"),
    ("fixed", "no edge of ours"),
)


class _Pair(NamedTuple):
    """A section, where its parts stand in β as in α, the width of either, and the upper left corner of both."""

    section: Section
    layout: Layout
    panel: float
    across: float
    down: float


class _Box(NamedTuple):
    """A rectangle, by its middle."""

    x: float
    y: float
    width: float
    height: float

    def hidden(self, other: "_Box") -> float:
        """The area that both have, or would have if they were a little nearer."""
        across = (self.width + other.width) / 2 + _APART - abs(self.x - other.x)
        down = (self.height + other.height) / 2 - abs(self.y - other.y)
        return max(0.0, across) * max(0.0, down)


def draw(title: str, parts: Sequence[Section]) -> str:
    """Draw each section twice, β left and α right, every node where it is in the other.

    A group of class `beta` or `alpha` holds a group for each edge: its class says how it is drawn, `data-edge` is its
    name, `data-source` and `data-target` are the numbers of its maps in the section.
    """
    pairs = list(_arranged(parts))
    width = max(_TITLE * len(title), _legend_width(), *(pair.across + 2 * pair.panel for pair in pairs))
    height = max(pair.down + pair.layout.height for pair in pairs) + _LEGEND
    root = ET.Element(
        "svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width:g} {height:g}", "role": "img"}
    )
    ET.SubElement(root, "title").text = title
    ET.SubElement(root, "style").text = _STYLE
    _rect(root, _Box(width / 2, height / 2, width, height), "page")
    _text(root, (12.0, 18.0), title, "title")
    for pair in pairs:
        for position, name in enumerate(("beta", "alpha")):
            place = f"translate({pair.across + position * pair.panel:g} {pair.down:g})"
            group = ET.SubElement(root, "g", {"class": name, "transform": place, "data-section": pair.section.title})
            _panel(group, pair, name)
    _legend(root, height - _LEGEND / 2)
    return ET.tostring(root, encoding="unicode") + "\n"


def _arranged(parts: Sequence[Section]) -> Iterator[_Pair]:
    """Pairs of panels from left to right, in rows as far as the width goes."""
    across, down, tallest = 0.0, _HEAD, 0.0
    for section in parts:
        ends = [(link.source, link.target) for link in section.links]
        layout = lay_out(len(section.maps), ends, [bool(link.label) for link in section.links], _MARGIN)
        panel = max(layout.width, _BOLD * len(_head("beta", section)) + _LINE)
        if across and across + 2 * panel > _WIDTH:
            across, down, tallest = 0.0, down + tallest, 0.0
        yield _Pair(section, layout, panel, across, down)
        across, tallest = across + 2 * panel, max(tallest, layout.height)


def _head(name: str, section: Section) -> str:
    return f"{'β' if name == 'beta' else 'α'} {section.title}".strip()


def _panel(group: ET.Element, pair: _Pair, name: str) -> None:
    section, layout = pair.section, pair.layout
    indent = (pair.panel - layout.width) / 2
    _text(group, (pair.panel / 2, 6.0), _head(name, section), "head")
    nodes = [
        _Box(x + indent, y, max(_NODE[0], _LETTER * len(text) + 8), _NODE[1])
        for (x, y), text in zip(layout.nodes, section.maps, strict=True)
    ]
    paths = [[(x + indent, y) for x, y in path] for path in layout.paths]
    drawn = [(link, path, getattr(link, name)) for link, path in zip(section.links, paths, strict=True)]
    drawn = [(link, path, look) for link, path, look in drawn if look != "absent"]
    groups = [_line(group, link, path, look) for link, path, look in drawn]
    read = {link.source for link, _, _ in drawn}
    for number, (box, text) in enumerate(zip(nodes, section.maps, strict=True)):
        if number < section.outside and number not in read:
            continue
        _rect(group, box, "outside" if number < section.outside else "map")
        _text(group, (box.x, box.y), text)
    taken = nodes
    for (link, path, _), own in zip(drawn, groups, strict=True):
        if link.label:
            box = _free(path, link.label, taken)
            taken = [*taken, box]
            label = ET.SubElement(own, "g", {"class": "label"})
            _rect(label, box)
            _text(label, (box.x, box.y), link.label)


def _line(group: ET.Element, link: Link, path: Sequence[Point], look: Look) -> ET.Element:
    attributes = {"class": look.replace(" ", "-"), "data-edge": link.name}
    attributes |= {"data-source": str(link.source), "data-target": str(link.target)}
    own = ET.SubElement(group, "g", attributes)
    (x, y), *_ = path
    steps = [f"M{x:.1f} {y:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(path):
        middle = (y0 + y1) / 2
        steps.append(f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}")
    ET.SubElement(own, "path", {"d": "".join(steps)})
    return own


def _free(path: Sequence[Point], label: str, taken: Sequence[_Box]) -> _Box:
    """Where a label hides least, on its line."""
    size = (_LETTER * len(label) + 3, _LINE)
    boxes = [_Box(*_on(one, other, t), *size) for t in _ALONG for one, other in pairwise(path)]
    return min(boxes, key=lambda box: sum(box.hidden(other) for other in taken))


def _on(start: Point, end: Point, t: float) -> Point:
    """A point of the curve between two, as `_line` draws it."""
    (x0, y0), (x1, y1) = start, end
    middle = (y0 + y1) / 2
    first, second, third, last = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
    return (first + second) * x0 + (third + last) * x1, first * y0 + (second + third) * middle + last * y1


def _rect(parent: ET.Element, box: _Box, name: str = "") -> None:
    place = {"x": box.x - box.width / 2, "y": box.y - box.height / 2, "width": box.width, "height": box.height}
    attributes = {key: f"{value:.1f}" for key, value in place.items()}
    ET.SubElement(parent, "rect", attributes | ({"class": name, "rx": "3"} if name else {}))


def _text(parent: ET.Element, at: Point, text: str, name: str = "") -> None:
    attributes = {"x": f"{at[0]:.1f}", "y": f"{at[1]:.1f}"}
    ET.SubElement(parent, "text", attributes | ({"class": name} if name else {})).text = text


def _legend(root: ET.Element, y: float) -> None:
    x = 16.0
    for look, text in _KEYS:
        own = ET.SubElement(root, "g", {"class": look.replace(" ", "-")})
        ET.SubElement(own, "path", {"d": f"M{x:.1f} {y:.1f}h26"})
        _text(root, (x + 32, y), text, "legend")
        x += 50 + _LETTER * len(text)


def _legend_width() -> float:
    return 16.0 + sum(50 + _LETTER * len(text) for _, text in _KEYS)
