"""The rooms of natonnx import what CONTRIBUTING's table lets them, at module level and within functions."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli import tiny
from tools.upkeep.check_readme.page import tables

PACKAGE = tiny.ROOT / "natonnx"
PAGE = (tiny.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FACE = ("natonnx", "natonnx.__main__")
"""The public names, which come from everywhere, and the way in."""
DISTRIBUTIONS = {
    "Pillow": "PIL",
    "DGL": "dgl",
    "Optuna": "optuna",
    "onnx-graphsurgeon": "onnx_graphsurgeon",
    "protobuf": "google",
}

TO_COME: set[str] = set()
"""Rooms of the table that are not built yet."""

EXCEPTIONS = {
    ("natonnx.report.progress", "natonnx.search"),
}
"""What the table forbids and some module does all the same: by module, the room. Only to shrink."""


class Room(NamedTuple):
    """A row of the table."""

    ours: frozenset[str]
    others: frozenset[str]


class Import(NamedTuple):
    """That a module imports another one of natonnx, or a package of others."""

    module: str
    line: int
    target: str

    @property
    def room(self) -> str:
        """Where the module is: a folder of natonnx, or a module beside them."""
        return ".".join(self.module.split(".")[:2])

    @property
    def goes_to(self) -> str:
        """The room, or the package of others, that is imported."""
        parts = self.target.split(".")
        return ".".join(parts[:2]) if parts[0] == "natonnx" else parts[0]


def read_house(page: str) -> dict[str, Room]:
    """The rooms, in the table's order, and what each may import; "all above" is what stands before it."""
    (table,) = [table for table in tables(page) if table.header[:1] == ("room",)]
    house: dict[str, Room] = {}
    for name, _, ours, others in table.rows:
        rooms = house if ours == "all above" else re.findall(r"`(\w+)/`", ours)
        packages = (each.strip() for each in others.split(","))
        house[name.strip("`/")] = Room(frozenset(rooms), frozenset(DISTRIBUTIONS.get(each, each) for each in packages))
    return house


def read_services(page: str) -> set[str]:
    """Modules that serve all rooms."""
    (sentence,) = re.findall(r"^(`[^|]*?) serve all\s+rooms\.", page, re.MULTILINE)
    return set(re.findall(r"`(\w+)\.py`", sentence))


def module_of(path: Path) -> str:
    parts = ("natonnx", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in PACKAGE.rglob("*.py")}


def imports_of(module: str, source: str) -> Iterator[Import]:
    """All imports of a module's source but those from the standard library."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{module}:{node.lineno}: a relative import"
            longer = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in longer]
        else:
            continue
        yield from (Import(module, node.lineno, name) for name in names if name.split(".")[0] not in STANDARD)


STANDARD = sys.stdlib_module_names
HOUSE, SERVICES = read_house(PAGE), read_services(PAGE)
IMPORTS = [each for name, path in MODULES.items() for each in imports_of(name, path.read_text(encoding="utf-8"))]


def forbidden(found: Iterable[Import]) -> Iterator[Import]:
    """Imports that the table does not allow."""
    for each in found:
        own, other = each.room.removeprefix("natonnx."), each.goes_to
        if each.module in FACE or each.goes_to == each.room or other == "natonnx":  # its version
            continue
        if own in SERVICES:
            allowed = other.split(".")[0] != "natonnx" or other.removeprefix("natonnx.") in SERVICES
        elif other.startswith("natonnx."):
            allowed = other.removeprefix("natonnx.") in HOUSE[own].ours | SERVICES
        else:
            allowed = other in HOUSE[own].others
        if not allowed:
            yield each


def test_the_table_is_in_order() -> None:
    """What a room may import stands above it."""
    above: set[str] = set()
    for name, room in HOUSE.items():
        assert room.ours <= above, name
        above.add(name)


def test_every_room_is_in_the_table_and_there() -> None:
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there - {"__init__", "__main__"} == (set(HOUSE) | SERVICES) - TO_COME
    assert not TO_COME & there


def test_rooms_import_what_they_may() -> None:
    found = [each for each in forbidden(IMPORTS) if (each.module, each.goes_to) not in EXCEPTIONS]
    assert [f"{each.module}:{each.line} imports {each.target}" for each in found] == []


def test_every_exception_is_needed() -> None:
    assert {(each.module, each.goes_to) for each in forbidden(IMPORTS)} == EXCEPTIONS


def test_only_the_version_comes_from_the_face() -> None:
    for name, path in MODULES.items():
        if name not in FACE:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module == "natonnx":
                    others = {alias.name for alias in node.names if f"natonnx.{alias.name}" not in MODULES}
                    assert others <= {"__version__"}, f"{name}:{node.lineno}"


def test_no_module_imports_its_caller() -> None:
    """The imports between modules have no cycle, those within functions and for types included."""
    needs: dict[str, set[str]] = {name: set() for name in MODULES}
    for each in IMPORTS:
        if each.target in MODULES and each.module not in FACE and each.target not in FACE:
            needs[each.module].add(each.target)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_one_module_imports_dgl() -> None:
    """It has no wheel for most Pythons and systems: what else needs messages goes by `natonnx.policy.links`."""
    assert {each.module for each in IMPORTS if each.goes_to == "dgl"} == {"natonnx.policy.by_dgl"}
    for path in (tiny.ROOT / "tools").rglob("*.py"):
        found = imports_of(str(path), path.read_text(encoding="utf-8"))
        assert not [each for each in found if each.goes_to == "dgl"], path


@pytest.mark.parametrize(
    ("module", "source", "bad"),
    [
        ("natonnx.architecture.x", "import torch", True),
        ("natonnx.architecture.x", "def f():\n    from natonnx.frontend import parse", True),
        ("natonnx.search.x", "from natonnx.verbs import apply", True),
        ("natonnx.tensors", "from natonnx.frontend import parse", True),
        ("natonnx.search.x", "from natonnx.errors import InputError\nimport json, torch", False),
        ("natonnx.cli.x", "from natonnx.verbs.apply import apply", False),
    ],
)
def test_what_is_forbidden_is_noticed(module: str, source: str, *, bad: bool) -> None:
    assert bool(list(forbidden(imports_of(module, source)))) == bad
