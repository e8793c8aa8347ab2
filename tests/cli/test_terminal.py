"""What reaches terminals of all kinds, pipes and files: colours, bars, widths, names of others."""

import io
import re
from pathlib import Path

import onnx
import pytest
from rich.cells import cell_len
from rich.console import Console

from natonnx.report.table import show_line, show_table
from tests.cli import pseudo, tiny

SEARCH = (
    "--data",
    "data.npz",
    "--max-drop",
    "90",
    "--lookups",
    "3",
    "--finetune-epochs",
    "0.5",
    "--target-madds",
    "0.55",
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "inspect": ("inspect", "model.onnx"),
    "optimize": ("optimize", "model.onnx", *SEARCH),
    "apply": ("apply", "model.onnx", "edits.json"),
    "bench": ("bench", "model.onnx", "model.onnx", "--seconds", "0.1", "--profile"),
    "check": ("check", "model.onnx", "--baseline", "model.onnx", "--max-latency-ratio", "9", "--seconds", "0.1"),
    "help": ("--help",),
    "error": ("inspect", "nothing.onnx"),
}
EACH = [pytest.param(name, marks=[pytest.mark.slow] if name == "optimize" else []) for name in COMMANDS]
"""All commands; the one that searches is run by the slow tests, and by others of this module."""
PLAIN: dict[str, dict[str, str]] = {
    "NO_COLOR": {"NO_COLOR": "1"},
    "NO_COLOR and FORCE_COLOR": {"NO_COLOR": "1", "FORCE_COLOR": "1"},
    "dumb": {"TERM": "dumb"},
}
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ODD = {
    "stem": f"{'a-long-module-name/' * 4}end",
    "one": "[bold]eins[/bold] [/] [link=x]",
    "two": "畳み込み層が二つ、その後",
    "add": "evil\x1b[31m\nname\x07 :fire:",
}


@pytest.fixture
def folder(folder: Path) -> Path:
    (folder / "edits.json").write_text("[]", encoding="utf-8")
    return folder


@pytest.mark.parametrize("command", EACH)
@pytest.mark.parametrize("environment", PLAIN)
def test_a_terminal_that_wants_it_plain(command: str, environment: str, folder: Path) -> None:
    code, text = pseudo.natonnx(*COMMANDS[command], cwd=folder, environment=PLAIN[environment])
    assert code == (2 if command == "error" else 0), text
    assert not CONTROL.search(text)
    if command == "optimize":
        assert re.search(r"^look up 3/3  score .*  \(\d+ s\)$", text, re.MULTILINE)


@pytest.mark.parametrize("command", EACH)
@pytest.mark.parametrize("environment", [{}, {"TERM": "xterm-256color"}, {"FORCE_COLOR": ""}], ids=str)
def test_a_pipe_is_plain(command: str, environment: dict[str, str], folder: Path) -> None:
    code, stdout, stderr = tiny.natonnx(*COMMANDS[command], cwd=folder, **environment)
    assert code == (2 if command == "error" else 0), stderr
    assert not CONTROL.search(stdout + stderr)


def test_an_empty_no_color_is_none(folder: Path) -> None:
    code, text = pseudo.natonnx(*COMMANDS["inspect"], cwd=folder, environment={"NO_COLOR": ""})
    assert code == 0
    assert COLOUR.search(text)


def test_a_terminal_has_bars_and_colours(folder: Path) -> None:
    code, text = pseudo.natonnx(*COMMANDS["optimize"], cwd=folder)
    assert code == 0
    assert "━" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back
    assert "\x1b[1;32mimproved" in text


@pytest.mark.parametrize("environment", [{}, pytest.param({"TERM": "dumb"}, marks=pytest.mark.slow)], ids=str)
def test_colours_may_be_forced_into_a_pipe_and_bars_may_not(environment: dict[str, str], folder: Path) -> None:
    code, stdout, stderr = tiny.natonnx(*COMMANDS["optimize"], cwd=folder, FORCE_COLOR="1", **environment)
    assert code == 0
    assert "\x1b[1;32mimproved" in stdout
    assert not CONTROL.search(COLOUR.sub("", stdout + stderr))
    assert re.search(r"^look up 3/3  score .*  \(\d+ s\)$", stderr, re.MULTILINE)
    assert re.search(r"^train (\d+)/\1  loss .*  \(\d+ s\)$", stderr, re.MULTILINE)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with names of 80 characters, of other scripts, and that look like markup or move the cursor."""
    path = tmp_path_factory.mktemp("odd")
    model = tiny.model()
    for node in model.graph.node:
        node.name = ODD.get(node.name, node.name)
    onnx.save(model, path / "model.onnx")
    (path / "edits.json").write_text("[]", encoding="utf-8")
    return path


@pytest.mark.parametrize("columns", [60, 80, 132])
@pytest.mark.parametrize("command", ["inspect", "bench"])
def test_nothing_is_cut_broken_or_taken_for_markup(command: str, columns: int, odd: Path) -> None:
    code, text = pseudo.natonnx(*COMMANDS[command], cwd=odd, columns=columns)
    assert code == 0
    text = COLOUR.sub("", text)
    assert not CONTROL.search(text)
    if command == "inspect":
        for name in (ODD["stem"], ODD["one"], ODD["two"]):
            assert name in text
    for number in ("1,275", "78,360"):
        assert re.search(rf"(?<!\S){number}(?!\S)", text)
    for line in text.splitlines():
        assert cell_len(line) <= columns or not line.strip().count(" ") or ODD["stem"] in line, line


@pytest.mark.parametrize("command", ["inspect", "bench"])
def test_a_pipe_has_a_line_for_each_row(command: str, odd: Path) -> None:
    code, stdout, _ = tiny.natonnx(*COMMANDS[command], cwd=odd, COLUMNS="")
    assert code == 0
    lines = stdout.splitlines()
    assert not any(line.endswith(" ") for line in lines)
    if command == "inspect":
        (line,) = (line for line in lines if line.startswith(ODD["stem"]))
        assert "N: nothing else feeds" in line
        assert len([line for line in lines if re.search(r" → .* [OSN] ", line)]) == 7


def test_columns_hold_in_a_pipe_too(odd: Path) -> None:
    narrow = tiny.natonnx(*COMMANDS["inspect"], cwd=odd, COLUMNS="60").stdout
    assert "\n  may become" in narrow
    for bad in ("0", "-3", "wide"):
        assert "\n  may become" not in tiny.natonnx(*COMMANDS["inspect"], cwd=odd, COLUMNS=bad).stdout


def test_names_cannot_move_the_cursor(odd: Path) -> None:
    edits = b'[{"edge": "evil\\u001b[31m", "from": "O", "to": "S"}]'
    code, _, stderr = tiny.natonnx("apply", "model.onnx", "-", cwd=odd, stdin=edits)
    assert code == 2
    assert not CONTROL.search(stderr)
    (odd / "\x1b[2J.onnx").write_bytes((odd / "model.onnx").read_bytes())
    code, stdout, _ = tiny.natonnx("inspect", "\x1b[2J.onnx", cwd=odd)
    assert code == 0
    assert stdout.startswith("\\x1b[2J.onnx")


def table(width: int, header: tuple[str, ...], *rows: tuple[str, ...], right: tuple[int, ...] = ()) -> list[str]:
    stream = io.StringIO()
    show_table(Console(file=stream, width=width), header, rows, right=right)
    return stream.getvalue().splitlines()


HEADER = ("name", "count", "reason")
ROWS = (("a", "1", ""), ("畳み", "1,000", "as the last column holds more words than there is room for"))


def test_columns_where_there_is_room() -> None:
    wide = ["name  count  reason", "a         1", f"畳み  1,000  {ROWS[1][2]}"]
    assert table(200, HEADER, *ROWS, right=(1,)) == wide


def test_the_last_column_wraps() -> None:
    lines = table(40, HEADER, *ROWS, right=(1,))
    assert lines[2:] == [
        "畳み  1,000  as the last column holds",
        "             more words than there is",
        "             room for",
    ]


def test_records_where_there_is_none() -> None:
    assert table(30, HEADER, *ROWS, right=(1,)) == [
        "a",
        "  count   1",
        "畳み",
        "  count   1,000",
        "  reason  as the last column",
        "          holds more words",
        "          than there is room",
        "          for",
    ]


def test_long_labels_have_lines_of_their_own() -> None:
    assert table(28, ("", "a/path/to/a/model.onnx"), ("MAdds", "1,000")) == [
        "MAdds",
        "  a/path/to/a/model.onnx",
        "    1,000",
    ]


def test_a_line_wraps_between_words_and_keeps_long_ones() -> None:
    stream = io.StringIO()
    show_line(Console(file=stream, width=12), f"  [bold]ab[/] cd {'x' * 20} ef :fire:")
    assert stream.getvalue().splitlines() == ["  ab cd", "x" * 20, "ef :fire:"]
