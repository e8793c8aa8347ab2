"""The examples of the docstrings and of the README's Python section, in a folder with a model and data."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

from tests.cli import tiny

EXAMPLES = sorted(
    path.relative_to(tiny.ROOT) for path in (tiny.ROOT / "natonnx").rglob("*.py") if ">>> " in path.read_text("utf-8")
)
"""Modules whose docstrings hold examples."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.fill(tmp_path)
    monkeypatch.chdir(tmp_path)


def run(test: doctest.DocTest) -> None:
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    said: list[str] = []
    runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)
    assert runner.tries == len(test.examples) > 0


def test_what_has_examples() -> None:
    names = {path.stem for path in EXAMPLES}
    assert {"inspect", "apply", "bench", "check", "optimize", "memory", "own"} <= names


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_docstrings(path: Path) -> None:
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    found = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert found
    for test in found:
        run(test)


def test_readme() -> None:
    text = (tiny.ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = [
        block for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if ">>> " in block
    ]
    run(doctest.DocTestParser().get_doctest(block, {}, "README", "README.md", 0))
