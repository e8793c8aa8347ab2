"""How help is laid out: examples first, then options by what they are about, in the same order for every command."""

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
from click.types import OptionHelpExtra

__all__ = ["Command", "Commands", "Option", "Section", "option"]

_WIDEST = 27
"""Columns of an option's names; the text of one that is wider begins a line below."""
_COLUMNS = 100
"""Of a terminal, at most: longer lines are hard to read."""
_HYPHEN, _SPACE = "\N{NON-BREAKING HYPHEN}", "\N{NO-BREAK SPACE}"


class Section(enum.Enum):
    """What an option is about: the headings of help, in their order. Options are in the order of their declaration."""

    LIMITS = "Baseline and limits"
    EDITS = "Edits and weights"
    DATA = "Data and inputs"
    OBJECTIVE = "Objective"
    TARGETS = "Targets"
    CHANGES = "What may change"
    SEARCH = "Search"
    TRAINING = "Training"
    MEASURING = "Measuring"
    OUTPUT = "Output"
    MACHINE = "Machine"
    MESSAGES = "Messages"
    HELP = "Help"


class Option(click.Option):
    """An option that knows its section, and shows its default once: its value, or what `show_default` says of it.

    What `click.Option` takes, and

    Args:
        section: What it is about.
    """

    def __init__(self, *arguments: Any, section: Section, **attributes: Any) -> None:
        super().__init__(*arguments, **{"show_default": True, **attributes})
        self.section = section

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        """Leave out ranges, which an error names, and the brackets within brackets of a default in words."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default
        return extra


def option(section: Section, *names: str, help: str, **attributes: Any) -> Callable[..., Any]:  # noqa: A002 - click's
    """Give a command an option, in a section of its help; attributes are those of `click.Option`."""
    return click.option(*names, cls=Option, section=section, help=help, **attributes)


class Command(click.Command):
    """A command whose help has examples, and its options in sections.

    What `click.Command` takes, and

    Args:
        examples: Command lines, each with what it does; their ends are not broken.
    """

    def __init__(self, *arguments: Any, examples: Sequence[tuple[str, str]], **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.examples = tuple(examples)

    def get_help(self, ctx: click.Context) -> str:
        """The help, no wider than the terminal."""
        formatter = _Formatter(width=ctx.terminal_width, max_width=_COLUMNS)
        self.format_help(ctx, formatter)
        return formatter.getvalue().rstrip("\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the sections; what click adds is in the last one."""
        with formatter.section("Examples"):
            for line, what in self.examples:
                for each in (f"# {what}", line):
                    formatter.write(f"{'':{formatter.current_indent}}{each}\n")
        sections: dict[Section, list[tuple[str, str]]] = {section: [] for section in Section}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                sections[getattr(parameter, "section", Section.HELP)].append(record)
        width = min(_WIDEST, max(len(names) for records in sections.values() for names, _ in records))
        for section, records in sections.items():
            if records:
                with formatter.section(section.value):
                    formatter.write_dl([(f"{names:{width}}", text) for names, text in records], col_max=width)


class Commands(Command, click.Group):
    """Commands, listed before the options and in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Their names."""
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the examples and the sections."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)


class _Formatter(click.HelpFormatter):
    """Breaks lines between words alone: the name of an option stays whole, and so does a default that fits a line."""

    def write(self, string: str) -> None:
        super().write(string.replace(_HYPHEN, "-").replace(_SPACE, " "))

    def write_text(self, text: str) -> None:
        super().write_text(_bound(text))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        most = self.width - col_max - 2 * col_spacing
        super().write_dl([(term, _bound(text, most)) for term, text in rows], col_max, col_spacing)


def _bound(text: str, most: int = 0) -> str:
    """A text that is broken between words alone, and not in its default where that has at most so many characters."""
    said, mark, default = text.replace("-", _HYPHEN).replace(" %", f"{_SPACE}%").partition("  [")
    return said + mark + (default.replace(" ", _SPACE) if len(default) < most else default)
