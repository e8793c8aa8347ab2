"""The pictures of β and α, read back."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from natonnx.architecture import Edit, State
from natonnx.contract.edits import edit_rows
from natonnx.errors import InputError
from tools.benchmarks.reproduce_tables.__main__ import cli
from tools.benchmarks.reproduce_tables.figures import figures
from tools.benchmarks.reproduce_tables.layout import lay_out
from tools.benchmarks.reproduce_tables.networks import Scale, open_network
from tools.research.networks.catalog import CATALOG
from tools.research.networks.cells import Cell, stack
from tools.research.networks.edits import cell_edits, within_transitions

SVG = "{http://www.w3.org/2000/svg}"
SCALE = Scale(0.06, 3, 1)
DAGS = st.integers(2, 9).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(
            st.tuples(st.integers(0, count - 2), st.integers(1, count - 1)).filter(lambda ends: ends[0] < ends[1]),
            min_size=1,
            max_size=16,
        ),
    )
)


@given(DAGS, st.data())
def test_a_layout_runs_downwards_without_overlaps(dag: tuple[int, list[tuple[int, int]]], data: st.DataObject) -> None:
    count, edges = dag
    labelled = data.draw(st.lists(st.booleans(), min_size=len(edges), max_size=len(edges)))
    layout = lay_out(count, edges, labelled, 30.0)
    for (source, target), path in zip(edges, layout.paths, strict=True):
        assert (path[0], path[-1]) == (layout.nodes[source], layout.nodes[target])
        assert all(one[1] < other[1] for one, other in pairwise(path))
    within = [point for path in (*layout.paths, layout.nodes) for point in path]
    assert all(29 < x < layout.width - 29 and 29 < y < layout.height - 29 for x, y in within)
    points = Counter([*layout.nodes, *(point for path in layout.paths for point in path[1:-1])])
    assert set(points.values()) == {1}
    rows: dict[float, list[float]] = {}
    for x, y in layout.nodes:
        rows.setdefault(y, []).append(x)
    assert all(other - one > 80 for row in rows.values() for one, other in pairwise(sorted(row)))


def nat_cells(name: str) -> tuple[tuple[Cell, ...], tuple[Cell, ...]]:
    """The cells of a network and of what the paper's NAT made of it."""
    origin, other = CATALOG[name].genotype, CATALOG[f"NAT-{name}"].genotype
    assert origin is not None
    assert other is not None
    return stack(origin, SCALE.cells), stack(within_transitions(origin, other), SCALE.cells)


def write_run(folder: Path, name: str, edits: tuple[Edit, ...]) -> None:
    job = {"network": name, "learner": "gcn", "seed": 0, "scale": SCALE._asdict()}
    (folder / f"{name}-gcn-0.json").write_text(json.dumps({"job": job, "share": 0.5, "edits": edit_rows(edits)}))


def picture(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own


def drawn(text: str, name: str) -> dict[str, str]:
    """How each edge is drawn in all panels of β or α."""
    found = [
        (group.attrib["data-edge"], group.attrib["class"])
        for panel in picture(text).iter(f"{SVG}g")
        if panel.get("class") == name
        for group in panel.iter(f"{SVG}g")
        if group.get("data-edge")
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


@pytest.mark.parametrize("name", ["DARTS", "ENAS", "NAONet"])
def test_a_picture_of_cells_has_what_nat_changed(tmp_path: Path, name: str) -> None:
    network = open_network(name, SCALE, tmp_path).network
    before, after = nat_cells(name)
    edits = cell_edits(network, before, after)
    write_run(tmp_path, name, edits)
    (((found, text)),) = figures(tmp_path, "gcn", 0)
    assert found == name
    beta, alpha = drawn(text, "beta"), drawn(text, "alpha")
    states = dict(
        zip((edge.name for edge in network.architecture.topology.edges), network.architecture.states, strict=True)
    )
    kinds = {State.O: "operation", State.S: "skip"}
    assert beta == {edge: kinds[state] for edge, state in states.items() if state != State.N}
    changed = {edit.edge: "dropped" if edit.after == State.N else "to-skip" for edit in edits}
    assert edits
    assert {edge: look for edge, look in alpha.items() if look in ("dropped", "to-skip", "new-skip")} == changed
    assert all(alpha[edge] in (look, "idle") for edge, look in beta.items() if edge not in changed)
    assert_legible(text)


def assert_legible(text: str) -> None:
    """All is on the canvas, and no two maps of a panel overlap."""
    root = picture(text)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for panel in root.iter(f"{SVG}g"):
        if panel.get("class") not in ("beta", "alpha"):
            continue
        across, down = map(float, panel.attrib["transform"][len("translate(") : -1].split())
        boxes = []
        for rect in panel.iter(f"{SVG}rect"):
            x, y, w, h = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
            assert 0 <= across + x <= across + x + w <= width
            assert 0 <= down + y <= down + y + h <= height
            if rect.get("class") in ("map", "outside"):
                boxes.append((x, y, w, h))
        for i, (x, y, w, h) in enumerate(boxes):
            assert all(x + w <= x2 or x2 + w2 <= x or abs(y - y2) >= h for x2, y2, w2, _ in boxes[:i])
        for line in panel.iter(f"{SVG}path"):
            numbers = [float(each) for each in line.attrib["d"].replace("M", " ").replace("C", " ").split()]
            assert all(0 <= across + x <= width for x in numbers[::2])
            assert all(0 <= down + y <= height for y in numbers[1::2])


def test_a_picture_of_a_plain_network_has_new_shortcuts_and_what_carries_nothing(tmp_path: Path) -> None:
    beta = open_network("VGG16", SCALE, tmp_path).network.architecture
    pairs = list(zip(beta.topology.edges, beta.states, strict=True))
    new = next(edge for edge, state in pairs if state == State.N and edge.skip)
    cut = next(edge for edge, state in pairs if edge.target == new.target and state == State.O)
    before = next(edge for edge, state in pairs if edge.target == cut.source and state == State.O)
    write_run(tmp_path, "VGG16", (Edit(new.name, State.N, State.S), Edit(cut.name, State.O, State.N)))
    ((_, text),) = figures(tmp_path, "gcn", 0)
    looks = drawn(text, "alpha")
    assert new.name not in drawn(text, "beta")
    assert (looks[new.name], looks[cut.name], looks[before.name]) == ("new-skip", "dropped", "idle")
    assert_legible(text)


def test_the_command_writes_a_file_a_network(tmp_path: Path) -> None:
    write_run(tmp_path, "ResNet-20", ())
    done: Any = CliRunner().invoke(cli, ["pictures", "--folder", str(tmp_path), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["ResNet-20.svg"]
    missing = CliRunner().invoke(
        cli, ["pictures", "--folder", str(tmp_path), "-o", str(tmp_path / "out"), "--seed", "1"]
    )
    assert isinstance(missing.exception, InputError)
    assert "no transformation by gcn, seed 1" in str(missing.exception)
