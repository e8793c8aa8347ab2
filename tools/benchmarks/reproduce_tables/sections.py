"""What a picture shows of a network: its cells, or stretches of a plain one, with the edges that β or α has."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from natonnx.architecture import Architecture, Edge, FeatureMap, Join, State, find_liveness
from tools.research.networks.catalog import Architecture as Published
from tools.research.networks.cells import Cell, stack

__all__ = ["Link", "Look", "Section", "sections"]

Look = Literal["absent", "operation", "skip", "to skip", "new skip", "dropped", "idle", "fixed"]
"""How an architecture has an edge. Of α: O→S, N→S, →N, what null propagation stopped; fixed is no edge of ours."""

_STRETCH = 20
_CELL = re.compile(r"/cells\.(\d+)/")
_PLACES = re.compile(r"/cells\.\d+/(links|inputs)\.(\d+)/")
_KINDS = {"MaxPool": "max", "AveragePool": "avg", "Gemm": "linear", "Relu": "ReLU", "Clip": "ReLU6"}


@dataclass(frozen=True)
class Link:
    """An edge in a picture.

    Attributes:
        name: Of the architecture's edge; "" where an operation without an edge makes one map of another.
        source: Position of its source in the section's maps.
        target: Likewise.
        label: What it carries as an operation; "" for skips.
        beta: How β has it.
        alpha: How α has it.
    """

    name: str
    source: int
    target: int
    label: str
    beta: Look
    alpha: Look


@dataclass(frozen=True)
class Section:
    """A cell, or neighbouring maps of a plain network.

    Attributes:
        title: What it is; "" where it is all.
        maps: What each node says, in topological order.
        outside: How many of these, the first, are of other sections.
        links: The edges that enter its own maps.
    """

    title: str
    maps: tuple[str, ...]
    outside: int
    links: tuple[Link, ...]


def sections(published: Published, cells: int, beta: Architecture, alpha: Architecture) -> list[Section]:
    """Divide a network so that every edge that β or α has is in one section, that of its target.

    Args:
        published: The network; the genotype of one of cells names the operations of their links.
        cells: How many cells that has.
        beta: The network as it is.
        alpha: What was made of it.
    """
    assert published.genotype is not None
    maps = beta.topology.maps
    stacked = stack(published.genotype, cells) if published.stacks else ()
    links = list(_links(beta, alpha, stacked))
    parts = _parts_of_cells(maps, stacked) if stacked else _stretches(maps)
    return [_section(title, part, maps, links) for title, part in parts]


def _parts_of_cells(maps: Sequence[FeatureMap], cells: Sequence[Cell]) -> Iterator[tuple[str, range]]:
    """The maps of each cell; image and stem go with the first one, the head with the last."""
    last = {int(found[1]): i for i, fmap in enumerate(maps) if (found := _CELL.match(fmap.name))}
    start = 0
    for k in sorted(last):
        end = len(maps) if k == max(last) else last[k] + 1
        yield f"{'reduction' if cells[k].reduction else 'normal'} cell {k}", range(start, end)
        start = end


def _stretches(maps: Sequence[FeatureMap]) -> Iterator[tuple[str, range]]:
    """Stretches of as many maps."""
    count = -(-len(maps) // _STRETCH)
    size = -(-len(maps) // count)
    for start in range(0, len(maps), size):
        part = range(start, min(start + size, len(maps)))
        yield (f"maps {part[0]} to {part[-1]}" if count > 1 else ""), part


def _links(beta: Architecture, alpha: Architecture, cells: Sequence[Cell]) -> Iterator[Link]:
    topology = beta.topology
    active = find_liveness(alpha).active
    for e, (edge, (source, target)) in enumerate(zip(topology.edges, topology.ends, strict=True)):
        was, becomes = beta.states[e], alpha.states[e]
        if was != State.N or becomes != State.N:
            label = "" if edge.operation is None else _label(edge, cells)
            before: Look = "absent" if was == State.N else "skip" if was == State.S else "operation"
            yield Link(edge.name, source, target, label, before, _look(before, becomes, active=bool(active[e])))
        for other in topology.further_inputs.get(e, ()):
            yield Link("", other, target, "", "fixed", "fixed")
    for target, sources in enumerate(topology.fixed_inputs):
        yield from (Link("", source, target, "", "fixed", "fixed") for source in sources)


def _look(before: Look, state: State, *, active: bool) -> Look:
    if state == State.N:
        return "dropped"
    if not active:
        return "idle"
    if state == State.S:
        return {"absent": "new skip", "operation": "to skip"}.get(before, "skip")  # type: ignore[return-value]
    return "operation"


def _label(edge: Edge, cells: Sequence[Cell]) -> str:
    """What an edge's operation is, by the genotype for a link of a cell, else by its own attributes."""
    cell = _CELL.search(edge.name)
    places = list(dict.fromkeys(_PLACES.findall(edge.name)))
    if cells and cell and any(kind == "links" for kind, _ in places):
        ops = cells[int(cell[1])].links
        return " + ".join("1×1" if kind == "inputs" else _short(ops[int(i)].op) for kind, i in places)
    operation = edge.operation
    assert operation is not None
    kernel = "×".join(map(str, operation.kernel)) or "1×1"
    if operation.kind in ("Conv", "Branch"):
        return f"dw {kernel}" if operation.groups > 1 else kernel
    name = _KINDS.get(operation.kind, operation.kind)
    return f"{name} {kernel}" if operation.kernel else name


def _short(op: str) -> str:
    """A genotype's operation in few letters: "sep 3×3", "1×7 7×1"."""
    kind, *kernels = re.sub(r"_(pool|conv)_", "_", op).replace("conv_", "").replace("x", "×").split("_")
    return " ".join([kind, *kernels])


def _section(title: str, part: range, maps: Sequence[FeatureMap], links: Sequence[Link]) -> Section:
    own = [link for link in links if link.target in part]
    outside = sorted({link.source for link in own} - set(part))
    places = {i: place for place, i in enumerate([*outside, *part])}
    numbers = iter(range(len(maps)))
    names = [_name(maps[i], numbers if i in part else None) for i in places]
    moved = (
        Link(link.name, places[link.source], places[link.target], link.label, link.beta, link.alpha) for link in own
    )
    return Section(title, tuple(names), len(outside), tuple(moved))


def _name(fmap: FeatureMap, numbers: Iterator[int] | None) -> str:
    """What a node says: of a cell's map its role there, of another its channels and size."""
    cell = _CELL.match(fmap.name)
    if cell is None:
        sizes = [size for size in fmap.shape[1:] if isinstance(size, int)]
        return "image" if fmap.join is Join.INPUT else "@".join(map(str, sizes[:2]))
    if fmap.join is Join.CONCAT and "/inputs." not in fmap.name:
        return "out" if numbers else f"cell {cell[1]}"
    entry = re.search(r"/inputs\.(\d)/(?:inputs\.\d\.\d|norm)/", fmap.name)
    if entry:
        return ("−2", "−1")[int(entry[1])]
    if "/inputs." in fmap.name:
        return fmap.name.split("/")[3].removesuffix("_output_0")
    return str(next(numbers)) if numbers else f"in cell {cell[1]}"
