"""`--help`: options in sections, defaults, line ends, and examples that run as they are written."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from natonnx.cli import cli
from natonnx.cli.help import Command, Option, Section, option
from tests.cli import tiny

NAMES = ["", *cli.commands]
MORE = {
    "demo": ["--time-budget", "1"],
    "optimize": ["--dry-run"],
    "bench": ["--seconds", "0.1"],
    "check": ["--seconds", "0.1"],
    "worker": ["--idle", "0"],
}
"""What makes an example short."""
LONG = ("demo", "optimize", "worker", "bench", "check", "doctor")
"""Their examples take seconds."""
CODES = {"check": {0, 1, 4}, "demo": {0, 1}}
"""How an example may end, but for 0."""


def named(name: str) -> tuple[Command, click.Context]:
    root = click.Context(cli, info_name="natonnx", **cli.context_settings)
    command = cli.commands[name] if name else cli
    assert isinstance(command, Command)
    return command, click.Context(command, root, name) if name else root


def sections(text: str) -> dict[str, list[str]]:
    """Lines by heading; those that stand before any under ""."""
    found: dict[str, list[str]] = {"": []}
    heading = ""
    for line in text.splitlines():
        if re.fullmatch(r"[A-Z][a-z ]+:", line):
            heading = line[:-1]
            assert heading not in found, "a section is there twice"
            found[heading] = []
        else:
            found[heading].append(line)
    return found


def problems(command: click.Command, context: click.Context) -> Iterator[str]:
    """What the options of a command lack."""
    for each in command.params:
        if not isinstance(each, click.Option):
            continue
        name = each.opts[-1]
        if not isinstance(each, Option):
            yield f"{name} has no section: make it by natonnx.cli.help.option"
            continue
        if not re.fullmatch(r"\S.*[.]", each.help or ""):
            yield f"{name}: a help text that ends with a full stop"
        if "[" in (each.help or ""):
            yield f"{name}: what stands in brackets belongs into show_default"
        names, text = each.get_help_record(context) or ("", "")
        if re.search("TEXT|INTEGER|FLOAT|RANGE|PATH", names):
            yield f"{name}: a metavar that says what it is"
        default = each.get_default(context)
        if (
            isinstance(default, str | float)
            and not each.is_flag
            and not each.count
            and f"[default: {default}]" not in text
        ):
            yield f"{name}: its default is not shown"


@pytest.mark.parametrize("name", cli.commands)
def test_options_have_all_that_help_needs(name: str) -> None:
    assert list(problems(*named(name))) == []


def test_what_an_option_lacks_is_found() -> None:
    @click.command(cls=Command, examples=())
    @click.option("--plain", help="Has no section.")
    @option(Section.DATA, "--silent", metavar="X", help="")
    @option(Section.DATA, "--twice", metavar="X", default="a", help="Says it.  [default: a]")
    @option(Section.DATA, "--typed", type=int, help="Something.")
    @option(Section.DATA, "--hidden", metavar="X", default="a", show_default=False, help="Something.")
    def command() -> None: ...

    found = [problem.split()[0].rstrip(":") for problem in problems(command, click.Context(command))]
    assert found == ["--plain", "--silent", "--twice", "--twice", "--typed", "--hidden"]


@pytest.mark.parametrize("name", NAMES)
def test_each_option_is_in_its_section_once(name: str) -> None:
    command, context = named(name)
    found = sections(command.get_help(context))
    titles = [section.value for section in Section]
    headings = [heading for heading in found if heading in titles]
    assert headings == sorted(headings, key=titles.index)
    assert headings[-1] == Section.HELP.value
    assert "  -h, --help" in "\n".join(found["Help"])
    assert "Options" not in found
    for each in command.params:
        if isinstance(each, Option):
            names, _ = each.get_help_record(context) or ("", "")
            begun = re.compile(rf"  {re.escape(names)}(  |$)")
            places = [heading for heading, lines in found.items() for line in lines if begun.match(line)]
            assert places == [each.section.value]


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("name", NAMES)
def test_lines_fit_the_terminal(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    command, context = named(name)
    examples = {line for line, _ in command.examples}
    for line in command.get_help(context).splitlines():
        assert len(line) <= (80 if line.strip() in examples else width)
        assert line == line.rstrip()
        assert not line.endswith("-"), "broken within a word"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_each_summary_is_one_line(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    command, context = named("")
    listed = [tuple(line.split(maxsplit=1)) for line in sections(command.get_help(context))["Commands"] if line]
    assert listed == [(name, each.short_help) for name, each in cli.commands.items()]


def in_examples() -> dict[str, list[str]]:
    """The words of the command in each example line."""
    found = {}
    for line in [line for name in NAMES for line, _ in named(name)[0].examples]:
        match = re.search(r"natonnx ([^>)]*)", line)
        assert match is not None, line
        found[line] = shlex.split(match[1])
    return found


@pytest.mark.parametrize("name", cli.commands)
def test_each_command_shows_itself(name: str) -> None:
    examples = dict(named(name)[0].examples)
    assert any(in_examples()[line][0] == name for line in examples)
    assert all(what and not what.endswith(".") for what in examples.values())


@pytest.mark.parametrize("line", in_examples())
def test_examples_are_understood(line: str) -> None:
    name, *words = in_examples()[line]
    command, context = named(name)
    with command.make_context(name, words, parent=context.parent):
        pass


@pytest.fixture
def place(folder: Path) -> Path:
    """The files that the examples name."""
    for name in ("old.onnx", "new.onnx"):
        (folder / name).write_bytes((folder / "model.onnx").read_bytes())
    (folder / "set.npz").write_bytes((folder / "data.npz").read_bytes())
    (folder / "edits.json").write_text("[]", encoding="utf-8")
    generator = np.random.default_rng(0)
    for each in range(3 * 200):
        path = folder / "images" / "abc"[each % 3] / f"{each}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8), np.uint8)).save(path)
    return folder


@pytest.mark.parametrize(
    "line",
    [pytest.param(line, marks=[pytest.mark.slow] if words[0] in LONG else []) for line, words in in_examples().items()],
)
def test_examples_run(line: str, place: Path) -> None:
    words = in_examples()[line]
    code, _, stderr = tiny.natonnx(*words, *MORE.get(words[0], []), cwd=place)
    assert code in CODES.get(words[0], {0}), stderr
