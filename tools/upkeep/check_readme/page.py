"""What a page shows: commands, in blocks and in the text, with the output or the tables below them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

__all__ = ["PAGES", "Shown", "Table", "mentions", "normal", "options", "read", "tables"]

PAGES = (
    "README.md",
    "docs/commands.md",
    "docs/install.md",
    "docs/confidence.md",
    "docs/python.md",
    "docs/files.md",
    "docs/terminal.md",
    "docs/benchmarks.md",
    "CONTRIBUTING.md",
    "models/README.md",
    "docs/search.md",
    "docs/policy.md",
    "docs/tables.md",
    "docs/latency.md",
    "docs/scale.md",
    "docs/performance.md",
    "docs/devices.md",
    "docs/paper.md",
    "docs/torch.md",
)
"""Pages whose commands are checked. tools/ci/README.md has tests of its own."""

_PROGRAM = r"(?:natonnx|python[\d.]*|py|pipx?|uvx?|docker|bash|eval|\.venv[/\\](?:bin|Scripts)[/\\][\w-]+)(?= |$)"
_COMMAND = re.compile(rf"(?:[A-Z_]+=\S+ )*{_PROGRAM}.*")
_FENCE = re.compile(r"^(```+)(\w*)[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_COMPLETE = re.compile(r"(?:[A-Z_]+=\S+ )*python[\d.]* (?:-m tools\.|tools/)")
_METAVARIABLE = re.compile(r"(?:^| )[A-Z][A-Z0-9]*(?= |$)|…")
_TABLE = re.compile(r"^\|.*\|\n\|(?: *:?-+:? *\|)+\n(?:\|.*\|(?:\n|$))+", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


@dataclass(frozen=True)
class Shown:
    """A command of a page.

    Attributes:
        page: Path of the page, relative to the repository.
        line: Of the page, from 1.
        command: In one line, without comments; of a block of Python `python: ` and its first line.
        fenced: Whether it stands in a block, not in the text.
        language: Of the block.
        code: A block of Python as a whole.
        below: What follows it, up to the next chapter; for `$` that begins with the output.
    """

    page: str
    line: int
    command: str
    fenced: bool
    language: str = ""
    below: str = ""
    code: str = ""

    @property
    def complete(self) -> bool:
        """Whether it can be run as it stands: all in blocks, and tools in the text that leave nothing to fill in."""
        tool = _COMPLETE.match(self.command) is not None
        return self.fenced or (tool and _METAVARIABLE.search(self.command) is None)


class Table(NamedTuple):
    """A Markdown table."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def records(self) -> list[dict[str, str]]:
        """The rows by column."""
        return [dict(zip(self.header, row, strict=False)) for row in self.rows]


def normal(command: str) -> str:
    """A command in one line, without its continuations and its comment."""
    joined = re.sub(r"\s*\\\n\s*", " ", command.strip())
    return re.sub(r"\s+#\s.*$", "", " ".join(joined.split()))


def read(root: Path, pages: Iterable[str] = PAGES) -> list[Shown]:
    """All commands of the pages, in order.

    Raises:
        ValueError: If a block of commands has a line that is none.
    """
    return [shown for page in pages for shown in _commands(page, (root / page).read_text(encoding="utf-8"))]


def mentions(shown: Iterable[Shown]) -> list[Shown]:
    """Those that show usage or name a command, with something left to fill in."""
    return [each for each in shown if not each.complete]


def options(text: str) -> set[str]:
    """Long options that a text names."""
    return set(_OPTION.findall(text))


def tables(text: str) -> list[Table]:
    """Markdown tables of a text, without emphasis."""
    found = []
    for match in _TABLE.finditer(text.replace("**", "")):
        lines = [line.strip().removeprefix("|").removesuffix("|") for line in match[0].splitlines()]
        header, _, *rows = [tuple(cell.strip() for cell in line.split("|")) for line in lines]
        found.append(Table(header, rows))
    return found


def _commands(page: str, text: str) -> Iterator[Shown]:
    found: list[tuple[int, int, str, bool, str]] = []  # where it begins and ends
    for fence in _FENCE.finditer(text):
        start, body, language = fence.start(3), fence[3], fence[2]
        if language == "python":
            found.append((start, fence.end(), f"python: {body.strip().splitlines()[0]}", True, language))
            continue
        found += [
            (start + begin, start + end, normal(command), True, language)
            for begin, end, command in _block(body, f"{page}: block at line {text.count(chr(10), 0, start)}", language)
        ]
    blank = _FENCE.sub(lambda fence: re.sub(r"[^\n]", " ", fence[0]), text)
    for span in _SPAN.finditer(blank):
        command = normal(span[1])
        if _COMMAND.fullmatch(command):
            found.append((span.start(), span.end(), command, False, ""))
    found.sort()
    for begin, end, command, fenced, language in found:
        below = re.split(r"^## ", text[end:], maxsplit=1, flags=re.MULTILINE)[0]
        code = text[begin:end].rsplit("```", 1)[0] if language == "python" else ""
        yield Shown(page, text.count("\n", 0, begin) + 1, command, fenced, language, below.lstrip("\n"), code)


def _block(body: str, where: str, language: str) -> Iterator[tuple[int, int, str]]:
    """Commands of a block: lines after `$` if there are any, else all lines; of YAML what stands after `run:`."""
    prefix = r"^\$ " if re.search(r"^\$ ", body, re.MULTILINE) else r"^[ \t]*(?:(?:- )?run: )?"
    lines = list(re.finditer(rf"{prefix}((?:.*\\\n)*.*)(?:\n|$)", body, re.MULTILINE))
    commands = [line for line in lines if _COMMAND.fullmatch(normal(line[1]))]
    strange = [line[1] for line in lines if line[1].strip() and line not in commands and line[1].strip()[0] != "#"]
    if commands and strange and language not in ("yaml", "yml"):
        raise ValueError(f"{where}: {strange[0]!r} is no command that tools/upkeep/check_readme/page.py knows")
    for line in commands:
        yield line.start(), line.end(), line[1]
