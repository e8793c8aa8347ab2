"""Compare what the pages say of options, commands, exit codes and operators with what the code has."""

import re
from collections.abc import Iterable
from pathlib import Path

import click

from natonnx.cli import EPILOG, cli
from tools.upkeep.check_readme.page import PAGES, Shown, options, read, tables

__all__ = ["differences"]

_MOST_WORDS = 1500
"""Of the README: a new user reads it to its end."""

_OURS = re.compile(r"(?:[A-Z_]+=\S+ )*(?:natonnx|python\S* (?:-m )?(?:natonnx|tools|tests))\b")
"""Commands whose options we define: pip, uv and docker define theirs."""

_FIGURES = {r"\b(\d+) operators": "{} operators", r"([\d,]+) of ([\d,]+) official": "{} passed|of the {} in reach"}
"""What the pages say of the op table, and how the page that a tool writes of it says that."""


def differences(root: Path, shown: Iterable[Shown]) -> list[str]:
    """List what the pages say and the code does not, one line each.

    Args:
        root: The repository.
        shown: Every command of the pages.
    """
    readme = (root / "README.md").read_text(encoding="utf-8")
    text = "\n".join((root / page).read_text(encoding="utf-8") for page in PAGES)
    others = options("\n".join(each.command for each in read(root) if not _OURS.match(each.command)))
    problems = [f"no command has the option {name}" for name in sorted(options(text) - others - _options(root))]
    words = len(readme.split())
    problems += [f"README.md has {words} words, more than {_MOST_WORDS:,}"] if words > _MOST_WORDS else []
    for each in shown:
        problems += [f"{each.page}:{each.line}: {problem}" for problem in _usage(each)]
    listed, there = set(re.findall(r"^\| `natonnx (\w+)\b", readme, re.MULTILINE)), set(cli.commands)
    problems += [f"the table of commands lacks natonnx {name}" for name in sorted(there - listed)]
    problems += [f"natonnx has no command {name}" for name in sorted(listed - there)]
    (codes,) = [table for table in tables(readme) if table.header == ("code", "meaning")]
    stated, real = [row[0] for row in codes.rows], re.findall(r"\b\d+\b", EPILOG)
    problems += [] if stated == real else [f"exit codes {stated}, natonnx --help says {real}"]
    operators = (root / "natonnx/supernet/ops/README.md").read_text(encoding="utf-8")
    for figure, form in _FIGURES.items():
        for match in re.finditer(figure, text):
            parts = [
                part.format(number.replace(",", ""))
                for part, number in zip(form.split("|"), match.groups(), strict=True)
            ]
            problems += [
                f"{match[0]}: natonnx/supernet/ops/README.md does not say {part!r}"
                for part in parts
                if part not in operators
            ]
    return problems


def _options(root: Path) -> set[str]:
    """Long options of every command of natonnx, and of the tools."""
    sources = [path.read_text(encoding="utf-8") for path in (root / "tools").rglob("*.py")]
    found = {name for source in sources for name in re.findall(r"""["'](--[a-z][a-z-]+)["']""", source)}
    return found.union({"--version", "--help"}, *(_names(command) for command in cli.commands.values()))


def _names(command: click.Command) -> set[str]:
    names = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return names | {"--help"}


def _usage(shown: Shown) -> Iterable[str]:
    """A `natonnx` command names a subcommand, if any, and only options that this has."""
    words = shown.command.split()
    if words[0] != "natonnx" or len(words) == 1 or words[1].startswith("-"):
        return
    if words[1] not in cli.commands:
        yield f"natonnx has no command {words[1]}"
        return
    for name in sorted(options(shown.command) - _names(cli.commands[words[1]])):
        yield f"natonnx {words[1]} has no option {name}"
