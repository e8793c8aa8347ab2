"""Every path, section and tool that a docstring, a comment or a page names is there."""

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli import tiny

ROOT = tiny.ROOT
FOLDERS = (".ci", "docs", "models", "natonnx", "tests", "tools")

PATH = re.compile(r"(?<![\w/.*-])((?:\.ci|docs|models|natonnx|tests|tools)/[\w./*-]*[\w/*])(#[\w-]+)?")
OTHERS = re.compile(r"\.nat\.onnx$|^models/classifier\.")
"""What commands write, and a user's model in examples."""
TOOL = re.compile(r"(?<![\w./])((?:tools|tests)(?:\.\w+)+)")
LINK = re.compile(r"\]\((?!\w+:)([^)#]*)(#[\w-]+)?\)")


def pages() -> list[Path]:
    return [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]


def modules() -> list[Path]:
    return [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]


def comments(path: Path) -> str:
    """Docstrings, texts that document a name, and comments."""
    source = path.read_text(encoding="utf-8")
    texts = [
        node.value.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n".join([*texts, *(token.string for token in tokens if token.type == tokenize.COMMENT)])


@functools.cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing(text: str) -> Iterator[str]:
    """Paths, sections and tools that a text names and that are not there."""
    for path, anchor in PATH.findall(text):
        if OTHERS.search(path):
            continue
        if not is_path(path):
            yield path
        elif anchor and anchor[1:] not in anchors(ROOT / path):
            yield path + anchor
    yield from (name for name in TOOL.findall(text) if not is_tool(name))


@functools.cache
def is_path(path: str) -> bool:
    return any(ROOT.glob(path.rstrip("/")))


@functools.cache
def is_tool(name: str) -> bool:
    parts, place = name.split("."), ROOT
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    if parts and (place / f"{parts[0]}.py").exists():
        place /= f"{parts.pop(0)}.py"
    elif parts:
        place /= "__init__.py"
    known = place.read_text(encoding="utf-8") if place.is_file() else ""
    return place.exists() and all(re.search(rf"\b{part}\b", known) for part in parts)


def broken_links(page: Path) -> Iterator[str]:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        there = page.parent / target if target else page
        if not there.exists() or (anchor and anchor[1:] not in anchors(there)):
            yield target + anchor


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pages(path: Path) -> None:
    assert list(broken_links(path)) == []
    assert list(missing(path.read_text(encoding="utf-8"))) == []


def test_docstrings_and_comments() -> None:
    found = {str(path.relative_to(ROOT)): list(missing(comments(path))) for path in modules()}
    assert {path: names for path, names in found.items() if names} == {}


def test_what_is_not_there_is_noticed() -> None:
    text = (
        "See docs/design/dag.md#cost, docs/none.md, docs/design/dag.md#none, `tools.command`, tools.none.x, tests.none."
    )
    assert list(missing(text)) == ["docs/none.md", "docs/design/dag.md#none", "tools.none.x", "tests.none"]
