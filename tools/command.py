"""Run a command-line tool of tools/ the way natonnx runs its own commands."""

import sys

import click

from natonnx.errors import NatonnxError

__all__ = ["run_command"]


def run_command(command: click.Command) -> None:
    """Run a command and exit; bad input that natonnx refuses is one line on stderr, and exit code 2."""
    try:
        command(standalone_mode=True)
    except NatonnxError as error:
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(error.exit_code)
