"""`natonnx completion`, and what words of the command line can become beyond what click knows."""

import os
from collections.abc import Callable

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

from natonnx.cli.help import Command

__all__ = ["PROGRAM", "complete", "completion_command", "names_or_files"]

PROGRAM = "natonnx"
_VARIABLE = "_NATONNX_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")


def complete(cli: click.Command) -> int | None:
    """Answer a shell that asks for completions.

    Returns:
        The exit code; None where no shell asks.
    """
    instruction = os.environ.get(_VARIABLE)
    return shell_complete(cli, {}, PROGRAM, _VARIABLE, instruction) if instruction else None


@click.command(
    "completion",
    cls=Command,
    short_help="Complete commands in bash, zsh or fish.",
    examples=(
        ('eval "$(natonnx completion bash)"', "bash, in ~/.bashrc"),
        ('eval "$(natonnx completion zsh)"', "zsh, in ~/.zshrc, behind compinit"),
        ("natonnx completion fish > ~/.config/fish/completions/natonnx.fish", "fish, once"),
    ),
)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print a script that completes commands, options and files in a shell."""
    shell_class = get_completion_class(shell)
    assert shell_class is not None
    click.echo(shell_class(context.find_root().command, {}, PROGRAM, _VARIABLE).source(), nl=False)


def names_or_files(*names: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """A completion of options that take one of some names, or a file: a name once its first letter is there."""

    def found(_context: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
        fitting = [CompletionItem(name) for name in names if start and name.startswith(start)]
        return [CompletionItem(start, type="file"), *fitting]

    return found
